"""EDM2 as published: random weights by their names there, and the network in formulas.

Karras et al. (2024), configuration G: layers whose weights are divided by their norm in the pass.
"""

import math

import torch

SIDE, LEVELS = 8, (8, 128)
NOISE, TOLD, EPSILON = 6, 20, 1e-4
"""Two levels, the second with attention of two heads of 64 channels."""


def blocks():
    """Name, channels in and out, and attention, of each block in order; the encoder's first."""
    first, second = LEVELS
    enc = [("8x8_block0", first, first, False), ("8x8_block1", first, first, False)]
    enc += [("4x4_down", first, first, False), ("4x4_block0", first, second, True)]
    enc += [("4x4_block1", second, second, True)]
    dec = [("4x4_in0", second, second, True), ("4x4_in1", second, second, False)]
    dec += [(f"4x4_block{i}", second + skip, second, True) for i, skip in enumerate((128, 128, 8))]
    dec += [("8x8_up", second, second, False)]
    dec += [(f"8x8_block{i}", (second, 8, 8)[i] + 8, first, False) for i in range(3)]
    return [("enc", *block) for block in enc] + [("dec", *block) for block in dec]


def weights(channels=1, classes=5):
    made = {
        "unet.emb_fourier.freqs": 6 * torch.randn(NOISE),
        "unet.emb_fourier.phases": 6 * torch.rand(NOISE),
        "unet.emb_noise.weight": torch.randn(TOLD, NOISE),
        "unet.emb_label.weight": torch.randn(TOLD, classes),
        "unet.enc.8x8_conv.weight": torch.randn(LEVELS[0], channels + 1, 3, 3),
        "unet.out_conv.weight": torch.randn(channels, LEVELS[0], 3, 3),
        "unet.out_gain": torch.tensor(0.7),
        "logvar_fourier.freqs": 6 * torch.randn(7),
        "logvar_fourier.phases": 6 * torch.rand(7),
        "logvar_linear.weight": torch.randn(1, 7),
    }
    for part, name, entering, out, attends in blocks():
        block = f"unet.{part}.{name}"
        made[f"{block}.conv_res0.weight"] = torch.randn(
            out, out if part == "enc" else entering, 3, 3
        )
        made[f"{block}.emb_gain"] = torch.randn(())
        made[f"{block}.emb_linear.weight"] = torch.randn(out, TOLD)
        made[f"{block}.conv_res1.weight"] = torch.randn(out, out, 3, 3)
        if entering != out:
            made[f"{block}.conv_skip.weight"] = torch.randn(out, entering, 1, 1)
        if attends:
            made[f"{block}.attn_qkv.weight"] = torch.randn(3 * out, out, 1, 1)
            made[f"{block}.attn_proj.weight"] = torch.randn(out, out, 1, 1)
    return made


