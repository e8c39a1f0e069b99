"""The demo model's tokenizer: byte-level BPE without BOS; decoding restores every text."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(text: str, vocab_size: int) -> Tokenizer:
    """Train byte-level BPE on `text`.

    Args:
        text: Training text.
        vocab_size: Size of the vocabulary, including all 256 bytes and `END_OF_TEXT` (id 0).

    Returns:
        A tokenizer that adds no special tokens; decoding an encoded text restores it exactly.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # By paragraph: the trainer counts pre-tokens, and none of them crosses the end of a paragraph.
    tokenizer.train_from_iterator((part + "\n\n" for part in text.split("\n\n")), trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, which transformers reads too.

    Args:
        tokenizer: Result of `train_tokenizer`.
        folder: Existing folder of the model.
        context: Longest sequence of the model, tokens.
    """
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
