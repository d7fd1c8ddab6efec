"""ImageNet-Sketch (Wang et al. 2019): 50,889 black and white sketches of all 1000 classes."""

from diffclf_lightning.datamodules.class_folders import ClassFolders


class ImageNetSketch(ClassFolders):
    """ImageNet-Sketch.

    See :class:`ManualSet` for the arguments.
    """

    name = "imagenet_sketch"
    title = "ImageNet-Sketch"
    address = "https://github.com/HaohanWang/ImageNet-Sketch"
    tree = (
        "  sketch/n01440764/*.JPEG  (one folder a class, 1000 of them; also below or in\n"
        "  imagenet-sketch)"
    )
    expected_images = 50889
    folders = ("sketch", "imagenet-sketch/sketch", "imagenet-sketch")
