"""Whether models were measured on the same images, and what they scored on those in common."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.robustness.pairs import Pair
from diffclf_lightning.robustness.tables import Model


def check_same_images(pair: Pair, models: Iterable[Model]) -> None:
    """Refuse models that were measured, as far as is known, on different images of a set."""
    by_images: dict[str, Model] = {}
    by_total: dict[str, Model] = {}
    for model in models:
        for name in sorted(pair.sets & model.accuracies.keys()):
            images, total = model.images.get(name), model.accuracies[name].total
            if images is not None and (other := by_images.setdefault(name, model)) is not model:
                both = len(other.images[name] & images)
                if not both == len(images) == len(other.images[name]):
                    raise InputError(
                        f"Expected the same images of {name!r} in all runs, but got "
                        f"{len(other.images[name])} in {other.name} and {len(images)} in "
                        f"{model.name}, {both} of them in both. Run both on the same images (the "
                        "same `subset` and `seed` of the data), or give --common to take those."
                    )
            other = model if total is None else by_total.setdefault(name, model)
            if other.accuracies[name].total != total:
                raise InputError(
                    f"Expected as many images of {name!r} for all models that are compared, but "
                    f"got {other.accuracies[name].total} for {other.name} and {total} for "
                    f"{model.name}, and tables do not name them. Compare them one at a time, or "
                    "give the table as --baselines."
                )


def on_common_images(pair: Pair, models: Sequence[Model]) -> tuple[list[Model], list[str]]:
    """Models on the images that all of those with known ones have in common.

    Returns:
        The models, in their order; those whose images are not known are left as they are. And
        notes of the sets that it changes.

    Raises:
        InputError: If they have none in common.
    """
    notes = []
    for name in sorted(pair.sets):
        known = [model for model in models if name in model.images]
        common = frozenset[str]().union(*(model.images[name] for model in known))
        for model in known:
            common &= model.images[name]
        if all(len(model.images[name]) == len(common) for model in known):
            continue
        if not common:
            raise InputError(
                f"Expected images of {name!r} that {', '.join(model.name for model in known)} have "
                "in common, but there are none. Run them on the same images (the same `subset` and "
                "`seed` of the data)."
            )
        models = [_on(common, name, model) if name in model.images else model for model in models]
        notes.append(f"on the {len(common):,} images of {name} that all runs have in common")
    return list(models), notes


def _on(images: frozenset[str], name: str, model: Model) -> Model:
    """A model on some images of a set alone."""
    correct = model.correct[name] & images
    return replace(
        model,
        accuracies={**model.accuracies, name: Accuracy.of(len(correct), len(images))},
        images={**model.images, name: images},
        correct={**model.correct, name: correct},
    )
