"""Shortlists: which candidates an image races at all."""

from diffclf_lightning.shortlists.base import Choice, Shortlist
from diffclf_lightning.shortlists.gradient import GradientShortlist

__all__ = ["Choice", "GradientShortlist", "Shortlist"]
