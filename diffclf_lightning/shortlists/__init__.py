"""Shortlists: which candidates an image races at all."""

from diffclf_lightning.shortlists.base import Choice, Shortlist
from diffclf_lightning.shortlists.denoiser import DenoiserShortlist
from diffclf_lightning.shortlists.discriminative import DiscriminativeShortlist
from diffclf_lightning.shortlists.gradient import GradientShortlist
from diffclf_lightning.shortlists.tree import TreeShortlist

__all__ = [
    "Choice",
    "DenoiserShortlist",
    "DiscriminativeShortlist",
    "GradientShortlist",
    "Shortlist",
    "TreeShortlist",
]
