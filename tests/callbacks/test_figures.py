import pytest
import torch
from running import table_of

from diffclf_lightning.answers import Answer, Predictions
from diffclf_lightning.callbacks.figures import MANY, draw_errors
from diffclf_lightning.candidates import Candidates
from diffclf_lightning.evaluation import MeanError
from diffclf_lightning.tasks import Asked, Classification


def predictions(candidates):
    errors = torch.rand(2, candidates, 6)
    errors[1, 3] -= 1
    task = Classification().bind(Asked(Candidates.from_class_ids(candidates)))
    answer = Answer.from_table(table_of(l2=errors), [MeanError("l2")])
    columns = task.columns(answer, {"label": torch.tensor([2, 3])})
    return Predictions("set", ["a", "b"], [0, 1], ["", ""], 0.1, columns)


@pytest.mark.parametrize("channels", [1, 3])
def test_bars_are_errors_above_the_lowest(channels, seed):
    result, names = predictions(4), ["w", "x", "y", "z"]
    image = torch.rand(channels, 8, 8)
    figure = draw_errors([(image, result, 0), (image, result, 1)], names)
    axis = figure.axes[3]
    widths = [bar.get_width() for bar in axis.patches]
    scores = result["scores"][1]
    assert widths == pytest.approx((scores - scores.min()).tolist(), abs=1e-6)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["w", "x", "y", "z ★"]
    assert axis.lines[0].get_ydata()[0] == 3
    assert figure.axes[0].images[0].get_array().shape[:2] == (8, 8)


def test_of_many_classes_the_best_are_drawn(seed):
    result = predictions(50)
    axis = draw_errors([(torch.rand(1, 8, 8), result, 0)]).axes[1]
    assert len(axis.patches) == MANY
    drawn = [int(label.get_text().split()[0]) for label in axis.get_yticklabels()]
    assert drawn == result["scores"][0].argsort()[:MANY].tolist()
