"""Files of datasets: fetched once, and what is said where one is not there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from unittest import mock

import pytest
from fake_hub_cache import COMMIT
from huggingface_hub import constants
from loopback_hub import LoopbackHub, Repo, serving

from scorer.common.errors import CorpusNotCached
from scorer.common.offline import forbid_to_libraries
from scorer.download.pull import fetch_dataset_file


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with serving() as server:
        yield server


def test_a_dataset_file_is_fetched_once(hub: LoopbackHub) -> None:
    hub.repos["datasets", "org/text"] = Repo({"raw/test.parquet": b"PAR1 rows PAR1"})
    path = fetch_dataset_file("org/text", "raw/test.parquet", COMMIT)
    assert path.read_bytes() == b"PAR1 rows PAR1"
    before = len(hub.requests)
    with mock.patch.object(socket, "getaddrinfo", side_effect=AssertionError("no network")):
        assert fetch_dataset_file("org/text", "raw/test.parquet", COMMIT) == path
    assert len(hub.requests) == before


@pytest.mark.parametrize(
    ("repo_id", "filename", "message"),
    [
        ("org/missing", "x.parquet", "no public repo"),
        ("org/text", "gone.parquet", "no such file"),
    ],
)
def test_a_dataset_file_that_is_not_there(
    hub: LoopbackHub, repo_id: str, filename: str, message: str
) -> None:
    hub.repos["datasets", "org/text"] = Repo({"raw/test.parquet": b"rows"})
    with pytest.raises(CorpusNotCached, match=message) as caught:
        fetch_dataset_file(repo_id, filename, COMMIT)
    assert caught.value.hint


def test_what_a_scorer_forbids_to_libraries_does_not_keep_a_text_away(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos["datasets", "org/text"] = Repo({"raw/test.parquet": b"PAR1 rows PAR1"})
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    forbid_to_libraries()
    with mock.patch.object(constants, "HF_HUB_OFFLINE", True):
        assert fetch_dataset_file("org/text", "raw/test.parquet", COMMIT).is_file()
        assert constants.HF_HUB_OFFLINE is True


def test_a_dataset_file_offline(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    forbid_to_libraries()
    with (
        mock.patch.object(constants, "HF_HUB_OFFLINE", True),
        pytest.raises(CorpusNotCached, match="HF_HUB_OFFLINE"),
    ):
        fetch_dataset_file("org/text", "raw/test.parquet", COMMIT)
    assert not hub.requests
