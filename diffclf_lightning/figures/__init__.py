"""Figures 2, 3 and 4 of Li et al. (ICCV 2023) of any run with stored errors, without a model."""

from diffclf_lightning.figures.command import main

__all__ = ["main"]
