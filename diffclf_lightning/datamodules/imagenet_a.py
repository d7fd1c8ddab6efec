"""ImageNet-A (Hendrycks et al. 2019): 7,500 natural images that mislead classifiers."""

from diffclf_lightning.datamodules.class_folders import ClassFolders, labels_of_synsets


class ImageNetA(ClassFolders):
    """ImageNet-A, 200 of ImageNet's classes, to which candidates are restricted.

    See :class:`ManualSet` for the arguments.
    """

    name = "imagenet_a"
    title = "ImageNet-A"
    address = "https://github.com/hendrycks/natural-adv-examples"
    tree = "  imagenet-a/n01498041/*.jpg  (one folder a class, 200 of them)"
    expected_images = 7500
    folders = ("imagenet-a",)
    label_of = labels_of_synsets("imagenet_a.txt")
