"""Stable Diffusion in the layout in which CompVis published it, from diffusers' own."""

import re

UNET = {
    r"^time_embedding\.linear_1": "time_embed.0",
    r"^time_embedding\.linear_2": "time_embed.2",
    r"^conv_in": "input_blocks.0.0",
    r"^down_blocks\.0\.resnets\.0": "input_blocks.1.0",
    r"^down_blocks\.0\.downsamplers\.0\.conv": "input_blocks.2.0.op",
    r"^down_blocks\.1\.resnets\.0": "input_blocks.3.0",
    r"^down_blocks\.1\.attentions\.0": "input_blocks.3.1",
    r"^mid_block\.resnets\.0": "middle_block.0",
    r"^mid_block\.attentions\.0": "middle_block.1",
    r"^mid_block\.resnets\.1": "middle_block.2",
    r"^up_blocks\.0\.resnets\.(\d)": r"output_blocks.\1.0",
    r"^up_blocks\.0\.attentions\.(\d)": r"output_blocks.\1.1",
    r"^up_blocks\.0\.upsamplers\.0\.conv": "output_blocks.1.2.conv",
    r"^up_blocks\.1\.resnets\.0": "output_blocks.2.0",
    r"^up_blocks\.1\.resnets\.1": "output_blocks.3.0",
    r"^conv_norm_out": "out.0",
    r"^conv_out": "out.2",
    r"\.norm1\.(weight|bias)$": r".in_layers.0.\1",
    r"\.conv1\.": ".in_layers.2.",
    r"\.time_emb_proj\.": ".emb_layers.1.",
    r"\.norm2\.(weight|bias)$": r".out_layers.0.\1",
    r"\.conv2\.": ".out_layers.3.",
    r"\.conv_shortcut\.": ".skip_connection.",
}
VAE = {
    r"coder\.down_blocks\.(\d)\.resnets\.": r"coder.down.\1.block.",
    r"coder\.down_blocks\.(\d)\.downsamplers\.0": r"coder.down.\1.downsample",
    r"coder\.up_blocks\.0\.resnets\.": "coder.up.1.block.",
    r"coder\.up_blocks\.1\.resnets\.": "coder.up.0.block.",
    r"coder\.up_blocks\.0\.upsamplers\.0": "coder.up.1.upsample",
    r"\.mid_block\.resnets\.0": ".mid.block_1",
    r"\.mid_block\.resnets\.1": ".mid.block_2",
    r"\.mid_block\.attentions\.0": ".mid.attn_1",
    r"\.group_norm\.": ".norm.",
    r"\.to_([qkv])\.": r".\1.",
    r"\.to_out\.0\.": ".proj_out.",
    r"\.conv_norm_out\.": ".norm_out.",
    r"\.conv_shortcut\.": ".nin_shortcut.",
}


def in_ldm_layout(pipe):
    """All weights of a tiny Stable Diffusion (``tiny.stable_diffusion_pipeline``) as one file."""
    weights = {}
    for key, value in pipe.unet.state_dict().items():
        inner = ".transformer_blocks." in key
        rules = list(UNET.items())[: 17 if inner else None]
        weights["model.diffusion_model." + renamed(key, rules)] = value
    for key, value in pipe.vae.state_dict().items():
        name = renamed(key, VAE.items())
        linear = ".mid.attn_1." in name and value.ndim == 2
        weights["first_stage_model." + name] = value[:, :, None, None] if linear else value
    for key, value in pipe.text_encoder.state_dict().items():
        name = key if key.startswith("text_model.") else f"text_model.{key}"
        weights["cond_stage_model.transformer." + name] = value
    return {key: value.clone().contiguous() for key, value in weights.items()}


def renamed(key, rules):
    for old, new in rules:
        key = re.sub(old, new, key)
    return key
