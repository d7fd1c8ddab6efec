"""The LightningModule through a real Trainer, on the closed-form denoiser."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import Candidates, DiffusionClassifier, Full, InputError, Staged
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.evaluation import NestedGrid, Noise, TrialSource, evaluate, l2

CLASSES = 6


@pytest.fixture
def denoiser(seed):
    return GaussianDenoiser(torch.rand(CLASSES, 1, 4, 4) * 1.6 - 0.8, std=0.2)


@pytest.fixture
def data(denoiser):
    labels = torch.arange(CLASSES).repeat(4)
    x_0 = denoiser.means.detach()[labels]
    x_0 = (x_0 + 0.2 * torch.randn_like(x_0)).clamp(-1, 1)
    return TensorDataset((x_0 + 1) / 2, labels)


def trainer(**kwargs):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return Trainer(accelerator="cpu", enable_checkpointing=False, **quiet, **kwargs)


def test_any_loader_of_image_and_label(denoiser, data):
    classifier = DiffusionClassifier(denoiser, Staged((2, 8), (3, 1)))
    (logged,) = trainer().test(classifier, DataLoader(data, batch_size=5), verbose=False)
    images, labels = data.tensors
    x_0 = images * 2 - 1
    source = TrialSource(NestedGrid(), Noise(0), (2, 8), 1000, (1, 4, 4))
    strategy = Staged((2, 8), (3, 1))
    table = evaluate(denoiser, x_0, torch.arange(CLASSES), source(x_0), strategy, l2)
    correct = int((table.predictions == labels).sum())
    report = classifier.reports["test"]
    assert (report.correct, report.total) == (correct, 24)
    assert logged["test/accuracy"] == pytest.approx(correct / 24)
    assert logged["test/evaluations_per_image"] == strategy.evaluations(CLASSES)
    assert logged["test/accuracy_lower"] < logged["test/accuracy"] <= logged["test/accuracy_upper"]


def test_named_sets_each_get_a_report(denoiser, data):
    classifier = DiffusionClassifier(denoiser, Full(3))
    loaders = {"easy": DataLoader(data, batch_size=24), "again": DataLoader(data, batch_size=7)}
    trainer().test(classifier, loaders, verbose=False)
    assert classifier.reports["easy"].correct == classifier.reports["again"].correct
    assert list(classifier.reports) == ["easy", "again"]


def test_restricted_set_chooses_among_its_labels_only(denoiser, data):
    images, labels = data.tensors
    chosen = labels < 2
    part = TensorDataset(images[chosen], labels[chosen])
    part.candidate_labels = [0, 1]
    classifier = DiffusionClassifier(denoiser, Full(3))
    out = trainer().predict(classifier, DataLoader(part, batch_size=4))
    scores = torch.cat([p.outcome.scores for p in out])
    assert scores[:, :2].isfinite().all()
    assert scores[:, 2:].isinf().all()
    assert torch.cat([p.outcome.evaluations for p in out]).unique().tolist() == [6]


def test_classes_merged_by_a_set_count_as_one_label(denoiser, data):
    """As ObjectNet's objects of several ImageNet classes: the lowest error of the group decides."""
    images, labels = data.tensors
    chosen = labels < 4
    part = TensorDataset(images[chosen], torch.tensor([0, 3, 2, 3])[labels[chosen]])
    part.candidate_labels = [0, (3, 1), 2]
    classifier = DiffusionClassifier(denoiser, Full(3))
    loader = DataLoader(part, batch_size=16)
    (out,) = trainer().predict(classifier, loader)
    (whole,) = trainer().predict(
        classifier, DataLoader(TensorDataset(images[chosen], labels[chosen]), batch_size=16)
    )
    scores, means = out.outcome.scores, whole.outcome.table.means
    assert torch.allclose(scores[:, 3], means[:, [1, 3]].amin(dim=1), atol=1e-6)
    assert torch.allclose(scores[:, [0, 2]], means[:, [0, 2]], atol=1e-6)
    assert scores[:, [1, 4, 5]].isinf().all()
    trainer().test(classifier, loader, verbose=False)
    expected = torch.tensor([0, 3, 2, 3])[means[:, :4].argmin(dim=1)] == part.tensors[1]
    assert classifier.reports["test"].correct == int(expected.sum())


