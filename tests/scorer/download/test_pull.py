"""Downloading models and corpus files, from a server on the loopback interface."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from fake_hub_cache import COMMIT, model_files, safetensors, write_repo
from huggingface_hub import constants
from loopback_hub import LoopbackHub, Repo, etag, serving
from tiny_configs import tiny_config

from scorer.common.errors import InputError, ModelNotCached, QfidError
from scorer.download.progress import DownloadProgress
from scorer.download.pull import pull
from scorer.lm.measured_geometry import measure_folder
from scorer.models.hub_cache import hub_folder
from scorer.models.kept_geometry import remember
from scorer.models.resolve import resolve_model

REPO = "org/model"
WEIGHTS = "model.safetensors"


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with serving() as server:
        server.repos["models", REPO] = Repo(model_files() | {WEIGHTS: safetensors(elements=4096)})
        yield server


@pytest.fixture(autouse=True)
def _measured_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are measured in this process, except where a test names the child."""
    if "child" in request.node.name:
        return

    def measure(requests: Sequence[tuple[Path, bool]]) -> Iterator[str]:
        for folder, consent in requests:
            with contextlib.suppress(QfidError):
                remember(*measure_folder(folder, allow_custom_code=consent))
            yield ""

    monkeypatch.setattr("scorer.download.pull.measure_folders", measure)


@pytest.fixture
def repo(hub: LoopbackHub) -> Repo:
    return hub.repos["models", REPO]


@pytest.mark.parametrize(
    "commit", ["", "../../models--org--other/snapshots/x", "main", "F" * 40, "."]
)
def test_a_commit_that_is_none_touches_no_folder(hub: LoopbackHub, repo: Repo, commit: str) -> None:
    other = write_repo(hub_folder(), "org/other", model_files()).parent
    (other / "x").mkdir()
    for name in repo.files:
        (other / "x" / name).write_bytes(b"mine")
    repo.commit = commit
    assert_refused("the Hub names no commit of `org/model`", "try again later")
    assert {path.read_bytes() for path in (other / "x").iterdir()} == {b"mine"}


def test_names_of_files_that_lead_out_are_not_fetched(hub: LoopbackHub, repo: Repo) -> None:
    hostile = ["../../../evil.json", "/evil.json", "a/../../evil.json", "..", "evil\x1b[2J.json"]
    repo.files |= dict.fromkeys(hostile, b"{}")
    folder = pull(REPO)
    assert "config.json" in {path.name for path in folder.iterdir()}
    for path in hub_folder().parent.rglob("*evil*"):
        assert path.parent == folder or path.parent.name == "blobs"


def blobs() -> Path:
    return hub_folder() / "models--org--model" / "blobs"


