"""ImageNetV2 (Recht et al. 2019): 10,000 images gathered anew as ImageNet's were."""

import re

from diffclf_lightning.datamodules.class_folders import ClassFolders
from diffclf_lightning.datamodules.imagenet import NAMES

LABEL_OF = {str(label): label for label in range(len(NAMES))}


class ImageNetV2(ClassFolders):
    """ImageNetV2, matched frequency; class folders are named by label, from 0 to 999.

    See :class:`ManualSet` for the arguments.
    """

    name = "imagenetv2"
    title = "ImageNetV2 (matched frequency)"
    address = "https://huggingface.co/datasets/vaishaal/ImageNetV2"
    tree = "  imagenetv2-matched-frequency-format-val/0/*.jpeg  (one folder a class, to 999)"
    expected_images = 10000
    folders = ("imagenetv2-matched-frequency-format-val",)
    label_of = LABEL_OF
    class_folder = re.compile(r"\d+")
