"""Data modules: named test sets, each with its labels, its class names and its metric."""

from diffclf_lightning.datamodules.aircraft import FGVCAircraft
from diffclf_lightning.datamodules.base import ImageDataModule, ImageSet
from diffclf_lightning.datamodules.cifar10 import CIFAR10
from diffclf_lightning.datamodules.digits import Digits, GreyImages
from diffclf_lightning.datamodules.flowers102 import Flowers102
from diffclf_lightning.datamodules.folder import ImageCSV, ImageFolder
from diffclf_lightning.datamodules.food101 import Food101
from diffclf_lightning.datamodules.imagenet import ImageNet
from diffclf_lightning.datamodules.imagenet_a import ImageNetA
from diffclf_lightning.datamodules.imagenet_r import ImageNetR
from diffclf_lightning.datamodules.imagenet_shifts import ImageNetShifts
from diffclf_lightning.datamodules.imagenet_sketch import ImageNetSketch
from diffclf_lightning.datamodules.imagenetv2 import ImageNetV2
from diffclf_lightning.datamodules.objectnet import ObjectNet
from diffclf_lightning.datamodules.pets import OxfordPets
from diffclf_lightning.datamodules.sets import FileImages, IndexedImages
from diffclf_lightning.datamodules.stl10 import STL10

__all__ = [
    "CIFAR10",
    "STL10",
    "Digits",
    "FGVCAircraft",
    "FileImages",
    "Flowers102",
    "Food101",
    "GreyImages",
    "ImageCSV",
    "ImageDataModule",
    "ImageFolder",
    "ImageNet",
    "ImageNetA",
    "ImageNetR",
    "ImageNetShifts",
    "ImageNetSketch",
    "ImageNetV2",
    "ImageSet",
    "IndexedImages",
    "ObjectNet",
    "OxfordPets",
]