def denoised(weights, x, sigma, y):
    """D of one sample, in double precision."""
    w = {name: value.double() for name, value in weights.items()}
    x = x.double()

    def layer(name, value, gain=1.0):
        kernel = w[f"unet.{name}.weight"]
        fan_in = kernel[0].numel()
        size = torch.sqrt((kernel.flatten(1) ** 2).sum(1) / fan_in)
        shape = (-1, *(1,) * (kernel.ndim - 1))
        kernel = kernel / (EPSILON + size.reshape(shape)) * gain / math.sqrt(fan_in)
        if kernel.ndim == 2:
            return kernel @ value
        return torch.nn.functional.conv2d(value[None], kernel, padding=kernel.shape[-1] // 2)[0]

    def silu(value):
        return value / (1 + torch.exp(-value)) / 0.596

    def total(a, b, share):
        return ((1 - share) * a + share * b) / math.sqrt((1 - share) ** 2 + share**2)

    def pixel_norm(value):
        return value / (EPSILON + torch.sqrt((value**2).mean(0)))

    def attended(block, value):
        channels, height, width = value.shape
        qkv = layer(f"{block}.attn_qkv", value)
        out = torch.empty_like(value)
        for head in range(channels // 64):
            mine = slice(head * 64 * 3, (head + 1) * 64 * 3)
            parts = [qkv[mine][part::3].reshape(64, -1) for part in range(3)]
            q, k, v = (pixel_norm(part) for part in parts)
            likeness = torch.softmax(q.T @ k / 8, dim=1)
            out[head * 64 : (head + 1) * 64] = (v @ likeness.T).reshape(64, height, width)
        return layer(f"{block}.attn_proj", out)

    def run(block, value, told, encoder, attends):
        def skip(value):
            known = f"unet.{block}.conv_skip.weight" in w
            return layer(f"{block}.conv_skip", value) if known else value

        if encoder:
            value = pixel_norm(skip(value))
        inner = layer(f"{block}.conv_res0", silu(value))
        scale = layer(f"{block}.emb_linear", told, w[f"unet.{block}.emb_gain"]) + 1
        inner = layer(f"{block}.conv_res1", silu(inner * scale[:, None, None]))
        value = total(value if encoder else skip(value), inner, 0.3)
        if attends:
            value = total(value, attended(block, value), 0.3)
        return value.clamp(-256, 256)

    noise = math.log(sigma) / 4
    waves = torch.cos(w["unet.emb_fourier.freqs"] * noise + w["unet.emb_fourier.phases"])
    classes = w["unet.emb_label.weight"].shape[1]
    one_hot = torch.eye(classes, dtype=torch.float64)[y] * math.sqrt(classes)
    told = total(layer("emb_noise", waves * math.sqrt(2)), layer("emb_label", one_hot), 0.5)
    told = silu(told)
    inside = x / math.sqrt(sigma**2 + 0.25)
    value = layer("enc.8x8_conv", torch.cat([inside, torch.ones(1, SIDE, SIDE).double()]))
    skips = [value]
    for part, name, _, _, attends in blocks():
        if name.endswith("down"):
            value = value.reshape(len(value), SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
        if name.endswith("up"):
            value = value.repeat_interleave(2, 1).repeat_interleave(2, 2)
        if part == "dec" and "block" in name:
            other = skips.pop()
            scale = math.sqrt((len(value) + len(other)) / 0.5) * 0.5
            value = torch.cat(
                [value * scale / math.sqrt(len(value)), other * scale / math.sqrt(len(other))]
            )
        value = run(f"{part}.{name}", value, told, part == "enc", attends)
        if part == "enc":
            skips.append(value)
    raw = layer("out_conv", value, w["unet.out_gain"])
    skipped = 0.25 / (sigma**2 + 0.25) * x
    return skipped + sigma * 0.5 / math.sqrt(sigma**2 + 0.25) * raw


def uncertainty(weights, sigma):
    """u of a scale of noise, in double precision."""
    w = {name: value.double() for name, value in weights.items()}
    noise = math.log(sigma) / 4
    waves = torch.cos(w["logvar_fourier.freqs"] * noise + w["logvar_fourier.phases"])
    kernel = w["logvar_linear.weight"][0]
    size = torch.sqrt((kernel**2).mean())
    return (kernel / (EPSILON + size) / math.sqrt(len(kernel)) * waves).sum() * math.sqrt(2)


def saved(weights, channels=1):
    """What the lines of the documentation save."""
    sigma, classes = torch.tensor([0.05, 0.4, 8.0]), torch.tensor([1, 4, 2])
    x = torch.randn(3, channels, SIDE, SIDE) * (sigma**2 + 0.25).sqrt()[:, None, None, None]
    said = [
        denoised(weights, *one) for one in zip(x, sigma.tolist(), classes.tolist(), strict=True)
    ]
    probe = {"x": x, "sigma": sigma, "classes": classes, "denoised": torch.stack(said).float()}
    return {"model": weights, "probe": probe}