def test_several_candidates_of_a_label(denoiser, data):
    images, labels = data.tensors
    merged = DataLoader(TensorDataset(images, labels // 2), batch_size=24)
    candidates = Candidates(range(CLASSES), [c // 2 for c in range(CLASSES)])
    classifier = DiffusionClassifier(denoiser, Full(20), candidates=candidates)
    trainer().test(classifier, merged, verbose=False)
    single = DiffusionClassifier(denoiser, Full(20))
    trainer().test(single, DataLoader(data, batch_size=24), verbose=False)
    assert classifier.reports["test"].correct >= single.reports["test"].correct


def test_predict_takes_bare_images(denoiser, data):
    classifier = DiffusionClassifier(denoiser, Full(3))
    bare = DataLoader(data.tensors[0], batch_size=24)
    (alone,) = trainer().predict(classifier, bare)
    (pairs,) = trainer().predict(classifier, DataLoader(data, batch_size=24))
    assert torch.equal(alone.outcome.predictions, pairs.outcome.predictions)
    assert alone.labels is None


def test_validation_logs_loss_accuracy_and_temperature(denoiser, data):
    classifier = DiffusionClassifier(denoiser, validation_strategy=Full(4))
    (logged,) = trainer().validate(classifier, DataLoader(data, batch_size=24), verbose=False)
    x_0 = data.tensors[0] * 2 - 1
    source = TrialSource(NestedGrid(), Noise(0), (4,), 1000, (1, 4, 4))
    table = evaluate(denoiser, x_0, torch.arange(CLASSES), source(x_0), Full(4), l2)
    true = table.means.gather(1, data.tensors[1][:, None]).mean().item()
    assert logged["validation/loss"] == pytest.approx(true, rel=1e-5)
    assert logged["validation/temperature"] > 0
    accuracy = (table.predictions == data.tensors[1]).float().mean().item()
    assert logged["validation/accuracy"] == pytest.approx(accuracy)


def test_temperature_without_an_error_is_not_taken_for_a_fit(denoiser):
    easy = TensorDataset((denoiser.means.detach() + 1) / 2, torch.arange(CLASSES))
    classifier = DiffusionClassifier(denoiser, validation_strategy=Full(20))
    with pytest.warns(UserWarning, match="bounded by nothing"):
        trainer().validate(classifier, DataLoader(easy, batch_size=6), verbose=False)


@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed", "bf16-true"])
def test_precision_leaves_schedule_noise_and_errors_in_float32(denoiser, data, precision):
    seen: list = []

    class Recording(GaussianDenoiser):
        def predict(self, x_t, timestep, conditioning):
            seen.append(x_t)
            return super().predict(x_t, timestep, conditioning)

    images, labels = data.tensors
    pixels = TensorDataset((images * 255).round().to(torch.uint8), labels)
    inputs = []
    for used in ("32-true", precision):
        seen.clear()
        model = Recording(denoiser.means.detach().clone(), std=0.2)
        classifier = DiffusionClassifier(model, Full(8), evaluations_per_batch=64)
        (out,) = trainer(precision=used).predict(classifier, DataLoader(pixels, batch_size=24))
        inputs.append(torch.cat(seen))
    assert inputs[1].dtype == torch.float32
    assert torch.equal(*inputs)
    assert out.outcome.scores.dtype == out.outcome.table.errors.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": Staged((1, 2), (7, 1))}, "`keep` to be at most 6"),
        ({"temperature": 0.0}, "`temperature`"),
        ({"evaluations_per_batch": 0}, "`evaluations_per_batch`"),
        ({"label_dropout": 1.0}, "`label_dropout`"),
        ({"loss": "l3"}, "`loss`"),
        ({"template": "a {}"}, "`classnames` with a template"),
        ({"template": "a photo", "classnames": ["x"]}, "`template` to have one place"),
        ({"classnames": ["x"] * 5}, "5 names for 6 labels"),
        ({"candidates": Candidates([0], [0]), "template": "a {}"}, "got both"),
        ({"candidates": Candidates([0, 1], [0, 1])}, r"labels of set 'test'.*but got 2"),
    ],
)
def test_bad_arguments_are_named_before_any_evaluation(denoiser, data, arguments, message):
    evaluated = []
    denoiser.predict = evaluated.append

    def run():
        classifier = DiffusionClassifier(denoiser, **{"strategy": Full(2), **arguments})
        trainer().test(classifier, DataLoader(data, batch_size=24), verbose=False)

    with pytest.raises(InputError, match=message):
        run()
    assert not evaluated


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (TensorDataset(torch.rand(2, 1, 4, 4)), r"\(image, label\).*\['Tensor'\]"),
        (TensorDataset(torch.rand(2, 1, 4, 4), torch.rand(2)), r"integer labels"),
        (TensorDataset(torch.rand(2, 1, 5, 4), torch.zeros(2).long()), r"shape \(batch, 1, 4, 4\)"),
        (TensorDataset(torch.rand(2, 1, 4, 4) - 3, torch.zeros(2).long()), r"in \[0, 1\]"),
    ],
)
def test_bad_batches_are_named_before_any_evaluation(denoiser, dataset, message):
    evaluated = []
    denoiser.predict = evaluated.append
    with pytest.raises(InputError, match=message):
        trainer().test(DiffusionClassifier(denoiser), DataLoader(dataset, batch_size=2))
    assert not evaluated


