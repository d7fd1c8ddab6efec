"""OpenClipZeroShot: any contrastive model of open_clip (CLIP, OpenCLIP, SigLIP, ...)."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torchvision.transforms import Compose, Normalize, PILToTensor, ToTensor

from diffclf_lightning.baselines.contrastive import ContrastiveClassifier
from diffclf_lightning.baselines.logits import Preprocessing
from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed
from diffclf_lightning.paths import named, path_of
from diffclf_lightning.weight_files import UNREADABLE, why

HUB, FOLDER = "hf-hub:", "local-dir:"
"""How open_clip's names of models on the hub and in folders begin."""
EMBEDDED, ASSETS = "diffclf/", Path(__file__).parents[1] / "assets"
CONFIG = "open_clip_config.json"
REMOTE_CODE = "trust_remote_code"


class OpenClipZeroShot(ContrastiveClassifier):
    """A contrastive model of open_clip, with its own tokenizer, resizing, crop and normalisation.

    Weights are read without running anything that a file may hold.

    Args:
        model: Name in open_clip (``ViT-L-14-quickgelu``), ``hf-hub:OWNER/NAME``, a folder that
            holds an ``open_clip_config.json`` and weights (``local-dir:FOLDER`` as well), or
            ``diffclf/NAME`` for a model that the package carries.
        pretrained: Tag of the weights in open_clip (``openai``), or a file of weights; for a name
            of open_clip alone.
        **kwargs: Further arguments of :class:`ContrastiveClassifier`: ``template``,
            ``candidates``, ``classnames``, ``task``.

    Raises:
        InputError: If open_clip has no such model, its weights cannot be had, or they were trained
            with another activation than the model has.
    """

    def __init__(self, model: str, pretrained: str | None = None, **kwargs: Any) -> None:
        open_clip = needed("open_clip", "clip")
        source, pretrained = _source(model), pretrained and named(pretrained)
        if source.startswith((HUB, FOLDER)):
            _check_alone(model, pretrained)
        else:
            _check_known(open_clip, model, pretrained)
        try:
            network = open_clip.create_model(source, pretrained, require_pretrained=True)
            tokenizer = open_clip.get_tokenizer(source, **_without_code(open_clip, source))
        except InputError:
            raise
        except (*UNREADABLE, AssertionError) as error:
            raise InputError(
                f"Expected weights, configuration and tokenizer of {model!r}"
                f"{'' if pretrained is None else f' ({pretrained})'}, but got "
                f"{why(error)}. Check the name "
                "and the connection, or give a file of weights as `pretrained`."
            ) from error
        name = model if pretrained is None else f"{model} ({pretrained})"
        preprocessing = preprocessing_of(network.visual.preprocess_cfg)
        super().__init__(network, tokenizer, preprocessing, name, **kwargs)
        self.eval()


def preprocessing_of(config: Mapping[str, Any]) -> Preprocessing:
    """What open_clip does to an image, as far as uint8 pixels, and its normalisation apart.

    Args:
        config: ``preprocess_cfg`` of a model of open_clip.
    """
    transform = needed("open_clip.transform", "clip")
    whole = transform.image_transform_v2(transform.PreprocessCfg(**config), is_train=False)
    steps = [step for step in whole.transforms if not isinstance(step, ToTensor | Normalize)]
    normalise = whole.transforms[-1]
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    resize = Compose([*steps, PILToTensor()])
    return Preprocessing(resize, (3, height, width), normalise.mean, normalise.std)


def _source(model: str) -> str:
    """The name of a model for open_clip."""
    folder = path_of(model.removeprefix(FOLDER))
    if model.startswith(EMBEDDED) and not folder.exists():
        folder = ASSETS / model.removeprefix(EMBEDDED)
        if not (folder / CONFIG).is_file():
            known = sorted(EMBEDDED + file.parent.name for file in ASSETS.glob(f"*/{CONFIG}"))
            raise InputError(
                f"Expected argument `model` to name a contrastive model of the package "
                f"({', '.join(known) or 'none'}), but got {model!r}."
            )
    return f"{FOLDER}{folder}" if folder.is_dir() else model


def _without_code(open_clip: Any, source: str) -> dict[str, Any]:
    """Arguments by which a tokenizer of transformers runs no code that lies beside it."""
    told = (open_clip.get_model_config(source) or {}).get("text_cfg", {})
    if told.get("tokenizer_kwargs", {}).get(REMOTE_CODE):
        raise InputError(
            f"Expected a contrastive model whose tokenizer is one of transformers, but the {CONFIG}"
            f" of {source!r} asks to run code that comes with it (`{REMOTE_CODE}`), which is never "
            "done. Take another model."
        )
    return {REMOTE_CODE: False} if told.get("hf_tokenizer_name") else {}


def _check_alone(model: str, pretrained: str | None) -> None:
    if pretrained is not None:
        raise InputError(
            f"Expected no argument `pretrained` with {model!r}, which brings its weights, but got "
            f"{pretrained!r}. Leave it out."
        )


def _check_known(open_clip: Any, model: str, pretrained: str | None) -> None:
    known = open_clip.list_models()
    if model not in known:
        close = ", ".join(get_close_matches(model, known)) or "none"
        raise InputError(
            "Expected argument `model` to be a name that open_clip "
            f"{open_clip.__version__} knows, a folder, or {HUB}OWNER/NAME, but got {model!r}. "
            f"Names that are close: {close}."
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    tag = open_clip.get_pretrained_cfg(model, pretrained or "")
    if pretrained is None or not (tag or Path(pretrained).is_file()):
        raise InputError(
            f"Expected argument `pretrained` to be a file of weights or one of the tags of {model} "
            f"in open_clip ({', '.join(tags) or 'none'}), but got {pretrained!r}."
        )
    if tag.get("quick_gelu") and not open_clip.get_model_config(model).get("quick_gelu"):
        raise InputError(  # open_clip warns, and answers with the wrong activation
            f"Expected a model with the activation that the weights {pretrained!r} were trained "
            f"with, but {model!r} has another. Take '{model}-quickgelu'."
        )
