"""Tiny random text encoders and tokenizers in the form of published ones."""

import re

import tiny
import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    Qwen3Config,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from diffclf_lightning.denoisers.scratch import word_tokenizer

WORDS = ["a", "cat", "on", "the", "mat", "photo", "of", "dog"]
PROMPT = "a photo of the cat on the mat"  # 8 words, 10 tokens
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""A chat template in Qwen3's form."""


def clip(width=16, *, projected=False, seed=11):
    """CLIP's text encoder for its own tokenizer."""
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=32, projection_dim=width,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=77,
        hidden_act="gelu",
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def clip_tokenizer():
    return tiny.clip_tokenizer()


def t5(width=16, seed=12):
    """T5's encoder for :func:`words`."""
    torch.manual_seed(seed)
    return T5EncoderModel(
        T5Config(vocab_size=len(words()), d_model=width, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    ).eval()


def umt5(width=16):
    """The encoder of the multilingual T5 for :func:`words`."""
    torch.manual_seed(19)
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(words()), d_model=width, d_kv=8, d_ff=32, num_layers=2, num_heads=2
        )
    ).eval()


def gemma(tokenizer, width=16):
    """Gemma 2 for a tokenizer."""
    torch.manual_seed(20)
    config = Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=32, head_dim=8,
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, initializer_range=0.2,
        pad_token_id=tokenizer.pad_token_id, attn_implementation="eager",
    )  # fmt: skip
    return Gemma2Model(config).eval()


def words(limit=512):
    """A tokenizer of few words, in the place of one that is learned."""
    return word_tokenizer(WORDS, limit)


def words_of(preface):
    """A tokenizer of few words and those of a preface, without an end, as Gemma's is."""
    tokenizer = word_tokenizer(WORDS + re.findall(r"\w+|[^\w\s]+", preface), 512)
    begin = ("<begin>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("<begin> $A", None, [begin])
    return tokenizer


def chat_words(limit=2048):
    """The same for language models that chat."""
    marks = ["<|", "im_start", "im_end", "|>", "user", "assistant", "<", "</", "think", ">"]
    tokenizer = word_tokenizer([*WORDS, *marks], limit)
    tokenizer.chat_template = CHAT
    return tokenizer


def qwen3(kind, layers, width=16, seed=19):
    """Qwen3, as a ``kind`` of transformers, for :func:`chat_words`."""
    torch.manual_seed(seed)
    return kind(
        Qwen3Config(
            vocab_size=len(chat_words()), hidden_size=width, intermediate_size=width,
            num_hidden_layers=layers, num_attention_heads=2, num_key_value_heads=2, head_dim=8,
            tie_word_embeddings=True,
        )
    ).eval()  # fmt: skip


def pieces(file, **options):
    """A vocabulary of sentencepiece, as T5 and ChatGLM are published with, written to a file."""
    from sentencepiece import SentencePieceTrainer

    text = file.with_suffix(".txt")
    text.write_text(f"{PROMPT} dog\n" * 50)
    SentencePieceTrainer.train(
        input=str(text), model_prefix=str(file.with_suffix("")), vocab_size=30, minloglevel=2,
        hard_vocab_limit=False, **options,
    )  # fmt: skip
    text.unlink()
    return file


def autoencoder(channels=4, factor=2, **options):
    """A small ``AutoencoderKL``."""
    from diffusers import AutoencoderKL

    torch.manual_seed(13)
    levels = factor.bit_length()
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        block_out_channels=[8] * levels, norm_num_groups=4, latent_channels=channels, **options,
    ).eval()  # fmt: skip