def test_unreadable_images_are_left_out_and_counted(denoiser, data):
    """A data set gives them the label -1; all others are classified as if these were not there."""
    images, labels = data.tensors
    marked = labels.clone()
    marked[[3, 10, 11]] = -1
    classifier = DiffusionClassifier(denoiser, Full(3))
    dataset = TensorDataset(images, marked)
    dataset.candidate_labels = None
    loader = DataLoader(dataset, batch_size=5)
    trainer().test(classifier, loader, verbose=False)
    report = classifier.reports["test"]
    assert (report.total, report.skipped) == (21, 3)
    keys = [key for p in trainer().predict(classifier, loader) for key in p.keys]
    assert keys == [str(i) for i in range(24) if i not in (3, 10, 11)]


def test_predict_takes_images_with_anything_beside_them(denoiser, data):
    pairs = [(image, f"file {i}") for i, image in enumerate(data.tensors[0])]
    (out,) = trainer().predict(DiffusionClassifier(denoiser, Full(3)), DataLoader(pairs, 24))
    assert len(out.outcome.predictions) == 24


def test_foreign_attributes_of_a_data_set_are_left_alone(denoiser, data):
    """Many data sets have `labels` or a method `keys` of another meaning."""
    data.labels = ["some", "thing"]
    data.keys = dict.keys
    classifier = DiffusionClassifier(denoiser, Full(3))
    trainer().test(classifier, DataLoader(data, batch_size=24), verbose=False)
    assert classifier.reports["test"].total == 24


def test_validation_restricts_candidates_as_the_test_does(denoiser, data):
    images, labels = data.tensors
    part = TensorDataset(images[labels < 2], labels[labels < 2])
    part.candidate_labels = [0, 1]
    classifier = DiffusionClassifier(denoiser, Full(3), validation_strategy=Full(4))
    (logged,) = trainer().validate(classifier, DataLoader(part, batch_size=8), verbose=False)
    assert logged["validation/evaluations_per_image"] == 2 * 4
    assert logged["validation/temperature"] > 0


def test_strategy_of_the_test_does_not_stop_validation(denoiser, data):
    part = TensorDataset(*data.tensors)
    classifier = DiffusionClassifier(denoiser, Staged((1, 2), (7, 1)), validation_strategy=Full(2))
    (logged,) = trainer().validate(classifier, DataLoader(part, batch_size=24), verbose=False)
    assert logged["validation/evaluations_per_image"] == 12


def test_one_label_is_refused(denoiser, data):
    classifier = DiffusionClassifier(denoiser, candidates=Candidates([0], [0]))
    with pytest.raises(InputError, match="at least two labels"):
        trainer().test(classifier, DataLoader(data, batch_size=24))


def test_unlabelled_images_marked_minus_one_are_predicted(denoiser, data):
    """Only data sets of this package mean "unreadable" by it when nothing is to be counted."""
    images, labels = data.tensors
    loader = DataLoader(TensorDataset(images, labels * 0 - 1), batch_size=24)
    (out,) = trainer().predict(DiffusionClassifier(denoiser, Full(3)), loader)
    assert len(out.outcome.predictions) == 24


def test_a_data_module_takes_each_models_own_transform():
    from diffclf_lightning.datamodules import Digits

    data, own = Digits(), torch.nn.Identity()
    data.use_transform_of_model("first")
    data.use_transform_of_model("second")
    assert data.transform == "second"
    data.transform = own
    data.use_transform_of_model("third")
    assert data.transform is own


def test_validation_on_a_published_test_set_is_refused():
    from diffclf_lightning.datamodules import CIFAR10

    with pytest.raises(InputError, match=r"validation images, but CIFAR10 has none"):
        CIFAR10("nowhere").val_dataloader()
