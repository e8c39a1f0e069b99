"""Tokenizers compared by what they mean, not by how their files are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_tokenizers import byte_level, sentencepiece, write_model
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from scorer.common.errors import InputError
from scorer.models import kept_comparisons, same_tokenizer
from scorer.models.kept_comparisons import kept_tokenizer_difference
from scorer.models.same_tokenizer import tokenizer_difference

Change = Callable[[dict[str, Any]], Any]


def rewritten(source: Path, to: Path, change: Change) -> Path:
    """A copy of a tokenizer's folder with another ``tokenizer.json``."""
    to.mkdir()
    data = json.loads((source / "tokenizer.json").read_text("utf-8"))
    change(data)
    (to / "tokenizer.json").write_text(json.dumps(data, indent=1), "utf-8")
    return to


@pytest.fixture
def pieces(tmp_path: Path) -> Path:
    return write_model(tmp_path / "pieces", sentencepiece())


def _padding(data: dict[str, Any]) -> None:
    data["padding"] = {"strategy": "BatchLongest", "direction": "Left", "pad_id": 0}
    data["truncation"] = {"max_length": 8, "strategy": "LongestFirst", "stride": 0}
    data["version"] = "2.0"


def _order(data: dict[str, Any]) -> None:
    for key in sorted(data, reverse=True):
        data[key] = data.pop(key)
    data["model"]["vocab"] = dict(reversed(data["model"]["vocab"].items()))
    data["added_tokens"].reverse()


def _merges_as_text(data: dict[str, Any]) -> None:
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]


def _defaults_left_out(data: dict[str, Any]) -> None:
    data["model"] = {key: value for key, value in data["model"].items() if value}
    data["decoder"] = None


def _same_rules_otherwise(data: dict[str, Any]) -> None:
    data["normalizer"] = None
    data["pre_tokenizer"] = {
        "type": "Metaspace",
        "replacement": "▁",
        "prepend_scheme": "first",
        "split": False,
    }


@pytest.mark.parametrize(
    "change", [_padding, _order, _merges_as_text, _defaults_left_out, _same_rules_otherwise]
)
def test_what_changes_no_ids_is_no_difference(pieces: Path, tmp_path: Path, change: Change) -> None:
    assert tokenizer_difference(pieces, rewritten(pieces, tmp_path / "other", change)) is None


def _swapped(data: dict[str, Any]) -> None:
    vocab = data["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]


def _one_more(data: dict[str, Any]) -> None:
    data["model"]["vocab"]["zz"] = len(data["model"]["vocab"])


def _other_merges(data: dict[str, Any]) -> None:
    data["model"]["merges"] = data["model"]["merges"][:-1]


def _other_cut(data: dict[str, Any]) -> None:
    data["normalizer"]["normalizers"].append({"type": "Lowercase"})


def _no_bos(data: dict[str, Any]) -> None:
    data["post_processor"] = None


def _added(data: dict[str, Any]) -> None:
    data["added_tokens"][0]["lstrip"] = True


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (_swapped, "its tokenizer gives `a` the id 261 and the reference's 260"),
        (_one_more, "its tokenizer has 266 tokens and the reference's 265"),
        (_other_merges, "its tokenizer merges other pairs"),
        (_other_cut, "its tokenizer cuts `Hello` otherwise"),
        (_no_bos, "its tokenizer cuts `Hello` otherwise"),
        (_added, "its tokenizer has no added token `<unk>` of id 0 like that"),
    ],
)
def test_what_changes_ids_is_a_difference(
    pieces: Path, tmp_path: Path, change: Change, difference: str
) -> None:
    other = rewritten(pieces, tmp_path / "other", change)
    assert tokenizer_difference(pieces, other) == difference


def test_tokens_declared_beside_the_file_count(tmp_path: Path) -> None:
    one = write_model(tmp_path / "one", byte_level())
    declared = {"300": {"content": "<|tool|>", "special": True}}
    other = write_model(tmp_path / "other", byte_level(), added_tokens_decoder=declared)
    found = tokenizer_difference(one, other)
    assert found == "its tokenizer has an added token `<|tool|>` that the reference's lacks"
    same = {"256": {"content": "<|begin|>", "special": True, "normalized": False}}
    again = write_model(tmp_path / "again", byte_level(), added_tokens_decoder=same)
    assert tokenizer_difference(one, again) is None


def test_unigram_vocabularies_are_compared_by_place_and_score(tmp_path: Path) -> None:
    def written(name: str, score: float) -> Path:
        vocab = [("<unk>", 0.0), ("▁a", -1.0), ("b", score)]
        tokenizer = Tokenizer(models.Unigram(vocab, unk_id=0))
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        return write_model(tmp_path / name, tokenizer)

    one = written("one", -2.0)
    assert tokenizer_difference(one, written("two", -2.0)) is None
    found = tokenizer_difference(one, written("three", -3.0))
    assert found == "its tokenizer gives `b` another id or score"


def test_other_files_are_compared_byte_by_byte(tmp_path: Path) -> None:
    for name, content in (("one", b"pieces"), ("two", b"pieces"), ("three", b"others")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.model").write_bytes(content)
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    assert tokenizer_difference(one, two) is None
    assert tokenizer_difference(one, three) == "its `tokenizer.model` is another"
    pieces = write_model(tmp_path / "json", sentencepiece())
    assert "cannot be compared" in str(tokenizer_difference(one, pieces))
    with pytest.raises(InputError, match="no tokenizer"):
        tokenizer_difference(one, tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"model": 3}', '{"model": {"vocab": [1]}}'])
def test_a_damaged_tokenizer_is_refused_or_another(
    pieces: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "tokenizer.json").write_text(content, "utf-8")
    try:
        assert tokenizer_difference(pieces, tmp_path) is not None
    except InputError as error:
        assert "tokenizer.json" in error.message


def test_a_comparison_is_kept_until_a_file_changes(
    pieces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = rewritten(pieces, tmp_path / "other", _swapped)
    first = kept_tokenizer_difference(pieces, other)
    assert first is not None
    kept_comparisons._known.clear()  # as in another process
    with monkeypatch.context() as nothing_read:
        nothing_read.setattr(same_tokenizer, "_content", lambda path: pytest.fail("it was read"))
        assert kept_tokenizer_difference(pieces, other) == first
    (other / "tokenizer.json").write_bytes((pieces / "tokenizer.json").read_bytes())
    assert kept_tokenizer_difference(pieces, other) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"difference": 3}', "{}"])
def test_a_damaged_comparison_is_made_again(pieces: Path, tmp_path: Path, content: str) -> None:
    other = rewritten(pieces, tmp_path / "other", _swapped)
    first = kept_tokenizer_difference(pieces, other)
    folder = kept_comparisons._place("x").parent
    for file in folder.iterdir():
        file.write_text(content, "utf-8")
    kept_comparisons._known.clear()
    assert kept_tokenizer_difference(pieces, other) == first
