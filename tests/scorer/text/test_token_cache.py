"""Tokenized corpora on disk: used when good, ignored when not, never in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_tokenizers import CHATML, byte_level, write_model

from scorer.lm.tokenizer import load_tokenizer
from scorer.spec.job import CorpusSpec
from scorer.text.source_text import SourceText
from scorer.text.sources import read_source
from scorer.text.tokenized import tokenize
from scorer.text.tokens.cache import TokenizedText, load_tokens, save_tokens
from scorer.text.tokens.tokenizer import TextTokenizer
from scorer.text.tokens.tokenizer_file import load_tokenizer_file

ROWS = SourceText.of("own.jsonl", "one\n\ntwo", ((0, "a"), (5, "b")))


@pytest.fixture
def tokenizer(tmp_path: Path) -> TextTokenizer:
    return load_tokenizer_file(write_model(tmp_path / "bytes", byte_level()))


@pytest.fixture
def encodes(monkeypatch: pytest.MonkeyPatch, tokenizer: TextTokenizer) -> Callable[[], int]:
    calls = 0
    original = tokenizer._ids  # what encode() goes through
    original_offsets = tokenizer.encode_with_offsets

    def ids(text: str, special_tokens: bool) -> list[int]:
        nonlocal calls
        calls += 1
        return original(text, special_tokens)

    def with_offsets(text: str) -> object:
        nonlocal calls
        calls += 1
        return original_offsets(text)

    monkeypatch.setattr(tokenizer, "_ids", ids)
    monkeypatch.setattr(tokenizer, "encode_with_offsets", with_offsets)
    return lambda: calls


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_the_second_time_nothing_is_encoded(
    tokenizer: TextTokenizer, tmp_path: Path, encodes: Callable[[], int]
) -> None:
    first = tokenize(ROWS, tokenizer, cache_dir=tmp_path / "new" / "cache")
    again = tokenize(ROWS, tokenizer, cache_dir=tmp_path / "new" / "cache")
    assert encodes() == 1
    assert first.ids.tolist() == again.ids.tolist() == list(b"one\n\ntwo")
    assert again.ids.dtype == np.int32
    assert first.document_starts.tolist() == again.document_starts.tolist() == [0, 5]
    assert [file.suffix for file in files(tmp_path / "new" / "cache")] == [".npz"]


def test_no_folder_keeps_nothing(tokenizer: TextTokenizer, encodes: Callable[[], int]) -> None:
    tokenize(ROWS, tokenizer)
    tokenize(ROWS, tokenizer)
    assert encodes() == 2


def test_whatever_changes_the_tokens_changes_the_file(
    tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    other = load_tokenizer_file(write_model(tmp_path / "bos", byte_level(bos=True)))
    tokenize(ROWS, tokenizer, cache_dir=cache)
    tokenize(ROWS, tokenizer, cache_dir=cache, protocol="llama.cpp")
    tokenize(ROWS, other, cache_dir=cache)
    tokenize(SourceText.of("b", ROWS.text, ((0, "a"),)), tokenizer, cache_dir=cache)
    tokenize(SourceText.of("b", ROWS.text + "!", ROWS.documents), tokenizer, cache_dir=cache)
    assert len(files(cache)) == 5
    tokenize(SourceText.of("renamed", ROWS.text, ROWS.documents), tokenizer, cache_dir=cache)
    assert len(files(cache)) == 5


def test_another_chat_template_changes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"messages": [{"role": "u", "content": "hello"}]}')
    source = read_source(CorpusSpec(str(path)))
    texts = []
    for i, template in enumerate((CHATML, "{{ messages[0].content }}")):
        folder = write_model(tmp_path / str(i), byte_level(), chat_template=template)
        tokens = tokenize(source, load_tokenizer(folder), cache_dir=tmp_path / "cache")
        texts.append(bytes(tokens.ids.astype(np.uint8)))
    assert texts == [b"<|u|>hello\n", b"hello"]


def test_another_version_of_a_library_changes_the_file(
    tokenizer: TextTokenizer, tmp_path: Path, encodes: Callable[[], int]
) -> None:
    tokenize(ROWS, tokenizer, cache_dir=tmp_path)
    tokenizer.versions["transformers"] = "99.0.0"
    tokenize(ROWS, tokenizer, cache_dir=tmp_path)
    assert encodes() == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_made_again(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "tokens.npz"
    ids = np.arange(40, dtype=np.int32)
    save_tokens(path, TokenizedText(ids, np.array([0, 7])))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    loaded = load_tokens(path)
    if loaded is not None:  # the archive holds bytes that nothing reads, such as file times
        assert loaded.ids.tolist() == ids.tolist()
        assert loaded.document_starts.tolist() == [0, 7]


@pytest.mark.parametrize(
    "arrays",
    [
        {"ids": np.zeros(3, np.int64), "document_starts": np.zeros(0, np.int64)},
        {"ids": np.zeros((3, 1), np.int32), "document_starts": np.zeros(0, np.int64)},
        {"ids": np.array([-1], np.int32), "document_starts": np.zeros(0, np.int64)},
        {"ids": np.zeros(3, np.int32), "document_starts": np.array([2, 1])},
        {"ids": np.zeros(3, np.int32)},
        {"ids": np.array([{}], object), "document_starts": np.zeros(0, np.int64)},
    ],
)
def test_a_foreign_file_is_ignored(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "tokens.npz", **arrays)
    assert load_tokens(tmp_path / "tokens.npz") is None


def test_a_damaged_file_does_not_stop_a_run(
    tokenizer: TextTokenizer, tmp_path: Path, encodes: Callable[[], int]
) -> None:
    tokenize(ROWS, tokenizer, cache_dir=tmp_path / "cache")
    (file,) = files(tmp_path / "cache")
    file.write_bytes(b"")
    assert tokenize(ROWS, tokenizer, cache_dir=tmp_path / "cache").ids.size == 8
    assert tokenize(ROWS, tokenizer, cache_dir=tmp_path / "cache").ids.size == 8
    assert encodes() == 2


def test_a_folder_that_cannot_be_written_to(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert tokenize(ROWS, tokenizer, cache_dir=tmp_path / "file" / "cache").ids.size == 8
    assert tokenize(ROWS, tokenizer, cache_dir=tmp_path / "file").ids.size == 8
