"""Tokens are spelled in a process of its own, bounded in time and memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hostile_files import DECODER, edit_json
from tiny_tokenizers import byte_level, write_model

from scorer.common.errors import InputError, Interrupted, WillNotFit
from scorer.demo import demo_model_path
from scorer.text.tokens import spelling
from scorer.text.tokens.spelling import LONGEST, SpelledTokens, read_spelling, spelled
from scorer.text.tokens.tokenizer_file import load_tokenizer_file


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A model whose decoder makes more of a token than memory holds."""
    model = write_model(tmp_path / "hostile", byte_level())
    edit_json(model / "tokenizer.json", lambda t: t.update(decoder=DECODER))
    return model


def test_the_process_spells_as_the_tokenizer_does() -> None:
    tokenizer = load_tokenizer_file(demo_model_path())
    ids = [*range(300), 10**6]
    found = read_spelling(demo_model_path(), "demo", ids)
    assert found == spelled(tokenizer, ids)
    assert found == SpelledTokens.from_json(json.loads(json.dumps(found.to_json())))
    assert found.pieces[10**6] == b"" and found.sha256 == tokenizer.sha256
    assert all(found.pieces[token] == tokenizer.token_bytes(token) for token in range(300))


def test_a_decoder_that_grows_ends_by_memory_or_time(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = range(256)
    monkeypatch.setattr(spelling, "_MEMORY", 32 << 20)
    with pytest.raises(WillNotFit, match=r"tokenizer of `org/x` takes more than 0\.0312 GiB"):
        read_spelling(hostile, "org/x", ids)
    monkeypatch.setattr(spelling, "_MEMORY", 4 << 30)
    monkeypatch.setattr(spelling, "SECONDS", 0.5)
    with pytest.raises(InputError, match="tokenizer of `org/x` took more than"):
        read_spelling(hostile, "org/x", ids)


def test_nobody_waits_where_the_answer_is_not_wanted_any_more(hostile: Path) -> None:
    with pytest.raises(Interrupted, match="not wanted"):
        read_spelling(hostile, "org/x", range(256), lambda: Interrupted("not wanted"))


def test_a_token_of_a_page_of_text_has_no_text(hostile: Path) -> None:
    some = {**DECODER, "decoders": DECODER["decoders"][:12]}  # type: ignore[index]
    edit_json(hostile / "tokenizer.json", lambda t: t.update(decoder=some))
    tokenizer = load_tokenizer_file(hostile)
    e, x = (int(tokenizer.encode(c, special_tokens=False)[0]) for c in "ex")
    assert len(tokenizer.token_bytes(e)) == 2**12 > LONGEST
    found = read_spelling(hostile, "org/x", [e, x])
    assert e not in found.pieces and found.pieces[x] == b"x"


def test_a_broken_tokenizer_is_the_error_that_it_is_here(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match="is broken") as caught:
        read_spelling(tmp_path, "org/x", [1])
    assert caught.value.hint
