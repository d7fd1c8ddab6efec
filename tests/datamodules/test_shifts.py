import numpy as np
import pytest

from diffclf_lightning.datamodules.shifts import (
    Blur,
    Contrast,
    GaussianNoise,
    Occlusion,
    Rotation,
    Scaling,
    Translation,
)


@pytest.fixture
def images(seed):
    return np.random.default_rng(seed).random((20, 8, 8))


@pytest.mark.parametrize(
    "identity", [Rotation(0), Translation(0), Scaling(1), GaussianNoise(0), Blur(0), Contrast(1)]
)
def test_no_strength_is_no_change(images, identity):
    assert identity(images) == pytest.approx(images, abs=1e-9)


def test_rotation_by_a_right_angle(images):
    turned = Rotation(90)(images)
    assert turned[0] == pytest.approx(np.rot90(images[0]))
    assert turned[1] == pytest.approx(np.rot90(images[1], -1))


def test_translation_moves_whole_pixels(images):
    moved = Translation(1)(images)
    assert moved[0][:, 1:] == pytest.approx(images[0][:, :-1])
    assert moved[0][:, 0] == pytest.approx(0)
    assert moved[3][:-1] == pytest.approx(images[3][1:])


def test_scaling_keeps_the_centre_and_shrinks(images):
    bright = np.ones((1, 8, 8))
    small = Scaling(0.5)(bright)[0]
    assert small[3:5, 3:5] == pytest.approx(1)
    assert small[0].max() == 0
    assert small.sum() == pytest.approx(64 / 4, rel=0.3)


def test_noise_has_its_strength():
    grey = np.full((500, 8, 8), 0.5)
    assert GaussianNoise(0.1)(grey).std() == pytest.approx(0.1, rel=0.05)
    assert GaussianNoise(5)(grey).min() == 0
    assert GaussianNoise(5)(grey).max() == 1


def test_blur_keeps_the_mean_of_the_inside(images):
    point = np.zeros((1, 15, 15))
    point[0, 7, 7] = 1
    blurred = Blur(1)(point)[0]
    assert blurred.sum() == pytest.approx(1)
    offsets = np.arange(15) - 7
    assert (blurred * offsets[:, None] ** 2).sum() == pytest.approx(1, rel=0.05)


def test_contrast_shrinks_to_mid_grey(images):
    low = Contrast(0.5)(images)
    assert low - 0.5 == pytest.approx((images - 0.5) / 2)


def test_occlusion_blackens_one_square(images):
    occluded = Occlusion(3)(images + 1)
    for image in occluded:
        rows, columns = np.nonzero(image == 0)
        assert len(rows) == 9
        assert np.ptp(rows) == np.ptp(columns) == 2
