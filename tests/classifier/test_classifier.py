"""The LightningModule through a real Trainer, on the closed-form denoiser."""

import pytest
import tiny
import torch
from running import quiet_trainer, run
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    Candidates,
    DiffusionClassifier,
    ExponentialWeight,
    Full,
    InputError,
    RelativeToReference,
    Staged,
    WeightedError,
)
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.metrics import fit_temperature

CLASSES = 6


def test_any_loader_of_image_and_label(denoiser, data):
    classifier = DiffusionClassifier(denoiser, Staged((2, 8), (3, 1)))
    (logged,) = quiet_trainer().test(classifier, DataLoader(data, batch_size=5), verbose=False)
    images, labels = data.tensors
    strategy = Staged((2, 8), (3, 1))
    table = run(denoiser, images * 2 - 1, strategy)
    correct = int((table["l2"].predictions == labels).sum())
    report = classifier.reports["test"]
    assert (report.correct, report.total) == (correct, 24)
    assert logged["test/accuracy"] == pytest.approx(correct / 24)
    assert logged["test/evaluations_per_image"] == strategy.evaluations(CLASSES)
    assert logged["test/accuracy_lower"] < logged["test/accuracy"] <= logged["test/accuracy_upper"]


def test_named_sets_each_get_a_report(denoiser, data):
    classifier = DiffusionClassifier(denoiser, Full(3))
    loaders = {"easy": DataLoader(data, batch_size=24), "again": DataLoader(data, batch_size=7)}
    quiet_trainer().test(classifier, loaders, verbose=False)
    assert classifier.reports["easy"].correct == classifier.reports["again"].correct
    assert list(classifier.reports) == ["easy", "again"]


def test_restricted_set_chooses_among_its_labels_only(denoiser, data):
    images, labels = data.tensors
    chosen = labels < 2
    part = TensorDataset(images[chosen], labels[chosen])
    part.candidate_labels = [0, 1]
    classifier = DiffusionClassifier(denoiser, Full(3))
    out = quiet_trainer().predict(classifier, DataLoader(part, batch_size=4))
    scores = torch.cat([p["scores"] for p in out])
    assert scores[:, :2].isfinite().all()
    assert scores[:, 2:].isinf().all()
    assert torch.cat([p["evaluations"] for p in out]).unique().tolist() == [6]


def test_classes_merged_by_a_set_count_as_one_label(denoiser, data):
    """As ObjectNet's objects of several ImageNet classes: the lowest error of the group decides."""
    images, labels = data.tensors
    chosen = labels < 4
    part = TensorDataset(images[chosen], torch.tensor([0, 3, 2, 3])[labels[chosen]])
    part.candidate_labels = [0, (3, 1), 2]
    classifier = DiffusionClassifier(denoiser, Full(3))
    loader = DataLoader(part, batch_size=16)
    (out,) = quiet_trainer().predict(classifier, loader)
    (whole,) = quiet_trainer().predict(
        classifier, DataLoader(TensorDataset(images[chosen], labels[chosen]), batch_size=16)
    )
    scores, means = out["scores"], whole["scores"]
    assert torch.allclose(scores[:, 3], means[:, [1, 3]].amin(dim=1), atol=1e-6)
    assert torch.allclose(scores[:, [0, 2]], means[:, [0, 2]], atol=1e-6)
    assert scores[:, [1, 4, 5]].isinf().all()
    quiet_trainer().test(classifier, loader, verbose=False)
    expected = torch.tensor([0, 3, 2, 3])[means[:, :4].argmin(dim=1)] == part.tensors[1]
    assert classifier.reports["test"].correct == int(expected.sum())


