"""DiT, SiT and REPA as published: random weights by their names, and the network in formulas."""

import math
from dataclasses import dataclass

import torch


@dataclass
class Sizes:
    """Sizes of a small network, no two of them alike."""

    channels: int = 4
    patch: int = 2
    side: int = 8
    width: int = 24
    heads: int = 3
    hidden: int = 40
    blocks: int = 3
    rows: int = 6
    variance: bool = False
    qk_norm: bool = False


def weights(sizes, projectors=False):
    """Random weights, all of them of a size that matters, by the names of the repositories."""
    width, inside = sizes.width, sizes.patch**2 * sizes.channels
    out = inside * 2 if sizes.variance else inside
    made = {}

    def linear(name, rows, columns):
        made[f"{name}.weight"] = torch.randn(rows, columns) / math.sqrt(columns)
        made[f"{name}.bias"] = torch.randn(rows) / 3

    made["pos_embed"] = torch.randn(1, (sizes.side // sizes.patch) ** 2, width)
    linear("x_embedder.proj", width, inside)
    kernel = width, sizes.channels, sizes.patch, sizes.patch
    made["x_embedder.proj.weight"] = made["x_embedder.proj.weight"].reshape(kernel)
    linear("t_embedder.mlp.0", width, 256)
    linear("t_embedder.mlp.2", width, width)
    made["y_embedder.embedding_table.weight"] = torch.randn(sizes.rows, width)
    for i in range(sizes.blocks):
        linear(f"blocks.{i}.attn.qkv", 3 * width, width)
        linear(f"blocks.{i}.attn.proj", width, width)
        if sizes.qk_norm:
            for name in ("q_norm", "k_norm"):
                made[f"blocks.{i}.attn.{name}.weight"] = 1 + torch.randn(width // sizes.heads) / 3
                made[f"blocks.{i}.attn.{name}.bias"] = torch.randn(width // sizes.heads) / 3
        linear(f"blocks.{i}.mlp.fc1", sizes.hidden, width)
        linear(f"blocks.{i}.mlp.fc2", width, sizes.hidden)
        linear(f"blocks.{i}.adaLN_modulation.1", 6 * width, width)
    linear("final_layer.linear", out, width)
    linear("final_layer.adaLN_modulation.1", 2 * width, width)
    if projectors:
        linear("projectors.0.0", 5, width)
        linear("projectors.0.2", 7, 5)
    return made


def forward(weights, sizes, x, t, y):
    """The published forward pass of one sample, in double precision (Peebles and Xie 2023, 3.2)."""
    w = {name: value.double() for name, value in weights.items()}
    x, patch, channels = x.double(), sizes.patch, sizes.channels
    grid = sizes.side // patch

    def linear(name, value):
        return value @ w[f"{name}.weight"].flatten(1).T + w[f"{name}.bias"]

    def silu(value):
        return value / (1 + torch.exp(-value))

    def normalised(value, eps):
        mean = value.mean(-1, keepdim=True)
        variance = ((value - mean) ** 2).mean(-1, keepdim=True)
        return (value - mean) / torch.sqrt(variance + eps)

    def square(i, j):
        return slice(i * patch, (i + 1) * patch), slice(j * patch, (j + 1) * patch)

    places = [square(i, j) for i in range(grid) for j in range(grid)]
    tokens = torch.stack([x[:, rows, columns].flatten() for rows, columns in places])
    tokens = linear("x_embedder.proj", tokens) + w["pos_embed"][0]
    angles = [t * math.exp(-math.log(10000) * i / 128) for i in range(128)]
    waves = [math.cos(a) for a in angles] + [math.sin(a) for a in angles]
    time = linear("t_embedder.mlp.0", torch.tensor(waves, dtype=torch.float64))
    told = linear("t_embedder.mlp.2", silu(time)) + w["y_embedder.embedding_table.weight"][y]
    for i in range(sizes.blocks):
        block = f"blocks.{i}"
        modulation = linear(f"{block}.adaLN_modulation.1", silu(told)).reshape(6, sizes.width)
        shift, scale, gate, shift_2, scale_2, gate_2 = modulation
        qkv = linear(f"{block}.attn.qkv", normalised(tokens, 1e-6) * (1 + scale) + shift)
        seen = []
        for head in range(sizes.heads):
            size = sizes.width // sizes.heads
            q, k, v = (qkv[:, part * sizes.width + head * size :][:, :size] for part in range(3))
            if sizes.qk_norm:
                names = (f"{block}.attn.q_norm", f"{block}.attn.k_norm")
                q, k = (
                    normalised(value, 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]
                    for name, value in zip(names, (q, k), strict=True)
                )
            likeness = torch.exp(q @ k.T / math.sqrt(size))
            seen.append(likeness / likeness.sum(1, keepdim=True) @ v)
        tokens = tokens + gate * linear(f"{block}.attn.proj", torch.cat(seen, 1))
        hidden = linear(f"{block}.mlp.fc1", normalised(tokens, 1e-6) * (1 + scale_2) + shift_2)
        cubic = math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3)
        hidden = hidden / 2 * (1 + torch.tanh(cubic))
        tokens = tokens + gate_2 * linear(f"{block}.mlp.fc2", hidden)
    shift, scale = linear("final_layer.adaLN_modulation.1", silu(told)).reshape(2, sizes.width)
    patches = linear("final_layer.linear", normalised(tokens, 1e-6) * (1 + scale) + shift)
    out = torch.empty(channels * (1 + sizes.variance), sizes.side, sizes.side, dtype=torch.float64)
    for (rows, columns), values in zip(places, patches, strict=True):
        out[:, rows, columns] = values.reshape(patch, patch, -1).permute(2, 0, 1)
    return out
