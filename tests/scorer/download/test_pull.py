"""Downloading models, from a server on the loopback interface."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from unittest import mock

import pytest
from fake_hub_cache import COMMIT, model_files, safetensors, write_repo
from huggingface_hub import constants
from loopback_hub import LoopbackHub, Repo, etag
from pulled_repos import REPO, WEIGHTS, assert_refused, blobs

from scorer.common.errors import InputError, ModelNotCached
from scorer.download.progress import DownloadProgress
from scorer.download.pull import pull
from scorer.models.hub_cache import hub_folder
from scorer.models.resolve import resolve_model

pytestmark = pytest.mark.usefixtures("measured_here")


def test_a_model_arrives_whole_is_measured_in_a_child_and_can_be_resolved(
    hub: LoopbackHub, repo: Repo
) -> None:
    seen: list[DownloadProgress] = []
    folder = pull(REPO, on_progress=seen.append)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == repo.files
    found = resolve_model(REPO)
    assert (found.path, found.revision) == (folder, COMMIT)
    total = sum(map(len, repo.files.values()))
    assert [p.done for p in seen] == sorted({p.done for p in seen})
    assert seen[-1] == DownloadProgress(total, total)
    assert {p.total for p in seen} == {total}
    assert (hub_folder() / "models--org--model" / "refs" / "main").read_text() == COMMIT


def test_only_what_a_model_needs_is_fetched(hub: LoopbackHub, repo: Repo) -> None:
    repo.files |= {
        "pytorch_model.bin": b"\x80pickle",
        "modeling.py": b"raise SystemExit",
        "onnx/model.safetensors": safetensors(),
        "README.md": b"# model",
        "other.safetensors": safetensors(),
        "chat_template.jinja": b"{{ messages }}",
    }
    folder = pull(REPO)
    assert {path.name for path in folder.iterdir()} == {*model_files(), "chat_template.jinja"}


def test_a_revision_is_remembered_by_its_name(hub: LoopbackHub) -> None:
    pull(REPO, COMMIT)
    assert not (hub_folder() / "models--org--model" / "refs" / COMMIT).exists()
    pull(REPO, "main")
    assert resolve_model(REPO, "main").revision == COMMIT


def test_what_is_here_is_not_fetched_again(hub: LoopbackHub) -> None:
    pull(REPO)
    before = hub.fetched(WEIGHTS)
    seen: list[DownloadProgress] = []
    pull(REPO, on_progress=seen.append)
    assert hub.fetched(WEIGHTS) == before == 1
    assert len(seen) == 1 and seen[0].done == seen[0].total


def test_a_connection_cut_in_mid_file_is_taken_up_where_it_broke(
    hub: LoopbackHub, repo: Repo
) -> None:
    repo.cuts[WEIGHTS] = [3072, 2048]
    seen: list[DownloadProgress] = []
    folder = pull(REPO, on_progress=seen.append)
    assert (folder / WEIGHTS).read_bytes() == repo.files[WEIGHTS]
    ranges = [r for method, path, r in hub.requests if method == "GET" and path.endswith(WEIGHTS)]
    assert ranges == [None, "bytes=3072-", "bytes=5120-"]
    assert seen[-1].done == seen[-1].total


def test_a_server_that_keeps_hanging_up_is_one_error_and_the_next_pull_goes_on(
    hub: LoopbackHub, repo: Repo
) -> None:
    repo.cuts[WEIGHTS] = [0] * 20
    assert_refused("could not be fetched", "pull again")
    with pytest.raises(ModelNotCached):
        resolve_model(REPO)
    repo.cuts.clear()
    folder = pull(REPO)
    assert (folder / WEIGHTS).read_bytes() == repo.files[WEIGHTS]
    assert hub.fetched("config.json") == 1


def test_half_a_repo_is_completed(hub: LoopbackHub, repo: Repo) -> None:
    folder = hub_folder() / "models--org--model"
    snapshot = write_repo(hub_folder(), REPO, {})
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        blob = folder / "blobs" / etag(name, repo.files[name])
        blob.write_bytes(repo.files[name])
        (snapshot / name).symlink_to(Path("..", "..", "blobs", blob.name))
    seen: list[DownloadProgress] = []
    assert pull(REPO, on_progress=seen.append) == snapshot
    assert hub.fetched("config.json") == 0 and hub.fetched(WEIGHTS) == 1
    assert seen[0].done == sum(len(c) for n, c in repo.files.items() if n != WEIGHTS)
    assert resolve_model(REPO).path == snapshot


@pytest.mark.parametrize("damage", ["short", "dangling", "circle", "outside", "blob only"])
def test_damaged_files_are_fetched_again(
    hub: LoopbackHub, repo: Repo, damage: str, tmp_path: Path
) -> None:
    weights = pull(REPO) / WEIGHTS
    blob = weights.resolve()
    outside = tmp_path / "mine"
    outside.write_bytes(repo.files[WEIGHTS])
    if damage == "short":
        blob.write_bytes(blob.read_bytes()[:100])
    elif damage == "dangling":
        blob.unlink()
    elif damage == "blob only":
        weights.unlink()
        blob.write_bytes(b"short")
    else:
        weights.unlink()
        weights.symlink_to(weights.name if damage == "circle" else outside)
    with pytest.raises(ModelNotCached) as caught:
        resolve_model(REPO)
    assert caught.value.hint == f"qfid pull {REPO}"
    assert pull(REPO) == weights.parent
    assert weights.read_bytes() == repo.files[WEIGHTS]
    assert resolve_model(REPO).size_bytes == len(repo.files[WEIGHTS])
    assert outside.read_bytes() == repo.files[WEIGHTS]


def test_a_small_file_whose_blob_is_a_link_out_of_the_cache_is_fetched_again(
    hub: LoopbackHub, repo: Repo, tmp_path: Path
) -> None:
    config = pull(REPO) / "config.json"
    blob = config.resolve()
    blob.rename(tmp_path / "mine")
    blob.symlink_to(tmp_path / "mine")
    with pytest.raises(ModelNotCached, match="out of the cache"):
        resolve_model(REPO)
    pull(REPO)
    assert not config.resolve().is_symlink() and config.resolve().parent == blob.parent
    assert resolve_model(REPO).layers == 30
    assert (tmp_path / "mine").read_bytes() == repo.files["config.json"]


def test_what_no_child_can_measure_is_fetched_all_the_same(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scorer.models.measuring.COMMAND", ("/no/such/program",))
    assert (pull(REPO) / WEIGHTS).is_file()


def test_a_disk_that_is_too_small(hub: LoopbackHub, repo: Repo) -> None:
    usage = shutil._ntuple_diskusage(10_000, 5_000, 5_000)  # type: ignore[attr-defined]
    with mock.patch.object(shutil, "disk_usage", return_value=usage):
        assert_refused("GB more and the disk of", "HF_HOME")
        assert hub.fetched(WEIGHTS) == 0
    pull(REPO)
    with mock.patch.object(shutil, "disk_usage", return_value=usage):
        pull(REPO)


def test_a_disk_that_fills_up_on_the_way(hub: LoopbackHub) -> None:
    full = OSError(28, "No space left on device")
    with mock.patch("huggingface_hub.file_download._chmod_and_move", side_effect=full):
        assert_refused("the disk is full", "pull again")
    assert pull(REPO).is_dir()


def test_a_caller_that_has_enough_ends_the_download(hub: LoopbackHub) -> None:
    class EnoughError(Exception):
        pass

    def stop(progress: DownloadProgress) -> None:
        raise InputError("enough") from EnoughError()

    with pytest.raises(InputError, match="enough"):
        pull(REPO, on_progress=stop)
    assert hub.fetched(WEIGHTS) == 0


def test_nobody_answers(hub: LoopbackHub) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with mock.patch.object(constants, "ENDPOINT", address):
            assert_refused("could not be fetched: ", "check the network")


def test_offline_what_is_here_is_found_and_the_rest_is_named(hub: LoopbackHub) -> None:
    with mock.patch.object(constants, "HF_HUB_OFFLINE", True):
        assert_refused("HF_HUB_OFFLINE forbids the network", "unset HF_HUB_OFFLINE")
        assert not hub.requests
    folder = pull(REPO)
    before = len(hub.requests)
    with mock.patch.object(constants, "HF_HUB_OFFLINE", True):
        assert pull(REPO) == folder == pull(REPO, COMMIT[:9])
    assert len(hub.requests) == before


def test_pulled_files_are_as_the_library_left_them(hub: LoopbackHub, repo: Repo) -> None:
    """Other programs share the cache: links into blobs, named by hash."""
    folder = pull(REPO)
    for name, content in repo.files.items():
        assert os.readlink(folder / name) == f"../../blobs/{etag(name, content)}"  # noqa: PTH115
    assert json.loads((folder / "config.json").read_bytes())["model_type"] == "llama"
    assert not list(blobs().glob("*.incomplete"))
