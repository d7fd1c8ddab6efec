r"""LoRA: a low-rank change of frozen weights, which training learns (Hu et al. 2021, section 4.1).

A layer of weight :math:`W` computes :math:`(W + \frac{\alpha}{r} B A) x`. A, of ``r`` rows, and B,
of ``r`` columns, are trained, and W is not. B starts at zero, and the network as it was.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from diffclf_lightning.denoisers.base import Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed
from diffclf_lightning.ranges import check_number
from diffclf_lightning.weights import checksum

ATTENTION = (
    *("to_q", "to_k", "to_v", "to_out.0", "to_out"),
    *("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "to_qkv_mlp_proj"),
    *("attn.qkv", "attn.proj", "attn_qkv", "attn_proj"),
)
"""Projections of attention of diffusers' networks (where transformers attend to image and text at
once those of the text, or that of all in one) and of the networks of DiT, SiT and EDM2."""


class LoRA:
    """What of a denoiser is trained: low-rank changes of some layers, and nothing else.

    Args:
        rank: Rank of the change.
        alpha: Scale of the change, times the rank. Defaults to None: ``rank``, a scale of 1.
        target_modules: Names of the linear or convolutional layers that are changed, or the ends of
            their names. Defaults to None: the projections of attention.
        dropout: Share of a layer's inputs that the change does not see in training.
        class_embeddings: Whether the embeddings of classes are trained too, in full.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(
        self,
        rank: int = 8,
        alpha: float | None = None,
        target_modules: Sequence[str] | None = None,
        dropout: float = 0.0,
        class_embeddings: bool = False,
    ) -> None:
        if rank < 1:
            raise InputError(f"Expected argument `rank` to be at least 1, but got {rank}.")
        if alpha is not None:
            check_number("alpha", alpha, above=0)
        if not 0 <= dropout < 1:
            raise InputError(f"Expected argument `dropout` in [0, 1), but got {dropout}.")
        self.rank, self.alpha, self.dropout = rank, alpha, dropout
        self.target_modules = None if target_modules is None else list(target_modules)
        self.class_embeddings = class_embeddings

    def add_to(self, denoiser: Denoiser) -> None:
        """Freeze a denoiser, and put trainable changes beside the layers of its network.

        Args:
            denoiser: The model, which is changed.

        Raises:
            InputError: If peft is not installed, no layer has such a name, the denoiser has such
                changes already, or has no embeddings of classes to train.
        """
        peft: Any = needed("peft", "lora")
        if denoiser.lora is not None:
            raise InputError(
                "Expected a model without LoRA layers, but got one that has them already. Load it "
                "anew, or leave out `lora`."
            )
        targets = self._targets(denoiser.network)
        tables = self._tables(denoiser)
        denoiser.frozen = checksum(denoiser)
        denoiser.requires_grad_(requires_grad=False)
        config = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha or self.rank,
            target_modules=targets,
            lora_dropout=self.dropout,
        )
        peft.inject_adapter_in_model(config, denoiser.network)
        denoiser.lora = self
        for table in tables:
            table.requires_grad_()
        for weight in denoiser.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()  # optimizers lose small steps in half precision

    def _targets(self, network: nn.Module) -> list[str]:
        """Names of the layers to change."""
        layers = [
            name
            for name, module in network.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
        ]
        wanted = self.target_modules or ATTENTION
        found = {
            end: [name for name in layers if name == end or name.endswith(f".{end}")]
            for end in wanted
        }
        missing = [end for end in wanted if not found[end]]
        if missing and (self.target_modules or len(missing) == len(wanted)):
            ends = sorted({name.rpartition(".")[2] for name in layers} - {"0", "1", "2"})
            raise InputError(
                f"Expected argument `target_modules` to name layers of {type(network).__name__} "
                f"({', '.join(ends[:20])}), but got {', '.join(missing)}."
            )
        return sorted({name for names in found.values() for name in names})

    def _tables(self, denoiser: Denoiser) -> list[nn.Embedding]:
        if not self.class_embeddings:
            return []
        tables: Any = getattr(denoiser, "class_embeddings", None)
        if tables is None:
            raise InputError(
                "Expected no argument `class_embeddings` for a model that is told no class ids, "
                "but got true. Leave it out."
            )
        return list(tables())


def adapted(denoiser: Denoiser, lora: LoRA) -> Denoiser:
    """A denoiser with LoRA layers, as a checkpoint of its training has it.

    Args:
        denoiser: The model, which is changed.
        lora: Its changes.
    """
    lora.add_to(denoiser)
    return denoiser


def layers_of(network: nn.Module) -> dict[str, Any]:
    """The LoRA layers of a network by the name of the layer that each changes."""
    return {name: layer for name, layer in network.named_modules() if hasattr(layer, "lora_A")}


@contextmanager
def merged(denoiser: Denoiser) -> Iterator[None]:
    """The plain network meanwhile, with the changes in its weights; afterwards all is as before.

    Args:
        denoiser: The model, with or without LoRA layers.

    Raises:
        InputError: If weights are quantised, to which nothing can be added.
    """
    network = denoiser.network
    layers = layers_of(network) if denoiser.lora is not None else {}
    frozen = {name: layer.get_base_layer().weight.data for name, layer in layers.items()}
    if not all(weight.is_floating_point() for weight in frozen.values()):
        raise InputError(
            "Expected weights that LoRA layers can be added to, but got quantised ones. Write the "
            "layers alone (`ExportLoRA`), or load the model without `quantization_config`."
        )
    for name, layer in layers.items():
        plain = layer.get_base_layer()
        change = layer.get_delta_weight("default")
        plain.weight.data = (frozen[name].to(change.dtype) + change).to(frozen[name].dtype)
        network.set_submodule(name, plain)
    try:
        yield
    finally:
        for name, layer in layers.items():
            layer.get_base_layer().weight.data = frozen[name]
            network.set_submodule(name, layer)
