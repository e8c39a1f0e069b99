"""Repos without tokenizer.json go through transformers, from the local folder only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scorer.common.errors import InputError
from scorer.text.tokens.load import load_tokenizer
from scorer.text.tokens.tokenizer import FileTokenizer
from scorer.text.tokens.transformers_tokenizer import PythonTokenizer


def test_vocabulary_and_merges(tmp_path: Path) -> None:
    from scorer.text.tokens.pieces import byte_level_alphabet

    vocab = dict(byte_level_alphabet()) | {"he": 256, "<|endoftext|>": 257}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nh e\n")
    config = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, FileTokenizer)
    assert loaded.encode("hey").tolist() == [256, ord("y")]
    assert loaded.token_bytes(256) == b"he"
    assert loaded.bos_token_id == 257 and not loaded.adds_bos


def test_a_tokenizer_in_python(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, PythonTokenizer)
    ids, offsets = loaded.encode_with_offsets("hé")
    assert ids.tolist() == [3 + 0x68, 3 + 0xC3, 3 + 0xA9, 1]
    assert offsets is None
    assert loaded.encode("hé", special_tokens=False).tolist() == ids.tolist()[:-1]
    assert not loaded.adds_bos and loaded.bos_token_id is None
    assert loaded.token_bytes(3 + 0x68) == b"h"
    assert loaded.token_bytes(10**6) == b""
    assert loaded.decode(ids[:3]) == "hé"


def test_the_hash_covers_every_file(tmp_path: Path) -> None:
    config = tmp_path / "tokenizer_config.json"
    config.write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    before = load_tokenizer(tmp_path).sha256
    config.write_text('{"tokenizer_class": "ByT5Tokenizer" }')
    assert load_tokenizer(tmp_path).sha256 != before


def test_files_that_transformers_refuses(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"not a sentencepiece model")
    with pytest.raises(InputError, match="broken") as caught:
        load_tokenizer(tmp_path)
    assert len(str(caught.value).splitlines()) <= 2


def test_custom_code_does_not_run_unasked(tmp_path: Path) -> None:
    (tmp_path / "tokenization_own.py").write_text("raise SystemExit('ran')")
    config = {"auto_map": {"AutoTokenizer": ["tokenization_own.Own", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError):
        load_tokenizer(tmp_path)
