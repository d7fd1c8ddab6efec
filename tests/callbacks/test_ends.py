"""What fails at the end of a run, after its last image, costs neither rows nor summary."""

import json

import pytest
import torch
from forked import diffclf
from lightning.pytorch import Callback
from lightning.pytorch.loggers.logger import DummyLogger
from running import quiet_trainer
from stored_runs import rows, their_means
from torch.utils.data import DataLoader

from diffclf_lightning import DiffusionClassifier, Full
from diffclf_lightning.callbacks import (
    EffectiveRobustness,
    ErrorFigure,
    ReportTable,
    ResultsWriter,
    figures,
    robustness,
    table,
    thumbnails,
)
from diffclf_lightning.denoisers import GaussianDenoiser

LAST = 2
"""Batch of the twelve images, by five."""


class FailedError(Exception):
    """What a user's own code raises."""


def far_apart():
    """Three classes, each of whose images is answered rightly."""
    return GaussianDenoiser(
        torch.linspace(-0.6, 0.6, 3).reshape(3, 1, 1, 1).expand(3, 1, 4, 4), 0.1
    )


def failing(hook):
    """A user's callback that fails in a hook; behind a batch, in the last one."""

    def fail(self, *args, **kwargs):
        if "batch" not in hook or LAST in args:
            raise FailedError(hook)

    return type("Failing", (Callback,), {hook: fail})()


class FailingLogger(DummyLogger):
    def log_metrics(self, *args, **kwargs):
        raise FailedError("log_metrics")


def evaluate(folder, run, callbacks=(), **kwargs):
    """Evaluate twelve images, of which all are answered rightly."""
    denoiser = far_apart()
    loader = DataLoader(their_means(denoiser), batch_size=5)
    trainer = quiet_trainer(callbacks=[*callbacks, ResultsWriter(folder)])
    trainer.loggers = kwargs.pop("loggers", [])
    getattr(trainer, run)(DiffusionClassifier(denoiser, Full(3)), loader, **kwargs)


def check_stored(folder, name, answers=12):
    content = json.loads((folder / "summary.json").read_text())["sets"]
    assert len(rows(folder)) == answers
    assert not (folder / "parts").exists()
    assert (content[name]["correct"], content[name]["total"]) == (answers, answers)


@pytest.mark.parametrize("hook", ["on_test_epoch_end", "on_test_end", "teardown"])
def test_a_callback_that_fails_after_the_last_image(hook, tmp_path):
    with pytest.raises(FailedError, match=hook):
        evaluate(tmp_path, "test", [failing(hook)], verbose=False)
    check_stored(tmp_path, "test")


def test_a_callback_that_fails_behind_a_batch_leaves_its_rows(tmp_path):
    with pytest.raises(FailedError):
        evaluate(tmp_path, "test", [failing("on_test_batch_end")], verbose=False)
    assert len(list((tmp_path / "parts").glob("*.parquet"))) == LAST + 1


@pytest.mark.parametrize("run", ["test", "validate"])
def test_a_logger_that_fails(run, tmp_path):
    with pytest.raises(FailedError, match="log_metrics"):
        evaluate(tmp_path, run, loggers=[FailingLogger()], verbose=False)
    check_stored(tmp_path, "test" if run == "test" else "val")


def test_predictions_are_stored_before_a_callback_fails(tmp_path):
    with pytest.raises(FailedError, match="on_predict_epoch_end"):
        evaluate(tmp_path, "predict", [failing("on_predict_epoch_end")])
    assert len(rows(tmp_path)) == 12
    assert (tmp_path / "summary.json").is_file()


def broken(*args, **kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("callback", "module", "name", "said"),
    [
        (ErrorFigure, figures, "draw_errors", "Drawing the errors of 'digits'"),
        (ErrorFigure, figures.FirstImages, "add", "Keeping images of 'digits'"),
        (EffectiveRobustness, robustness, "compare_all", "Comparing with baselines"),
        (EffectiveRobustness, robustness, "show", "Writing the comparison"),
        (ReportTable, table, "report_table", "Printing the table"),
        (None, thumbnails, "encoded", "Making a thumbnail of 'digits'"),
    ],
)
def test_what_is_made_beside_the_results_may_fail(
    callback, module, name, said, tmp_path, monkeypatch
):
    """One line says what failed; rows and summary are as without it."""
    denoiser = far_apart()
    sets = {n: DataLoader(their_means(denoiser), batch_size=5) for n in ("digits", "rotation_10")}
    extra = [] if callback is None else [callback()]
    trainer = quiet_trainer(callbacks=[*extra, ResultsWriter(tmp_path)])
    classifier = DiffusionClassifier(denoiser, Full(3))
    if name != "compare_all":
        monkeypatch.setattr(module, name, broken)
    else:
        compare = robustness.compare_all
        at_end = lambda *args: broken() if classifier.reports else compare(*args)  # noqa: E731
        monkeypatch.setattr(module, name, at_end)
    with pytest.warns(UserWarning, match=said) as warned:
        trainer.test(classifier, sets, verbose=False)
    (line,) = {str(w.message) for w in warned if said in str(w.message)}
    assert "No space left" in line
    assert "\n" not in line
    if name not in ("add", "encoded"):
        assert f"Rows and summary are stored in {tmp_path}" in line
    content = json.loads((tmp_path / "summary.json").read_text())["sets"]
    assert [content[name]["correct"] for name in sets] == [12, 12]
    assert len(rows(tmp_path)) == 24


def test_a_figure_that_cannot_be_written_leaves_the_exit_status(tmp_path):
    (tmp_path / "r/errors-digits.png").mkdir(parents=True)
    few = ["--data.num_test=2", "--model.strategy.max_trials=3", "--results.folder=r"]
    ended = diffclf(tmp_path, "test", "--config=digits", *few)
    assert ended.code == 0, ended.stderr
    assert (tmp_path / "r/summary.json").is_file()
