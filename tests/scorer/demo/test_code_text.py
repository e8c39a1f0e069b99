"""The code text: frozen, whole, and made by the script that is said to make it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from scorer.common.errors import QfidError
from scorer.demo import code
from scorer.demo.code_text import documents
from scorer.demo.frozen_text import joined
from scorer.spec.job import CorpusSpec
from scorer.text.sources import read_source


def test_the_text_is_the_frozen_one() -> None:
    data = code.CODE_FILE.read_bytes()
    assert hashlib.sha256(data).hexdigest() == code.SHA256
    assert 100_000 < len(data) <= 200 << 10
    found = code.code_documents()
    assert joined(list(found)).encode() == data
    assert len({title for title, _ in found}) == len(found) > 20


def test_it_is_a_text_with_documents() -> None:
    source = read_source(CorpusSpec("code"))
    assert source.name == "code" and not source.chat
    titles = [title for _, title in source.documents]
    assert titles == [title for title, _ in code.code_documents()]
    # Runs hold this one.
    assert source.sha256 == hashlib.sha256(source.text.encode()).hexdigest()
    assert source.sha256.startswith("2a9556fc24f6")


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "documents.txt"
    changed.write_bytes(code.CODE_FILE.read_bytes() + b"x")
    monkeypatch.setattr(code, "CODE_FILE", changed)
    code.code_documents.cache_clear()
    try:
        with pytest.raises(QfidError, match="was changed"):
            code.code_documents()
    finally:
        code.code_documents.cache_clear()


def test_the_script_takes_files_in_an_order_of_their_names(tmp_path: Path) -> None:
    for name, size in (("scorer/a.py", 700), ("scorer/b.h", 800), ("qfid_tui/c.py", 900)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x" * size)
    (tmp_path / "scorer" / "small.py").write_text("x")
    found = documents(tmp_path)
    assert sorted(title for title, _ in found) == ["qfid_tui/c.py", "scorer/a.py", "scorer/b.h"]
    assert documents(tmp_path, most=1000) == found[:1]
