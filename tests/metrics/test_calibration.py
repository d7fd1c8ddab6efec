import pytest
import torch

from diffclf_lightning import InputError
from diffclf_lightning.metrics import fit_temperature


def test_temperature_of_a_calibrated_model_is_found(seed):
    scores = torch.randn(20_000, 5, dtype=torch.float64) / 50
    labels = torch.distributions.Categorical(logits=-200 * scores).sample()
    assert fit_temperature(scores, labels) == pytest.approx(200, rel=0.1)


def test_labels_without_a_candidate_do_no_harm(seed):
    scores = torch.randn(5_000, 4, dtype=torch.float64)
    labels = torch.distributions.Categorical(logits=-3 * scores).sample()
    padded = torch.cat([scores, torch.full((5_000, 1), torch.inf)], dim=1)
    assert fit_temperature(padded, labels) == pytest.approx(fit_temperature(scores, labels))


def test_no_image_is_an_error():
    with pytest.raises(InputError, match="at least one image"):
        fit_temperature(torch.rand(0, 3), torch.zeros(0, dtype=torch.int64))
