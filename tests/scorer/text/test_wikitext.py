"""WikiText-2: where it is found, how its rows are joined, where its articles start."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scorer.common.errors import CorpusNotCached, InputError, Interrupted
from scorer.spec.job import CorpusSpec
from scorer.text import files, wikitext
from scorer.text.sources import read_source

ROWS = [
    "",
    " = First = \n",
    "",
    " One . \n",
    " = 1 henry and capacitance C = \n",
    " = = Section = = \n",
    "",
    " = Second ( film ) = \n",
    "",
    " Two . \n",
    "",
]
CACHED = wikitext.cached_wikitext2()  # before a test changes the environment


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf" / "hub"


def put(hub: Path, rows: list[str | None] | list[str] = ROWS) -> Path:
    path = hub / "datasets--Salesforce--wikitext/snapshots" / wikitext.REVISION / wikitext.FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": pa.array(rows, pa.string())}), path)
    return path


def no_fetch(*_: str) -> Path:
    raise AssertionError("the network was asked for a cached file")


def test_mqf_joins_rows_with_blank_lines(empty_cache: Path) -> None:
    put(empty_cache)
    source = read_source(CorpusSpec(), "mqf", fetch=no_fetch)
    assert source.text == "\n\n".join(ROWS)
    assert (source.name, source.split, source.revision, source.chat) == (
        "wikitext-2-raw",
        "test",
        wikitext.REVISION,
        False,
    )
    assert [title for _, title in source.documents] == ["First", "Second ( film )"]
    first, second = (offset for offset, _ in source.documents)
    assert first == 0
    assert source.text.startswith(" = Second", second)


def test_llama_cpp_joins_rows_with_nothing(empty_cache: Path) -> None:
    put(empty_cache)
    source = read_source(CorpusSpec(), "llama.cpp", fetch=no_fetch)
    assert source.text.startswith(" \n = First = \n \n One . \n = 1 henry")
    assert source.text.endswith(" Two . \n \n")
    assert [title for _, title in source.documents] == ["First", "Second ( film )"]
    assert source.text.startswith(" = Second", source.documents[1][0])


def test_wiki_test_raw_is_the_same_text_with_the_same_articles(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(empty_cache)
    split = read_source(CorpusSpec(), "llama.cpp", fetch=no_fetch)
    path = tmp_path / "wiki.test.raw"
    path.write_bytes(split.text.encode())
    assert read_source(CorpusSpec(str(path))).documents == (), "a text like it is not taken for it"
    monkeypatch.setattr(files, "RAW_SHA256", split.sha256)
    for protocol in ("mqf", "llama.cpp"):
        own = read_source(CorpusSpec(str(path)), protocol)  # type: ignore[arg-type]
        assert (own.text, own.documents) == (split.text, split.documents)
        assert own.name == "wiki.test.raw"


def test_text_before_the_first_title_belongs_to_no_article() -> None:
    rows = ["loose", "", " = Title = \n", ""]
    assert wikitext.article_starts(rows, "\n\n") == ((9, "Title"),)


def test_a_title_needs_empty_rows_on_both_sides() -> None:
    assert wikitext.article_starts([" = A = \n", "x"], "") == ()
    assert wikitext.article_starts(["", " = A = \n"], "") == ()
    assert wikitext.article_starts([" = A = \n", ""], "") == ((0, "A"),)
    assert wikitext.article_starts(["", " = = A = = \n", ""], "") == ()


def test_a_title_is_given_as_people_write_it() -> None:
    rows = ["", " = Ise @-@ class 1 @,@ 500 @.@ 5 = \n", ""]
    assert wikitext.article_starts(rows, "") == ((0, "Ise-class 1,500.5"),)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HUB_CACHE": "{}/a"}, "a"),
        ({"HUGGINGFACE_HUB_CACHE": "{}/b"}, "b"),
        ({"HF_HUB_CACHE": "{}/a", "HF_HOME": "{}/c"}, "a"),
        ({"HF_HOME": "{}/c"}, "c/hub"),
        ({"HF_HOME": None, "XDG_CACHE_HOME": "{}/d"}, "d/huggingface/hub"),
        ({"HF_HOME": None, "XDG_CACHE_HOME": None, "HOME": "{}/e"}, "e/.cache/huggingface/hub"),
        ({"HF_HOME": "~/f", "HOME": "{}/e"}, "e/f/hub"),
    ],
)
def test_the_cache_is_where_the_environment_says_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str | None], expected: str
) -> None:
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value.format(tmp_path))
    path = put(tmp_path / expected)
    assert wikitext.cached_wikitext2() == path
    assert read_source(CorpusSpec(), fetch=no_fetch).documents


def test_a_missing_file_is_fetched_once(tmp_path: Path) -> None:
    asked = []

    def fetch(repo: str, filename: str, revision: str) -> Path:
        asked.append((repo, filename, revision))
        return put(tmp_path / "elsewhere")

    assert read_source(CorpusSpec(), fetch=fetch).documents
    assert asked == [("Salesforce/wikitext", wikitext.FILE, wikitext.REVISION)]


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_names_the_builtin_text(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(CorpusNotCached) as caught:
        read_source(CorpusSpec(), fetch=no_fetch)
    assert caught.value.exit_code == 2
    assert "--corpus builtin" in caught.value.hint


@pytest.mark.parametrize(
    "error", [OSError("no route\nto host"), RuntimeError(), InputError("gone")]
)
def test_a_failed_download_names_the_builtin_text(error: Exception) -> None:
    def fetch(*_: str) -> Path:
        raise error

    with pytest.raises(CorpusNotCached) as caught:
        read_source(CorpusSpec(), fetch=fetch)
    assert "--corpus builtin" in caught.value.hint
    assert "\n" not in caught.value.message


def test_a_download_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(CorpusNotCached):
        read_source(CorpusSpec(), fetch=lambda *_: tmp_path / "none")


def test_a_stopped_download_is_no_missing_corpus() -> None:
    def fetch(*_: str) -> Path:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        read_source(CorpusSpec(), fetch=fetch)


def test_a_damaged_file_is_refused(empty_cache: Path) -> None:
    path = put(empty_cache, ["a", None])
    with pytest.raises(InputError, match="row 2"):
        read_source(CorpusSpec(), fetch=no_fetch)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="not a Parquet file"):
        read_source(CorpusSpec(), fetch=no_fetch)
    pq.write_table(pa.table({"body": ["a"]}), path)
    with pytest.raises(InputError, match="no column `text`"):
        read_source(CorpusSpec(), fetch=no_fetch)


@pytest.mark.skipif(CACHED is None, reason="WikiText-2 is not in the Hugging Face cache")
def test_the_real_file() -> None:
    assert CACHED is not None
    mqf = wikitext.read_wikitext2("mqf", path=CACHED)
    assert len(mqf.text) == 1_294_336
    assert len(mqf.documents) == 60
    raw = wikitext.read_wikitext2("llama.cpp", path=CACHED)
    content = raw.text.encode()
    assert len(content) == 1_290_590
    assert raw.sha256 == hashlib.sha256(content).hexdigest() == wikitext.RAW_SHA256
    assert [title for _, title in raw.documents] == [title for _, title in mqf.documents]
    for source in (mqf, raw):
        for offset, title in source.documents[1:]:
            heading, _, _ = source.text[offset:].partition("\n")
            assert heading.replace(" @-@ ", "-") == f" = {title} = "
