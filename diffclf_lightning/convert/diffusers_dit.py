"""DiT's published network of what the hub has as a pipeline of diffusers."""

import warnings
from itertools import pairwise
from typing import Any

import torch
from diffusers import DiTTransformer2DModel
from torch import Tensor, nn

from diffclf_lightning.denoisers import AutoDenoiser, DiTDenoiser, OriginalDiT
from diffclf_lightning.errors import InputError


def published(path: str) -> DiTDenoiser:
    """The same weights in the network that they were trained in, whole, with autoencoder and names.

    Args:
        path: Hub id, or folder of a pipeline, ``facebook/DiT-XL-2-256`` for instance.

    Raises:
        InputError: If it is no such pipeline, or its weights were trained in diffusers' network:
            in the published one all blocks share an embedding, of which diffusers has copies.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All blocks of this DiT")
        loaded = AutoDenoiser.from_pretrained(path)
    model: Any = loaded.network
    if not isinstance(loaded, DiTDenoiser) or not isinstance(model, DiTTransformer2DModel):
        raise InputError(
            "Expected WEIGHTS of kind dit to be a file, or a pipeline of DiTTransformer2DModel "
            f"(hub id or folder), but {path!r} has {type(model).__name__}."
        )
    embedders = [block.norm1.emb.state_dict() for block in model.transformer_blocks]
    if not all(torch.equal(a[name], b[name]) for a, b in pairwise(embedders) for name in a):
        raise InputError(
            f"Expected WEIGHTS to be published ones, but the blocks of {path!r} embed time and "
            "class each in its own way: they were trained in diffusers' network. Use them as they "
            "are."
        )
    config = model.config
    own = OriginalDiT(
        sample_size=config.sample_size,
        patch_size=config.patch_size,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        hidden_size=model.inner_dim,
        mlp_size=model.transformer_blocks[0].ff.net[0].proj.out_features,
        num_layers=config.num_layers,
        num_attention_heads=config.num_attention_heads,
        num_embeds_ada_norm=config.num_embeds_ada_norm,
    )
    own.load_state_dict(_renamed(model))
    loaded.model, loaded.calibration = own.eval(), None
    return loaded


def _renamed(model: Any) -> dict[str, Tensor]:
    first = model.transformer_blocks[0].norm1.emb
    layers: dict[str, nn.Module] = {
        "x_embedder.proj": model.pos_embed.proj,
        "t_embedder.mlp.0": first.timestep_embedder.linear_1,
        "t_embedder.mlp.2": first.timestep_embedder.linear_2,
        "y_embedder.embedding_table": first.class_embedder.embedding_table,
        "final_layer.adaLN_modulation.1": model.proj_out_1,
        "final_layer.linear": model.proj_out_2,
    }
    weights = {"pos_embed": model.pos_embed.pos_embed}
    for i, block in enumerate(model.transformer_blocks):
        layers[f"blocks.{i}.adaLN_modulation.1"] = block.norm1.linear
        layers[f"blocks.{i}.attn.proj"] = block.attn1.to_out[0]
        layers[f"blocks.{i}.mlp.fc1"] = block.ff.net[0].proj
        layers[f"blocks.{i}.mlp.fc2"] = block.ff.net[2]
        attention = block.attn1
        parts = [part.state_dict() for part in (attention.to_q, attention.to_k, attention.to_v)]
        for name in parts[0]:
            weights[f"blocks.{i}.attn.qkv.{name}"] = torch.cat([part[name] for part in parts])
    for prefix, layer in layers.items():
        weights |= {f"{prefix}.{name}": value for name, value in layer.state_dict().items()}
    return weights