def test_a_label_is_as_good_as_its_best_candidate(denoiser, data):
    images, labels = data.tensors
    merged = DataLoader(TensorDataset(images, labels // 2), batch_size=24)
    candidates = Candidates(range(CLASSES), [c // 2 for c in range(CLASSES)])
    classifier = DiffusionClassifier(denoiser, Full(20), candidates=candidates)
    (single,) = quiet_trainer().predict(
        DiffusionClassifier(denoiser, Full(20)), DataLoader(data, batch_size=24)
    )
    best = single["scores"].reshape(24, CLASSES // 2, 2).amin(dim=2)
    (out,) = quiet_trainer().predict(classifier, merged)
    assert torch.allclose(out["scores"], best, atol=1e-6)
    quiet_trainer().test(classifier, merged, verbose=False)
    expected = int((best.argmin(dim=1) == labels // 2).sum())
    assert classifier.reports["test"].correct == expected


def test_predict_takes_bare_images(denoiser, data):
    classifier = DiffusionClassifier(denoiser, Full(3))
    bare = DataLoader(data.tensors[0], batch_size=24)
    (alone,) = quiet_trainer().predict(classifier, bare)
    (pairs,) = quiet_trainer().predict(classifier, DataLoader(data, batch_size=24))
    assert torch.equal(alone["prediction"], pairs["prediction"])
    assert alone["label"] is None
    assert alone.table is None


def test_validation_logs_loss_accuracy_and_temperature(denoiser, data):
    classifier = DiffusionClassifier(denoiser, validation_strategy=Full(4))
    (logged,) = quiet_trainer().validate(classifier, DataLoader(data, batch_size=24), verbose=False)
    scored = run(denoiser, data.tensors[0] * 2 - 1, Full(4))["l2"]
    true = scored.means.gather(1, data.tensors[1][:, None]).mean().item()
    assert logged["val/loss"] == pytest.approx(true, rel=1e-5)
    accuracy = (scored.predictions == data.tensors[1]).float().mean().item()
    assert logged["val/accuracy"] == pytest.approx(accuracy)
    expected = fit_temperature(scored.means, data.tensors[1])
    assert logged["val/temperature"] == pytest.approx(expected, rel=1e-3)


def test_temperature_without_an_error_is_not_taken_for_a_fit(denoiser):
    easy = TensorDataset((denoiser.means.detach() + 1) / 2, torch.arange(CLASSES))
    classifier = DiffusionClassifier(denoiser, validation_strategy=Full(20))
    with pytest.warns(UserWarning, match="bounded by nothing"):
        quiet_trainer().validate(classifier, DataLoader(easy, batch_size=6), verbose=False)


@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed", "bf16-true"])
def test_precision_leaves_schedule_noise_and_errors_in_float32(denoiser, data, precision):
    seen: list = []

    class Recording(GaussianDenoiser):
        def predict(self, noised, conditioning):
            seen.append(noised.x_t)
            return super().predict(noised, conditioning)

    images, labels = data.tensors
    pixels = TensorDataset((images * 255).round().to(torch.uint8), labels)
    inputs = []
    for used in ("32-true", precision):
        seen.clear()
        model = Recording(denoiser.means.detach().clone(), std=0.2)
        classifier = DiffusionClassifier(model, Full(8), evaluations_per_batch=64)
        classifier.keep_errors = True
        (out,) = quiet_trainer(precision=used).predict(
            classifier, DataLoader(pixels, batch_size=24)
        )
        inputs.append(torch.cat(seen))
    assert inputs[1].dtype == torch.float32
    assert torch.equal(*inputs)
    assert out["scores"].dtype == out.table.errors["l2"].dtype == torch.float32


def test_validation_restricts_candidates_as_the_test_does(denoiser, data):
    images, labels = data.tensors
    part = TensorDataset(images[labels < 2], labels[labels < 2])
    part.candidate_labels = [0, 1]
    classifier = DiffusionClassifier(denoiser, Full(3), validation_strategy=Full(4))
    (logged,) = quiet_trainer().validate(classifier, DataLoader(part, batch_size=8), verbose=False)
    assert logged["val/evaluations_per_image"] == 2 * 4


def test_strategy_of_the_test_does_not_stop_validation(denoiser, data):
    part = TensorDataset(*data.tensors)
    classifier = DiffusionClassifier(denoiser, Staged((1, 2), (7, 1)), validation_strategy=Full(2))
    (logged,) = quiet_trainer().validate(classifier, DataLoader(part, batch_size=24), verbose=False)
    assert logged["val/evaluations_per_image"] == 12


def test_a_score_decides_and_the_losses_answer_beside_it(denoiser, data):
    score = WeightedError(ExponentialWeight(2.0), "l2_x_0")
    classifier = DiffusionClassifier(denoiser, Full(5), loss="l1", score=score)
    classifier.keep_errors = True
    (out,) = quiet_trainer().predict(classifier, DataLoader(data, batch_size=24))
    errors, times = out.table.dense("l2_x_0"), out.table.timesteps.time
    expected = (errors * (-2 * times).exp()).mean(dim=-1)
    assert torch.allclose(out["scores"], expected, atol=1e-5)
    assert torch.equal(out["prediction"], expected.argmin(dim=1))
    l1 = out.table.dense("l1").mean(dim=-1).argmin(dim=1)
    assert torch.equal(out["other_predictions"]["l1"], l1)


def test_scores_relative_to_nothing_said_need_a_model_that_knows_it(denoiser, data):
    relative = DiffusionClassifier(denoiser, Full(5), score=RelativeToReference())
    (out,) = quiet_trainer().predict(relative, DataLoader(data, batch_size=24))
    (plain,) = quiet_trainer().predict(
        DiffusionClassifier(denoiser, Full(5)), DataLoader(data, batch_size=24)
    )
    assert torch.equal(out["prediction"], plain["prediction"])
    assert out["evaluations"].unique().tolist() == [5 * (CLASSES + 1)]
    apart = plain["scores"] - out["scores"]  # the same for all classes of an image
    assert torch.allclose(apart, apart[:, :1].expand_as(apart), atol=1e-5)
    unable = DiffusionClassifier(tiny.unet(), Full(2), score=RelativeToReference())
    pixels = TensorDataset(torch.rand(2, 1, 8, 8), torch.zeros(2).long())
    with pytest.raises(InputError, match="no class"):
        quiet_trainer().test(unable, DataLoader(pixels, batch_size=2))


def test_a_data_module_takes_each_models_own_transform():
    from diffclf_lightning.datamodules import Digits

    data, own = Digits(), torch.nn.Identity()
    data.set_default_transform("first")
    data.set_default_transform("second")
    assert data.transform == "second"
    data.transform = own
    data.set_default_transform("third")
    assert data.transform is own


def test_validation_on_a_published_test_set_is_refused():
    from diffclf_lightning.datamodules import CIFAR10

    with pytest.raises(InputError, match=r"validation images, but CIFAR10 has none"):
        CIFAR10("nowhere").val_dataloader()
