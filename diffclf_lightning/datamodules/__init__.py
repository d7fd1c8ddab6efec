"""Data modules: named test sets, each with its labels, its class names and its metric."""

from diffclf_lightning.datamodules.augmentation import Augmentation
from diffclf_lightning.datamodules.base import ImageDataModule, ImageSet
from diffclf_lightning.datamodules.class_folders import (
    ImageNetA,
    ImageNetR,
    ImageNetSketch,
    ImageNetV2,
)
from diffclf_lightning.datamodules.composition import SugarCrepe, WhatsUp, Winoground
from diffclf_lightning.datamodules.digits import Digits, GreyImages
from diffclf_lightning.datamodules.fetched import (
    CIFAR10,
    STL10,
    FGVCAircraft,
    Flowers102,
    Food101,
    OxfordPets,
)
from diffclf_lightning.datamodules.files import ImageFiles
from diffclf_lightning.datamodules.folder import ImageFolder
from diffclf_lightning.datamodules.folders import ImageFolders
from diffclf_lightning.datamodules.glyph_strokes import Strokes
from diffclf_lightning.datamodules.glyphs import Glyphs
from diffclf_lightning.datamodules.image_captions import ImageCaptions
from diffclf_lightning.datamodules.imagenet import ImageNet
from diffclf_lightning.datamodules.imagenet_shifts import ImageNetShifts
from diffclf_lightning.datamodules.matching import (
    Example,
    ExampleSet,
    MatchingSets,
    collate_examples,
)
from diffclf_lightning.datamodules.objectnet import ObjectNet
from diffclf_lightning.datamodules.scenes import LeftDigit, Scenes
from diffclf_lightning.datamodules.sets import FileImages, IndexedImages, PublishedImages
from diffclf_lightning.datamodules.table import ImageCSV

__all__ = [
    "CIFAR10",
    "STL10",
    "Augmentation",
    "Digits",
    "Example",
    "ExampleSet",
    "FGVCAircraft",
    "FileImages",
    "Flowers102",
    "Food101",
    "Glyphs",
    "GreyImages",
    "ImageCSV",
    "ImageCaptions",
    "ImageDataModule",
    "ImageFiles",
    "ImageFolder",
    "ImageFolders",
    "ImageNet",
    "ImageNetA",
    "ImageNetR",
    "ImageNetShifts",
    "ImageNetSketch",
    "ImageNetV2",
    "ImageSet",
    "IndexedImages",
    "LeftDigit",
    "MatchingSets",
    "ObjectNet",
    "OxfordPets",
    "PublishedImages",
    "Scenes",
    "Strokes",
    "SugarCrepe",
    "WhatsUp",
    "Winoground",
    "collate_examples",
]
