"""ImageNet-R (Hendrycks et al. 2020): 30,000 renditions, such as art, cartoons and toys."""

from diffclf_lightning.datamodules.class_folders import ClassFolders, labels_of_synsets


class ImageNetR(ClassFolders):
    """ImageNet-R, 200 of ImageNet's classes, to which candidates are restricted.

    See :class:`ManualSet` for the arguments.
    """

    name = "imagenet_r"
    title = "ImageNet-R"
    address = "https://github.com/hendrycks/imagenet-r"
    tree = "  imagenet-r/n01443537/*.jpg  (one folder a class, 200 of them)"
    expected_images = 30000
    folders = ("imagenet-r",)
    label_of = labels_of_synsets("imagenet_r.txt")
