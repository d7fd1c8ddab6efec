"""Data modules: named test sets, each with its labels, its class names and its metric."""

from diffclf_lightning.datamodules.base import ImageDataModule, ImageSet
from diffclf_lightning.datamodules.class_folders import (
    ImageNetA,
    ImageNetR,
    ImageNetSketch,
    ImageNetV2,
)
from diffclf_lightning.datamodules.digits import Digits, GreyImages
from diffclf_lightning.datamodules.fetched import (
    CIFAR10,
    STL10,
    FGVCAircraft,
    Flowers102,
    Food101,
    OxfordPets,
)
from diffclf_lightning.datamodules.folder import ImageCSV, ImageFolder
from diffclf_lightning.datamodules.imagenet import ImageNet
from diffclf_lightning.datamodules.imagenet_shifts import ImageNetShifts
from diffclf_lightning.datamodules.objectnet import ObjectNet
from diffclf_lightning.datamodules.sets import FileImages, IndexedImages

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
