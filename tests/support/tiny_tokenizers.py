"""Small tokenizers of the two kinds that matter, written as a model repo has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import Sequence as Processors
from tokenizers.processors import TemplateProcessing

from scorer.text.tokens.pieces import byte_level_alphabet

BOS, EOS = "<|begin|>", "<|end|>"
BOS_ID, EOS_ID = 256, 257

CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_level(*, bos: bool = False, eos: bool = False) -> Tokenizer:
    """One token a byte: id = byte value, so that ids and counts are known by hand."""
    vocab = dict(byte_level_alphabet())
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(BOS, special=True), AddedToken(EOS, special=True)])
    if bos or eos:
        single = f"{BOS if bos else ''} $A {EOS if eos else ''}".strip()
        special = [(BOS, BOS_ID), (EOS, EOS_ID)]
        tokenizer.post_processor = Processors(
            [TemplateProcessing(single=single, special_tokens=special)]
        )
    return tokenizer


def sentencepiece() -> Tokenizer:
    """Words with ``▁``, everything else by bytes, as Llama 2 spells its vocabulary."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    pieces += ["▁", "a", "b", "▁a", "▁ab", "ab"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    merges = [("▁", "a"), ("a", "b"), ("▁a", "b")]
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def write_model(folder: Path, tokenizer: Tokenizer, **config: Any) -> Path:
    """A model folder with the tokenizer's two files."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return folder
