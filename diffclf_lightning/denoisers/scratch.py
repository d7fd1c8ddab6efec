"""Networks from scratch: diffusers classes with the initialisation that makes them learn."""

from collections.abc import Sequence

import diffusers
from diffusers import DiTTransformer2DModel, PixArtTransformer2DModel, UNet2DModel
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from diffclf_lightning.denoisers.pixart import PixArt
from diffclf_lightning.denoisers.stable_diffusion import StableDiffusion


def dit(
    *,
    sample_size: int,
    in_channels: int,
    num_classes: int,
    num_layers: int = 4,
    num_attention_heads: int = 4,
    attention_head_dim: int = 24,
    patch_size: int = 2,
) -> DiTTransformer2DModel:
    """A new diffusion transformer with adaLN-Zero initialisation (Peebles and Xie 2023, 3.2).

    diffusers leaves the modulation at its default initialisation; here it starts at zero, so that
    every block starts as the identity, and class embeddings start at standard deviation 0.3.

    Args:
        sample_size: Side of the image or latent.
        in_channels: Its channels.
        num_classes: Number of classes; a null class is added.
        num_layers: Number of transformer blocks.
        num_attention_heads: Heads of each block.
        attention_head_dim: Width of each head.
        patch_size: Side of a patch.
    """
    model = DiTTransformer2DModel(
        num_attention_heads=num_attention_heads,
        attention_head_dim=attention_head_dim,
        in_channels=in_channels,
        out_channels=in_channels,
        num_layers=num_layers,
        sample_size=sample_size,
        patch_size=patch_size,
        num_embeds_ada_norm=num_classes,
    )
    modulations = [block.norm1 for block in model.transformer_blocks]
    for layer in (*(m.linear for m in modulations), model.proj_out_1, model.proj_out_2):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    for modulation in modulations:
        nn.init.normal_(modulation.emb.class_embedder.embedding_table.weight, std=0.3)
    return model


def unet(
    *,
    sample_size: int,
    in_channels: int,
    num_classes: int,
    block_out_channels: Sequence[int] = (32, 64),
    layers_per_block: int = 1,
) -> UNet2DModel:
    """A new U-Net with a class embedding, which starts by predicting zero.

    Args:
        sample_size: Side of the image or latent.
        in_channels: Its channels.
        num_classes: Number of classes; a null class is added.
        block_out_channels: Channels of each level, multiples of 8; the last has self-attention.
        layers_per_block: Layers of each level.
    """
    plain = len(block_out_channels) - 1
    model = UNet2DModel(
        sample_size=sample_size,
        in_channels=in_channels,
        out_channels=in_channels,
        block_out_channels=tuple(block_out_channels),
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
        layers_per_block=layers_per_block,
        norm_num_groups=8,
        attention_head_dim=8,
        num_class_embeds=num_classes + 1,
    )
    nn.init.zeros_(model.conv_out.weight)
    nn.init.zeros_(model.conv_out.bias)
    return model


def word_tokenizer(words: Sequence[str], max_length: int) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words: lower case, split at spaces and punctuation.

    Words that are not among its own become ``<unk>``; prompts have up to ``max_length`` tokens,
    begin and end included.
    """
    special = ["<pad>", "<unk>", "<begin>", "<end>"]
    vocabulary = {w: i for i, w in enumerate([*special, *dict.fromkeys(w.lower() for w in words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<begin> $A <end>",
        special_tokens=[(name, vocabulary[name]) for name in ("<begin>", "<end>")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<begin>",
        eos_token="<end>",
        model_max_length=max_length,
    )


def clip_text(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> CLIPTextModel:
    """A new text encoder with 4 heads for the prompts of a tokenizer."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def text_to_image(
    *,
    sample_size: int,
    in_channels: int,
    words: Sequence[str],
    scheduler: SchedulerMixin,
    max_tokens: int = 16,
    width: int = 64,
    text_layers: int = 2,
    block_out_channels: tuple[int, int] = (32, 64),
) -> StableDiffusion:
    """A new, small model in the form of Stable Diffusion, without VAE, for training both parts.

    Args:
        sample_size: Side of the images.
        in_channels: Their channels.
        words: Vocabulary of the prompts.
        scheduler: The noise schedule.
        max_tokens: Length of a prompt in tokens, begin and end included.
        width: Width of the text encoder.
        text_layers: Its layers.
        block_out_channels: Channels of the U-Net's two levels; the second has cross-attention.
    """
    tokenizer = word_tokenizer(words, max_tokens)
    unet = diffusers.UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=in_channels,
        out_channels=in_channels,
        block_out_channels=block_out_channels,
        # Attention at full resolution would be most of the cost.
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=4,
        cross_attention_dim=width,
    )
    encoder = clip_text(tokenizer, width, text_layers)
    return StableDiffusion(unet, scheduler, encoder, tokenizer, train_text_encoder=True)


def pixart(
    *,
    sample_size: int,
    in_channels: int,
    words: Sequence[str],
    scheduler: SchedulerMixin,
    max_tokens: int = 16,
    width: int = 64,
    text_layers: int = 2,
    num_layers: int = 4,
    num_attention_heads: int = 4,
    attention_head_dim: int = 32,
    patch_size: int = 2,
) -> PixArt:
    """A new, small model in the form of PixArt, without VAE, with CLIP instead of T5.

    The modulation starts at zero, so that every block starts as the identity and the model by
    predicting zero.

    Args:
        sample_size: Side of the images.
        in_channels: Their channels.
        words: Vocabulary of the prompts.
        scheduler: The noise schedule.
        max_tokens: Length of a prompt in tokens, begin and end included.
        width: Width of the text encoder.
        text_layers: Its layers.
        num_layers: Number of transformer blocks.
        num_attention_heads: Heads of each block.
        attention_head_dim: Width of each head.
        patch_size: Side of a patch.
    """
    tokenizer = word_tokenizer(words, max_tokens)
    transformer = PixArtTransformer2DModel(
        num_attention_heads=num_attention_heads,
        attention_head_dim=attention_head_dim,
        in_channels=in_channels,
        out_channels=in_channels,
        num_layers=num_layers,
        cross_attention_dim=num_attention_heads * attention_head_dim,
        sample_size=sample_size,
        patch_size=patch_size,
        caption_channels=width,
        use_additional_conditions=False,
    )
    for layer in (transformer.proj_out, transformer.adaln_single.linear):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    for modulated in (*transformer.transformer_blocks, transformer):
        nn.init.zeros_(modulated.scale_shift_table)
    encoder = clip_text(tokenizer, width, text_layers)
    return PixArt(transformer, scheduler, encoder, tokenizer)
