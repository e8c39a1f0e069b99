"""Splits of data sets: found by their names, fetched once, pinned, offline, refused in one line."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_hub_cache import COMMIT
from loopback_hub import LoopbackHub, Repo, serving

from scorer.common.errors import CorpusNotCached, InputError
from scorer.download import dataset
from scorer.download.dataset import fetch_split
from scorer.download.dataset_files import CONVERTED, cached_split, chosen_split, data_splits
from scorer.spec.corpora import HubText, hub_text
from scorer.spec.job import CorpusSpec
from scorer.text.sources import read_source

OTHER = "c" * 40


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with serving() as server:
        yield server


def text(name: str) -> HubText:
    found = hub_text(name)
    assert found is not None
    return found


def parquet(rows: list[str], column: str = "text") -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({column: rows, "id": list(range(len(rows)))}), out)
    return out.getvalue()


def json_lines(rows: list[str], column: str = "text") -> bytes:
    return "".join(json.dumps({column: row}) + "\n" for row in rows).encode()


def test_splits_are_told_from_the_names_of_files() -> None:
    names = [
        "README.md",
        ".gitattributes",
        "dataset_infos.json",
        "data/test-00001-of-00002.parquet",
        "data/test-00000-of-00002-0a1b2c3d.parquet",
        "data/train-00000-of-00001.parquet",
        "wiki-v1/test-00000-of-00001.parquet",
        "en/validation.jsonl.gz",
        "plain/train/0000.parquet",
        "plain/partial-test/0000.parquet",
        "plain/train/0001.parquet",
        "code/train.csv",
    ]
    assert data_splits(names) == {
        ("default", "test"): (
            "data/test-00000-of-00002-0a1b2c3d.parquet",
            "data/test-00001-of-00002.parquet",
        ),
        ("default", "train"): ("data/train-00000-of-00001.parquet",),
        ("wiki-v1", "test"): ("wiki-v1/test-00000-of-00001.parquet",),
        ("en", "validation"): ("en/validation.jsonl.gz",),
        ("plain", "train"): ("plain/train/0000.parquet", "plain/train/0001.parquet"),
        ("plain", "test"): ("plain/partial-test/0000.parquet",),
    }


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        ("hf:o/n:none:test:text", "no configuration `none`", "it has `a`, `b`"),
        ("hf:o/n:test:text", "several configurations: `a`, `b`", "hf:o/n:CONFIG:test:text"),
        ("hf:o/n:a:dev:text", "no split `dev` in configuration `a`", "it has `test`, `train`"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(asked: str, message: str, hint: str) -> None:
    splits = data_splits(["a/test.parquet", "a/train.parquet", "b/test.parquet"])
    with pytest.raises(InputError, match=message) as caught:
        chosen_split(splits, text(asked))
    assert hint in caught.value.hint


def test_a_split_is_fetched_once_pinned_and_read_offline(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "data/test-00000-of-00002.parquet": parquet(["one", "two"]),
        "data/test-00001-of-00002.parquet": parquet(["three"]),
        "data/train-00000-of-00001.parquet": parquet(["never"]),
    }
    hub.repos["datasets", "org/text"] = Repo(files)
    asked = text("hf:org/text:test:text")
    assert cached_split(asked) is None
    found = fetch_split(asked)
    assert found.text.source == f"hf:org/text:test:text@{COMMIT}"
    assert not hub.fetched("train-00000-of-00001.parquet")
    before = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with mock.patch.object(socket, "getaddrinfo", side_effect=AssertionError("no network")):
        assert fetch_split(asked) == fetch_split(found.text) == found
        source = read_source(CorpusSpec(found.text.source))
    assert len(hub.requests) == before
    assert source.text == "one\n\ntwo\n\nthree"
    assert (source.name, source.split, source.revision) == ("hf:org/text:test:text", "test", COMMIT)
    assert [title for _, title in source.documents] == ["row 1", "row 2", "row 3"]


def test_what_was_fetched_in_part_is_not_taken_for_the_split(hub: LoopbackHub) -> None:
    files = {f"plain/test/000{i}.parquet": parquet([f"row {i}"]) for i in range(3)}
    repo = hub.repos["datasets", "org/text"] = Repo(files)
    repo.cuts["plain/test/0000.parquet"] = [10] * 20
    asked = text(f"hf:org/text:plain:test:text@{COMMIT}")
    with pytest.raises(CorpusNotCached):
        fetch_split(asked)
    assert hub.fetched("0001.parquet") and cached_split(asked) is None
    repo.cuts.clear()
    assert len(fetch_split(asked).files) == 3


def test_files_that_the_hub_made_stand_in_for_other_formats(hub: LoopbackHub) -> None:
    converted = Repo({"default/test/0000.parquet": parquet(["made by the Hub"])}, OTHER)
    hub.repos["datasets", "org/csv"] = Repo(
        {"test.csv": b"text\nmade by the Hub\n"}, branches={CONVERTED: converted}
    )
    found = fetch_split(text("hf:org/csv:test:text"))
    assert found.text.revision == OTHER
    # Pinned, it is found again, here and on another machine.
    assert fetch_split(found.text) == found
    assert cached_split(text("hf:org/csv:test:text")) == found
    assert read_source(CorpusSpec(found.text.source)).text == "made by the Hub"


def test_json_lines_are_read_and_columns_are_named(hub: LoopbackHub) -> None:
    rows = json_lines(["a", "b"], "body")
    hub.repos["datasets", "org/lines"] = Repo({"test.jsonl": rows})
    fetch_split(text("hf:org/lines:test:body"))
    assert read_source(CorpusSpec("hf:org/lines:test:body")).text == "a\n\nb"
    with pytest.raises(InputError, match="no column `text`") as caught:
        read_source(CorpusSpec("hf:org/lines:test:text"))
    assert caught.value.hint == "it has `body`"


def test_a_column_of_parquet_that_is_not_there_is_named(hub: LoopbackHub) -> None:
    hub.repos["datasets", "org/text"] = Repo({"test.parquet": parquet(["a"])})
    fetch_split(text("hf:org/text:test:text"))
    with pytest.raises(InputError, match="no column `body`") as caught:
        read_source(CorpusSpec("hf:org/text:test:body"))
    assert caught.value.hint == "it has `text`, `id`"
    with pytest.raises(InputError, match=r"row 1 of .* holds no text in `id`"):
        read_source(CorpusSpec("hf:org/text:test:id"))


def test_rows_of_messages_are_conversations(hub: LoopbackHub) -> None:
    rows = [{"messages": [{"role": "user", "content": "hi"}]}]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    hub.repos["datasets", "org/chat"] = Repo({"train.jsonl": content})
    fetch_split(text("hf:org/chat:train:messages"))
    assert read_source(CorpusSpec("hf:org/chat:train:messages")).chat


@pytest.mark.parametrize(
    ("refusal", "message", "hint"),
    [
        ((401, "RepoNotFound"), "no public repo `org/text`", "hf auth login"),
        ((403, "GatedRepo"), "`org/text` is gated", "accept them"),
    ],
)
def test_private_and_gated_data_sets(
    hub: LoopbackHub, refusal: tuple[int, str], message: str, hint: str
) -> None:
    hub.repos["datasets", "org/text"] = Repo({"test.parquet": parquet(["a"])}, refusal=refusal)
    with pytest.raises(CorpusNotCached, match=message) as caught:
        fetch_split(text("hf:org/text:test:text"))
    assert hint in caught.value.hint and "\n" not in caught.value.message


def test_a_split_that_is_too_large_is_refused_before_it_is_fetched(hub: LoopbackHub) -> None:
    repo = Repo({"test.parquet": parquet(["a"])}, sizes={"test.parquet": 1 << 40})
    hub.repos["datasets", "org/text"] = repo
    with pytest.raises(InputError, match="at most 512 are fetched"):
        fetch_split(text("hf:org/text:test:text"))
    repo.sizes["test.parquet"] = None
    with pytest.raises(InputError, match="does not say how large"):
        fetch_split(text("hf:org/text:test:text"))
    assert not hub.fetched("test.parquet")


def test_the_newest_commit_is_asked_for_only_on_demand(hub: LoopbackHub) -> None:
    hub.repos["datasets", "org/text"] = Repo({"test.parquet": parquet(["old"])})
    asked = text("hf:org/text:test:text")
    old = fetch_split(asked)
    hub.repos["datasets", "org/text"] = Repo({"test.parquet": parquet(["new"])}, OTHER)
    assert fetch_split(asked) == old
    assert fetch_split(asked, newest=True).text.revision == OTHER
    assert read_source(CorpusSpec(old.text.source)).text == "old"
    assert read_source(CorpusSpec(asked.source)).text == "new"


def test_offline_and_not_cached(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CorpusNotCached, match="HF_HUB_OFFLINE forbids"):
        fetch_split(text("hf:org/text:test:text"))
    assert not hub.requests
    with pytest.raises(CorpusNotCached) as caught:
        read_source(CorpusSpec("hf:org/text:test:text"))
    assert caught.value.hint == "`qfid pull hf:org/text:test:text` fetches it"


def test_the_bound_is_that_of_unpacked_text() -> None:
    assert dataset.MOST_OF_A_SPLIT == 512 << 20
