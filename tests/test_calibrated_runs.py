"""Runs that take what ``diffclf calibrate`` learned of the errors of others."""

import json
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from running import quiet_trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    Candidates,
    DiffusionClassifier,
    Full,
    GoldenGrid,
    InformativeGrid,
    InputError,
    LearnedWeights,
    Racing,
    WithoutBias,
    calibrate,
)
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.results import RunFolder, candidates_of, stored_errors
from diffclf_lightning.score import main as rescored

IMAGES, TRIALS = 60, 40


def run(folder, *arguments):
    calibrate.main([str(folder), *arguments])
    return json.loads((folder / "calibration.json").read_text())


class Some(TensorDataset):
    """Images of some classes."""

    candidate_labels = (0, 2)


@pytest.fixture
def denoiser(seed):
    return GaussianDenoiser(torch.rand(4, 1, 4, 4) * 1.2 - 0.6, std=0.3)


def images_of(denoiser, number, kind=TensorDataset):
    chosen = torch.tensor(getattr(kind, "candidate_labels", range(4)))
    labels = chosen[torch.arange(number) % len(chosen)]
    x_0 = denoiser.means[labels] + 0.3 * torch.randn(number, 1, 4, 4)
    return kind((x_0.clamp(-1, 1) + 1) / 2, labels)


def evaluated(denoiser, data, folder, strategy, command="test", **kwargs):
    classifier = DiffusionClassifier(denoiser, strategy, evaluations_per_batch=4096, **kwargs)
    trainer = quiet_trainer(callbacks=[ResultsWriter(folder, errors=True)])
    loaders = [DataLoader(one, batch_size=50) for one in data]
    getattr(trainer, command)(classifier, loaders)
    return RunFolder(folder)


def test_bias_needs_no_labels_and_later_runs_race_by_it(denoiser, tmp_path):
    data = [images_of(denoiser, 50)]
    full = {"strategy": Full(20), "grid": GoldenGrid()}
    evaluated(denoiser, data, tmp_path / "new", command="predict", **full)
    fitted = run(tmp_path / "new", "--bias")
    assert fitted["temperature"] is None
    with pytest.raises(InputError, match="known labels"):
        run(tmp_path / "new", "--weights")
    run(tmp_path / "new", "--bias")
    score, race = WithoutBias(tmp_path / "new"), Racing(max_trials=20)
    later = {"score": score, "calibration": tmp_path / "new"}
    raced = evaluated(denoiser, data, tmp_path / "raced", race, **later)
    assert raced.description()["score"] == repr(score)
    assert raced.description()["calibrated"] is False
    some = evaluated(denoiser, [images_of(denoiser, 10, Some)], tmp_path / "some", race, **later)
    for folder, classes in ((raced, [0, 1, 2, 3]), (some, [0, 2])):
        _, _, table = next(stored_errors(folder))
        answers = folder.rows(["prediction"])["prediction"].to_pylist()
        bias = [fitted["part_bias"][str(label)] for label in classes]
        parts = [int(20 * Fraction(t)) for t in folder.description()["trials"]["time"]]
        for errors, counts, answer in zip(table.dense("l2"), table.counts, answers, strict=True):
            most = int(counts.max())
            means = {
                classes[c]: np.mean([float(errors[c, t]) - bias[c][parts[t]] for t in range(most)])
                for c in range(len(classes))
                if counts[c] == most
            }
            assert min(means, key=means.__getitem__) == answer


def test_weights_are_learned_over_sets_of_other_candidates(denoiser, tmp_path):
    data = [images_of(denoiser, 30), images_of(denoiser, 10, Some)]
    found = evaluated(denoiser, data, tmp_path / "two", Full(20), grid=GoldenGrid())
    assert len(run(found.path, "--weights")["weights"]) == 20
    with pytest.raises(InputError, match="of the same candidates"):
        run(found.path, "--bias")


