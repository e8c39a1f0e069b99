"""Long texts in windows: the same tokens as in one call, or none at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_tokenizers import BOS_ID, EOS_ID, byte_level, sentencepiece, write_model
from tokenizers import Tokenizer, models, pre_tokenizers

import scorer.text.tokens.tokenizer
from scorer.text.tokens.long_text import Encoded, encode_in_windows
from scorer.text.tokens.tokenizer_file import load_tokenizer_file


def words() -> Tokenizer:
    """Byte-level with merges across a word, GPT-2's split into words first."""
    from scorer.text.tokens.pieces import byte_level_alphabet

    merges = [("a", "b"), ("Ġ", "ab"), ("Ġab", "ab"), ("b", "a"), ("Ġ", "Ġ")]
    vocab = dict(byte_level_alphabet())
    for left, right in merges:
        vocab[left + right] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def encode(tokenizer: Tokenizer, text: str) -> Encoded:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    offsets = np.asarray(encoding.offsets, np.int64).reshape(-1, 2)
    return np.asarray(encoding.ids, np.int32), offsets


KINDS = {"bytes": byte_level(), "words": words(), "pieces": sentencepiece()}


@given(
    kind=st.sampled_from(sorted(KINDS)),
    text=st.lists(st.sampled_from(["ab", " ab", "abab ", "\n\n", "ü", "中", " ", "<s>"])).map(
        "".join
    ),
    repeat=st.integers(1, 40),
    window=st.integers(1, 300),
)
def test_windows_give_the_tokens_of_one_call(
    kind: str, text: str, repeat: int, window: int
) -> None:
    tokenizer = KINDS[kind]
    found = encode_in_windows(
        lambda part: encode(tokenizer, part), text * repeat, window=window, overlap=64
    )
    if found is None:  # an overlap of spaces has no place where both windows must agree
        return
    ids, offsets = encode(tokenizer, text * repeat)
    assert found[0].tolist() == ids.tolist()
    assert found[1].tolist() == offsets.tolist()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_ordinary_text_is_joined(kind: str) -> None:
    tokenizer = KINDS[kind]
    text = "".join(f"ab {i} abab\n" for i in range(2000))
    calls: list[int] = []

    def counted(part: str) -> Encoded:
        calls.append(len(part))
        return encode(tokenizer, part)

    found = encode_in_windows(counted, text, window=4000, overlap=256)
    assert found is not None
    assert found[0].tolist() == encode(tokenizer, text)[0].tolist()
    assert len(calls) == -(-(len(text) - 256) // 4000)
    assert max(calls) == 4256


def test_windows_that_disagree_are_not_joined() -> None:
    def odd(part: str) -> Encoded:
        # Pairs counted from the window's own start: an odd step shifts every pair.
        begins = np.arange(0, len(part), 2)
        return begins.astype(np.int32) * 0, np.stack([begins, begins + 2], axis=1)

    assert encode_in_windows(odd, "x" * 1000, window=101, overlap=64) is None
    assert encode_in_windows(odd, "x" * 1000, window=100, overlap=64) is not None


def test_offsets_out_of_order_are_not_joined() -> None:
    def backwards(part: str) -> Encoded:
        begins = np.arange(len(part))[::-1]
        return np.zeros(len(part), np.int32), np.stack([begins, begins], axis=1)

    assert encode_in_windows(backwards, "x" * 1000, window=100, overlap=64) is None


def test_a_long_text_keeps_its_bos_and_eos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_tokenizer_file(write_model(tmp_path, byte_level(bos=True, eos=True)))
    text = "one two\n" * 9000
    whole_ids, whole_offsets = loaded.encode_with_offsets(text)
    monkeypatch.setattr(scorer.text.tokens.tokenizer, "WINDOW", 1000)
    monkeypatch.setattr(
        scorer.text.tokens.tokenizer,
        "encode_in_windows",
        lambda encode, text: encode_in_windows(encode, text, window=1000, overlap=100),
    )
    ids, offsets = loaded.encode_with_offsets(text)
    assert ids.dtype == np.int32
    assert (ids[0], ids[-1]) == (BOS_ID, EOS_ID)
    assert np.array_equal(ids, whole_ids)
    assert offsets is not None and whole_offsets is not None
    assert np.array_equal(offsets[:-1], whole_offsets[:-1])
    assert np.array_equal(loaded.encode(text), whole_ids)
