"""The text in several languages: frozen, whole, one essay in each."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

import pytest

from scorer.common.errors import QfidError
from scorer.demo import languages
from scorer.demo.frozen_text import joined
from scorer.spec.job import CorpusSpec
from scorer.text.sources import read_source

SCRIPTS = {
    "ru": "CYRILLIC",
    "zh": "CJK",
    "ja": ("HIRAGANA", "KATAKANA", "CJK"),
    "ko": "HANGUL",
    "ar": "ARABIC",
    "hi": "DEVANAGARI",
}


def test_the_text_is_the_frozen_one() -> None:
    data = languages.LANGUAGES_FILE.read_bytes()
    assert hashlib.sha256(data).hexdigest() == languages.SHA256
    found = languages.language_documents()
    assert joined(list(found)).encode() == data
    source = read_source(CorpusSpec("languages"))
    assert source.name == "languages" and not source.chat
    assert [title for _, title in source.documents] == [title for title, _ in found]
    assert source.sha256 == hashlib.sha256(source.text.encode()).hexdigest()
    assert source.sha256.startswith("3f72925ba3b7")


def test_each_essay_is_in_the_script_of_its_language() -> None:
    found = languages.language_documents()
    assert len({title.split()[0] for title, _ in found}) == len(found) == 15
    for title, text in found:
        letters = [char for char in text if char.isalpha()]
        script = SCRIPTS.get(title.split()[0], "LATIN")
        alike = [char for char in letters if unicodedata.name(char).startswith(script)]
        assert len(letters) > 350 and alike == letters, title
        # Composed, as text is typed; no spaces that nobody sees.
        assert unicodedata.normalize("NFC", text) == text
        assert not any(char.isspace() and char not in " \n" for char in text)


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "documents.txt"
    changed.write_bytes(languages.LANGUAGES_FILE.read_bytes() + b"x")
    monkeypatch.setattr(languages, "LANGUAGES_FILE", changed)
    languages.language_documents.cache_clear()
    try:
        with pytest.raises(QfidError, match="was changed"):
            languages.language_documents()
    finally:
        languages.language_documents.cache_clear()
