"""What is not downloaded: names that are none, hostile repos, what could not be scored."""

from __future__ import annotations

import pytest
from fake_hub_cache import model_files, write_repo
from loopback_hub import LoopbackHub, Repo
from pulled_repos import REPO, WEIGHTS, assert_refused
from tiny_configs import tiny_config

from scorer.common.errors import InputError
from scorer.download.pull import pull
from scorer.models.hub_cache import hub_folder

pytestmark = pytest.mark.usefixtures("measured_here")


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


def test_code_is_fetched_only_where_it_is_allowed(hub: LoopbackHub, repo: Repo) -> None:
    repo.files |= model_files(model_file="own.py") | {"own.py": b"raise SystemExit(3)"}
    assert_refused("code of its own", "--allow-custom-code")
    assert hub.fetched("own.py") == 0
    folder = pull(REPO, allow_custom_code=True)
    assert (folder / "own.py").read_bytes() == b"raise SystemExit(3)"


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
