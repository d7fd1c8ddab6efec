"""Stable Diffusion 1 and 3 in the layouts in which they were published, from diffusers' own."""

import re

import torch

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
SD3 = {
    r"^pos_embed\.pos_embed": "pos_embed",
    r"^pos_embed\.proj": "x_embedder.proj",
    r"^time_text_embed\.(t)imestep_embedder\.": r"\1_embedder.",
    r"^time_text_embed\.text_embedder\.": "y_embedder.",
    r"_embedder\.linear_1": "_embedder.mlp.0",
    r"_embedder\.linear_2": "_embedder.mlp.2",
    r"^proj_out": "final_layer.linear",
    r"^norm_out\.linear": "final_layer.adaLN_modulation.1",
    r"^transformer_blocks": "joint_blocks",
    r"\.norm1\.linear": ".x_block.adaLN_modulation.1",
    r"\.norm1_context\.linear": ".context_block.adaLN_modulation.1",
    r"\.ff\.net\.": ".x_block.mlp.net.",
    r"\.ff_context\.net\.": ".context_block.mlp.net.",
    r"\.net\.0\.proj": ".fc1",
    r"\.net\.2": ".fc2",
    r"\.attn\.(add_|norm_added_|to_add_)": r".context_block.attn.\1",
    r"(\d)\.(attn2?)\.": r"\1.x_block.\2.",
    r"\.(to|add)_([qkv])(_proj)?\.": r".\2.",
    r"\.norm_(added_)?([qk])\.": r".ln_\2.",
    r"\.to_(out\.0|add_out)\.": ".proj.",
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


def in_sd3_layout(transformer):
    """All weights of a transformer of Stable Diffusion 3, as in its files of one."""
    weights, last = {}, len(transformer.transformer_blocks) - 1
    swapped = "norm_out.", f"transformer_blocks.{last}.norm1_context."
    for key, value in transformer.state_dict().items():
        scale_first = key.startswith(swapped)  # there shift comes before scale
        weights[renamed(key, SD3.items())] = (
            torch.cat(value.chunk(2)[::-1]) if scale_first else value
        )
    for key in [key for key in weights if ".q." in key]:
        parts = [weights.pop(key.replace(".q.", f".{part}.")) for part in "qkv"]
        weights[key.replace(".q.", ".qkv.")] = torch.cat(parts)
    return {f"model.diffusion_model.{key}": value for key, value in weights.items()}


def renamed(key, rules):
    for old, new in rules:
        key = re.sub(old, new, key)
    return key