def test_times_are_learned_over_sets_of_other_candidates_less_their_bias(denoiser, tmp_path):
    data = [images_of(denoiser, 30), images_of(denoiser, 10, Some)]
    full = {"strategy": Full(20), "grid": GoldenGrid()}
    first = evaluated(denoiser, data[:1], tmp_path / "one", **full)
    bias = run(first.path, "--bias")["part_bias"]
    second = evaluated(denoiser, data, tmp_path / "two", **full)
    taken = ("--score=WithoutBias", f"--score.calibration={first.path}")
    found = run(second.path, *taken, "--informative")["density"]
    place = [int(20 * Fraction(t)) for t in second.description()["trials"]["time"]]
    behind = [[] for _ in range(20)]
    for name, _, table in stored_errors(second):
        classes = candidates_of(second, name).labels
        for errors in table.dense("l2").double().numpy():
            own = errors - np.array([[bias[str(c)][p] for p in place] for c in classes])
            best = own.mean(axis=1).argmin()
            for rival in set(range(len(own))) - {best}:
                for t, part in enumerate(place):
                    behind[part].append(own[rival, t] - own[best, t])
    says = np.array([(max(np.mean(one), 0) / np.std(one)) ** 2 for one in behind])
    assert found == pytest.approx(0.5 + 0.5 * says / says.mean(), abs=2e-3)


def warnings_of(action):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        action()
    return [str(one.message) for one in said if "was fitted with weights" in str(one.message)]


def test_another_model_that_takes_what_was_fitted_is_told_so_once(denoiser, tmp_path):
    data, full = [images_of(denoiser, 20)] * 2, {"strategy": Full(20), "grid": GoldenGrid()}
    first = evaluated(denoiser, data, tmp_path / "first", **full)
    fitted = run(first.path, "--weights", "--bias")
    assert fitted["model"] == first.description()["weights"]
    run_again = {"strategy": Full(20), "calibration": first.path}

    def later(model, folder, score, **more):
        settled = run_again | {"score": score(first.path), **more}
        return lambda: evaluated(model, data, tmp_path / folder, **settled)

    assert warnings_of(later(denoiser, "same", WithoutBias)) == []
    other = GaussianDenoiser(denoiser.means.detach() + 0.1, std=0.3)
    (said,) = warnings_of(later(other, "other", WithoutBias))
    own = RunFolder(tmp_path / "other").description()["weights"]
    assert f"What is in `calibration` and `score` was fitted with weights {fitted['model']}" in said
    assert f"those of this model are {own}" in said
    alone = later(other, "score", LearnedWeights, calibration=None)
    assert len(warnings_of(alone)) == 1
    timed = run(first.path, "--informative")
    grid = InformativeGrid(first.path)
    of_times = {"strategy": Full(4), "grid": grid}
    (said,) = warnings_of(lambda: evaluated(other, data, tmp_path / "times", **of_times))
    assert f"What is in `grid` was fitted with weights {timed['model']}" in said
    scored = [str(tmp_path / "other"), "--score=MeanError", "--score.loss=l2"]
    scored += [f"--calibration={first.path}"]
    assert len(warnings_of(lambda: rescored(scored))) == 1
    of_nobody = {**timed, "model": None}
    (first.path / "calibration.json").write_text(json.dumps(of_nobody))
    assert warnings_of(lambda: rescored(scored)) == []


def test_a_checkpoint_holds_what_was_learned(denoiser, tmp_path):
    data = [images_of(denoiser, 50)]
    folder = evaluated(denoiser, data, tmp_path / "r", Full(20), grid=GoldenGrid()).path
    fitted = run(folder, "--weights", "--bias")
    score = WithoutBias(folder)
    classifier = DiffusionClassifier(denoiser, Full(4), score=score, calibration=folder)
    assert (classifier.temperature, classifier.calibrated) == (fitted["temperature"], True)
    trainer = quiet_trainer()
    trainer.predict(classifier, [DataLoader(one, batch_size=50) for one in data])
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    (folder / "calibration.json").unlink()
    again = DiffusionClassifier.load_from_checkpoint(tmp_path / "last.ckpt", denoiser=denoiser)
    assert again.scores[0].name == score.name
    assert again.temperature == fitted["temperature"]
    run(folder, "--weights")
    with pytest.raises(InputError, match="fitted for"):
        DiffusionClassifier(denoiser, Full(4), calibration=folder)


def test_candidates_of_several_prompts_have_the_same_name_in_a_run(tmp_path):
    ensembles = Candidates([("a cat", "a photo of a cat"), ("a dog", "a photo of a dog")], [0, 1])
    folder = RunFolder(tmp_path)
    folder.begin({"candidates": ensembles.conditions, "labels": ensembles.labels}, {"own": None})
    assert candidates_of(folder, "own").names == ensembles.names
