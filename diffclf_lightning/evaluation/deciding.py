"""Which losses a pass computes, and which scores are made of them."""

from collections.abc import Sequence

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.losses import ErrorFunction, Loss, get_loss, get_losses
from diffclf_lightning.evaluation.predictor import Predictor
from diffclf_lightning.evaluation.scores import MeanError, Score


def losses_and_scores(
    loss: str | Loss | ErrorFunction,
    other_losses: Sequence[str | Loss | ErrorFunction],
    score: Score | None,
    model: Predictor,
) -> tuple[list[Loss], list[Score]]:
    """All losses of a pass, and the scores that answer, the one that decides first.

    Args:
        loss: As in :func:`get_loss`.
        other_losses: Further ones, each with an answer of its own.
        score: Decides. Defaults to None: the mean of ``loss``.
        model: The model that a loss may ask for its variance.

    Raises:
        InputError: If they are no losses and no score, or the model does not fit them.
    """
    if score is not None and not isinstance(score, Score):
        raise InputError(
            f"Expected argument `score` to be a score, but got {score!r}. The mean of a loss "
            "is `loss`; others are `WeightedError` and `RelativeToReference`."
        )
    named = get_losses([get_loss(loss), *get_losses(other_losses, "other_losses")], "other_losses")
    decides = score or MeanError(named[0].name)
    read = [name for name in decides.losses if name not in {one.name for one in named}]
    means = [MeanError(one.name) for one in named]
    others = [mean for mean in means if mean.name != decides.name]
    losses = [*named, *(get_loss(name) for name in read)]
    for one in losses:
        if one.needs_variance and not model.predicts_variance:
            raise InputError(
                f"Expected a model that predicts its variance for loss {one.name!r}, but got "
                f"{type(model).__name__}, which predicts noise alone. Take the loss out of `loss` "
                "and `other_losses`, or a model with twice the channels (DiT-XL-2)."
            )
    return losses, [decides, *others]
