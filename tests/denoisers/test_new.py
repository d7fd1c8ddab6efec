"""New networks take their sizes from the images, and start by predicting nothing."""

import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image

from diffclf_lightning import DenoiserTraining, InputError
from diffclf_lightning.denoisers import NewDiT, NewUNet
from diffclf_lightning.images import image_shape

NAMES = ["cat", "dog", "eel"]


@pytest.mark.parametrize("new", [NewDiT(num_layers=1), NewUNet()])
@pytest.mark.parametrize("side", [4, 8, 15, 28, 33, 64])
def test_sizes_follow_from_the_images(new, side, seed):
    denoiser = new.make((3, side), NAMES)
    channels, height, width = denoiser.image_shape
    assert (channels, height) == (3, width)
    assert side <= height < side + 6
    assert denoiser.classnames == NAMES
    assert (denoiser.num_classes, denoiser.null_class) == (3, 3)
    x_t = torch.randn(2, 3, height, width)
    told = denoiser.condition([0, 2])
    output = denoiser(x_t, torch.tensor([3, 900]), told)
    assert output.shape == x_t.shape
    assert output.abs().max() == 0


@pytest.mark.parametrize("new", [NewDiT(num_layers=1), NewUNet()])
def test_large_images_are_lowered_with_a_word(new):
    with pytest.warns(UserWarning, match="side 224 are trained at side 64"):
        assert new.make((1, 224), NAMES).image_shape == (1, 64, 64)


def test_what_is_given_wins():
    assert NewUNet(size=12, channels=3).make((1, 224), NAMES).image_shape == (3, 12, 12)
    scheduler = DDPMScheduler(prediction_type="v_prediction")
    made = NewDiT(8, 1, scheduler, num_layers=2, patch_size=4).make(None, NAMES)
    assert made.schedule.scheduler is scheduler
    assert (made.model.config.patch_size, made.model.config.num_layers) == (4, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NewDiT(size=2), "`size` to be at least 4"),
        (lambda: NewDiT(channels=2), "`channels` to be 1"),
        (lambda: NewUNet(block_out_channels=[12]), "`block_out_channels`"),
        (lambda: NewUNet(size=9, channels=1).make(None, NAMES), "`size` to be a multiple of 2"),
        (lambda: image_shape(None), "`size` and `channels`"),
    ],
)
def test_bad_sizes_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        (torch.zeros(3, 20, 12), (3, 12)),
        (Image.new("L", (9, 7)), (1, 7)),
        (Image.new("P", (9, 17)), (3, 9)),
    ],
)
def test_other_data_modules_are_asked_for_an_image(image, shape):
    class Data:
        def __init__(self, sample):
            self.dataset = [sample]

        def train_dataloader(self):
            return self

    assert image_shape(Data({"image": image})) == image_shape(Data((image, 0))) == shape


def test_names_are_needed(seed):
    from lightning.pytorch import Trainer
    from torch.utils.data import DataLoader, TensorDataset

    data = DataLoader(TensorDataset(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 0, 1])))
    trainer = Trainer(accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False)
    with pytest.raises(InputError, match="`classnames`"):
        trainer.fit(DenoiserTraining(NewDiT(8, 1)), data)
    with pytest.raises(InputError, match="`size` and `channels`"):
        trainer.fit(DenoiserTraining(NewDiT(), classnames=NAMES), data)
