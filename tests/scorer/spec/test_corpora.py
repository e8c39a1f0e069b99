"""Names of texts: data sets, and lists with commas."""

from __future__ import annotations

import pytest

from scorer.common.errors import InputError
from scorer.spec.corpora import HubText, as_pinned, hub_text, listed_lengths, listed_texts

COMMIT = "a" * 40


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("hf:org/name:test:text", HubText("org/name", None, "test", "text")),
        ("hf:org/name:en:test:text", HubText("org/name", "en", "test", "text")),
        ("hf:squad:test:text@main", HubText("squad", None, "test", "text", "main")),
        ("hf:org/name@v1:test:text", HubText("org/name", None, "test", "text", "v1")),
        ("wikitext2", None),
        ("C:/hf.txt", None),
    ],
)
def test_names_of_data_sets(name: str, wanted: HubText | None) -> None:
    found = hub_text(name)
    assert found == wanted
    if found is not None:
        assert hub_text(found.source) == found


@pytest.mark.parametrize(
    "name",
    [
        "hf:",
        "hf:org/name",
        "hf:org/name:test",
        "hf:org/name::text",
        "hf:a:b:c:d:e",
        "hf:../../etc:test:text",
        "hf:org/name:test:text@../x",
        "hf:org/name:test:text@",
    ],
)
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        hub_text(name)


def test_a_name_is_pinned_as_in_an_earlier_run() -> None:
    asked, pinned = "hf:org/name:test:text", f"hf:org/name:test:text@{COMMIT}"
    assert as_pinned(asked, pinned) == pinned
    assert as_pinned(f"{asked}@v1", pinned) == f"{asked}@v1"
    assert as_pinned("hf:org/name:train:text", pinned) == "hf:org/name:train:text"
    assert as_pinned("wikitext2", pinned) == "wikitext2"
    assert hub_text(pinned) is not None and hub_text(pinned).is_pinned  # type: ignore[union-attr]


def test_lists_of_texts() -> None:
    there = {"a,b.md"}.__contains__
    assert listed_texts(["a.md,b.jsonl, code"], there) == ("a.md", "b.jsonl", "code")
    assert listed_texts(["a,b.md"], there) == ("a,b.md",)
    assert listed_texts(["c\\,d.md,code"], there) == ("c,d.md", "code")
    assert listed_texts(["a,b.md", "code", "code,x"], there) == ("a,b.md", "code", "x")
    assert listed_texts([" odd "], there) == (" odd ",)


def test_lists_of_lengths() -> None:
    assert listed_lengths("512") == (512,)
    assert listed_lengths("512, 4096,512") == (512, 4096)
    with pytest.raises(InputError, match="`x` is not a number of tokens"):
        listed_lengths("512,x")