def assert_refused(message: str, hint: str, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        pull(REPO, **options)
    assert message in caught.value.message and "\n" not in caught.value.message
    assert hint in caught.value.hint and "\n" not in caught.value.hint
    assert caught.value.exit_code == 2
    return caught.value


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


def test_files_that_are_damaged_on_the_hub_send_nobody_in_circles(
    hub: LoopbackHub, repo: Repo
) -> None:
    repo.files[WEIGHTS] = repo.files[WEIGHTS][:200]
    assert "qfid pull" not in assert_refused("is cut off", "another model").hint


def test_a_repo_that_is_not_there(hub: LoopbackHub) -> None:
    with pytest.raises(InputError) as caught:
        pull("org/missing")
    assert caught.value.message == "there is no public repo `org/missing`"
    assert "hf auth login" in caught.value.hint
    assert not (hub_folder() / "models--org--missing" / "snapshots").exists()


@pytest.mark.parametrize(
    ("refusal", "listed", "message", "hint"),
    [
        ((401, "RepoNotFound"), False, "there is no public repo", "hf auth login"),
        ((401, ""), False, "there is no public repo", "hf auth login"),
        ((403, "GatedRepo"), False, "is gated", "accept them at"),
        ((401, "GatedRepo"), True, "is gated", "accept them at"),
        ((403, "GatedRepo"), True, "is gated", "accept them at"),
        ((403, ""), True, "does not let you read", "hf auth login"),
        ((500, ""), True, "500", "try again later"),
        ((503, ""), False, "503", "try again later"),
    ],
)
def test_a_hub_that_refuses(
    hub: LoopbackHub,
    repo: Repo,
    refusal: tuple[int, str],
    listed: bool,
    message: str,
    hint: str,
) -> None:
    repo.refusal, repo.listed = refusal, listed
    assert_refused(message, hint)


def test_a_revision_that_is_not_there(hub: LoopbackHub) -> None:
    assert_refused("has no revision `dev`", "a commit, a branch or a tag", revision="dev")


@pytest.mark.parametrize("revision", ["../main", "", "a b", "-x", "main/"])
def test_a_revision_that_is_none_is_not_asked_for(hub: LoopbackHub, revision: str) -> None:
    assert_refused("is not a revision", "a commit", revision=revision)
    assert not hub.requests


@pytest.mark.parametrize("name", ["", "a/b/c", "../x", "org/", "a b", "[red]", "x\x1b[31m", "a--b"])
def test_a_name_that_is_no_repo_is_not_asked_for(hub: LoopbackHub, name: str) -> None:
    with pytest.raises(InputError) as caught:
        pull(name)
    assert "is not a repo id" in caught.value.message and "\x1b" not in caught.value.message
    assert not hub.requests


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README.md": b""}, "there is no config.json"),
        ({"model_index.json": b"{}"}, "image pipeline"),
        ({"adapter_config.json": b"{}"}, "adapter"),
        ({"model-q4.gguf": b""}, "GGUF"),
        ({k: v for k, v in model_files().items() if k != WEIGHTS}, "no weights"),
        (
            {k: v for k, v in model_files().items() if k != WEIGHTS} | {"pytorch_model.bin": b"x"},
            "`pytorch_model.bin`",
        ),
        (model_files(model_type="bert"), "`bert`"),
        (model_files(model_file="evil.py") | {"evil.py": b""}, "code of its own: `evil.py`"),
        (model_files(num_attention_heads=None), "missing"),
        (model_files(tiny_config("mamba")), "keeps no keys and values"),
        (model_files() | {"config.json": b"{"}, "not valid JSON"),
        ({k: v for k, v in model_files().items() if k != "tokenizer.json"}, "no tokenizer"),
    ],
)
def test_what_could_not_be_scored_is_refused_before_its_weights_are_fetched(
    hub: LoopbackHub, repo: Repo, files: dict[str, bytes], message: str
) -> None:
    repo.files = files
    error = assert_refused(message, "")
    assert error.message.count(REPO) == 1 and error.hint
    fetched = {path for method, path, _ in hub.requests if method == "GET" and "resolve" in path}
    assert all(path.endswith(".json") for path in fetched)


def test_what_no_child_can_measure_is_fetched_all_the_same(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scorer.models.measuring.COMMAND", ("/no/such/program",))
    assert (pull(REPO) / WEIGHTS).is_file()


def test_code_is_fetched_only_where_it_is_allowed(hub: LoopbackHub, repo: Repo) -> None:
    repo.files |= model_files(model_file="own.py") | {"own.py": b"raise SystemExit(3)"}
    assert_refused("code of its own", "--allow-custom-code")
    assert hub.fetched("own.py") == 0
    folder = pull(REPO, allow_custom_code=True)
    assert (folder / "own.py").read_bytes() == b"raise SystemExit(3)"


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


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("config.json", 17 << 20, "`config.json` of `org/model` has 17 MiB; at most 16"),
        ("tokenizer.json", 1 << 40, "`tokenizer.json` of `org/model` has 1048576 MiB; at most 256"),
        ("chat_template.jinja", 300 << 20, "at most 256"),
        ("tokenizer.json", None, "does not say how large `tokenizer.json` of `org/model` is"),
        (WEIGHTS, None, "does not say how large `model.safetensors`"),
        (WEIGHTS, -1, "does not say how large `model.safetensors`"),
        (WEIGHTS, 1 << 60, "GB more and the disk of"),
    ],
)
def test_a_file_of_such_a_size_is_refused_before_it_is_fetched(
    hub: LoopbackHub, repo: Repo, name: str, size: int | None, message: str
) -> None:
    repo.files.setdefault(name, b"{{ messages }}")
    repo.sizes[name] = size
    assert_refused(message, "")
    assert hub.fetched(name) == 0 and hub.fetched(WEIGHTS) == 0


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_file_that_is_larger_than_the_list_says_is_not_fetched_to_its_end(
    hub: LoopbackHub, repo: Repo, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("scorer.download.sizes._BESIDE", 1 << 10)
    repo.sizes = {file: len(content) for file, content in repo.files.items()}
    repo.files[name] += b" " * (1 << 20)
    assert_refused("`org/model` sends more than the 0.", "pick another model")
    assert not list(hub_folder().glob(f"models--org--model/snapshots/*/{name}"))
