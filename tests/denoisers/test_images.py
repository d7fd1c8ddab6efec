import pytest
import tiny
import torch

from diffclf_lightning import InputError

GOOD = torch.rand(2, 1, 8, 8)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(2, 1, 7, 8), r"shape \(batch, 1, 8, 8\), but got \(2, 1, 7, 8\)"),
        (torch.rand(2, 3, 8, 8), r"but got \(2, 3, 8, 8\)"),
        (torch.rand(1, 8, 8), r"but got \(1, 8, 8\)"),
        (GOOD.long(), "torch.int64"),
        (GOOD * 2 - 1.5, r"in \[0, 1\].*Leave out normalisation"),
        (GOOD * 255, r"in \[0, 1\]"),
        (torch.where(GOOD[1, 0, 0, 0] == GOOD, torch.nan, GOOD), "image 1 of the batch has NaN"),
        (torch.where(GOOD[0, 0, 0, 0] == GOOD, torch.inf, GOOD), "image 0 of the batch has NaN or"),
        ([1, 2], "got list"),
    ],
)
def test_bad_images_are_named(images, message):
    with pytest.raises(InputError, match=message):
        tiny.unet().encode(images)


def test_black_is_minus_one_and_white_is_one():
    extremes = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    assert tiny.unet().encode(extremes)[:, 0, 0, 0].tolist() == [-1, 1]
    assert tiny.unet().encode(extremes / 255)[:, 0, 0, 0].tolist() == [-1, 1]
