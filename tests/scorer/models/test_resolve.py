"""Which models a cache holds, what they are, and which one a name means."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from fake_hub_cache import (
    COMMIT,
    LLAMA,
    OTHER_COMMIT,
    model_files,
    safetensors,
    write_folder,
    write_repo,
)

from scorer.common.errors import InputError, ModelNotCached
from scorer.models.hub_cache import hub_folder, is_repo_id
from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable, iter_models, list_models
from scorer.models.resolve import resolve_model
from scorer.spec.settings.kv import KVSetting

REPO = "org/model"


@pytest.fixture
def hub() -> Path:
    return hub_folder()


def assert_refused(message: str, hint: str, model: str, revision: str | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        resolve_model(model, revision)
    assert message in caught.value.message
    assert hint in caught.value.hint and caught.value.hint
    assert caught.value.exit_code == 2
    return caught.value


def test_a_cached_repo_and_all_that_is_said_about_it(hub: Path) -> None:
    files = model_files() | {"model.safetensors": safetensors("BF16", 1000)}
    path = write_repo(hub, REPO, files)
    info = resolve_model(REPO)
    assert info.name == REPO and info.path == path and info.revision == COMMIT
    assert info.architecture == "llama" and info.custom_code is None and info.caution is None
    assert info.size_bytes == len(files["model.safetensors"])
    assert (info.layers, info.kv_heads, info.head_dim) == (30, 3, 64)
    assert info.kv_bytes_per_token_16bit == 23_040
    assert KVSetting.parse("8").bytes_per_token(info.geometry) == 12_240
    assert (info.max_context, info.vocab_size, info.weight_bits) == (8192, 49152, 16)
    assert list_models().scorable == [info]


def test_its_json_says_the_same(hub: Path) -> None:
    write_repo(hub, REPO, model_files())
    data = json.loads(json.dumps(resolve_model(REPO).to_json()))
    assert data["name"] == REPO and data["revision"] == COMMIT
    assert data["kv_bytes_per_token_16bit"] == 23_040
    assert data["legal_groups"] == [32, 64]
    assert data["geometry"]["caches"][0]["count"] == 30


@pytest.mark.parametrize(
    ("changes", "dtype", "bits"),
    [
        ({}, "BF16", 16),
        ({}, "F32", 32),
        ({"quantization": {"bits": 4, "group_size": 64}}, "U32", 4),
        ({"quantization_config": {"bits": 3}}, "BF16", 3),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "BF16", 4),
        ({}, "U32", None),
    ],
)
def test_weight_bits(hub: Path, changes: dict[str, object], dtype: str, bits: float | None) -> None:
    write_repo(hub, REPO, model_files(**changes) | {"model.safetensors": safetensors(dtype)})
    assert resolve_model(REPO).weight_bits == bits
    assert list_models().scorable[0].weight_bits == bits


def test_a_wrapper_with_its_text_model_inside(hub: Path) -> None:
    config = {"model_type": "qwen3_vl", "text_config": {**LLAMA, "model_type": "qwen3"}}
    write_repo(hub, REPO, model_files(config))
    info = resolve_model(REPO)
    assert (info.architecture, info.kv_heads, info.head_dim) == ("qwen3_vl", 3, 64)


@pytest.mark.parametrize("revision", [None, "main", COMMIT, COMMIT[:7], COMMIT[:5]])
def test_a_revision_by_branch_commit_and_prefix(hub: Path, revision: str | None) -> None:
    write_repo(hub, REPO, model_files())
    write_repo(hub, REPO, model_files(num_hidden_layers=2), commit=OTHER_COMMIT, ref="dev")
    info = resolve_model(REPO, revision)
    assert (info.revision, info.layers) == (COMMIT, 30)
    assert resolve_model(REPO, "dev").layers == 2
    assert resolve_model(REPO, OTHER_COMMIT[:6]).layers == 2


def test_a_branch_in_a_folder(hub: Path) -> None:
    write_repo(hub, REPO, model_files(), ref="refs/pr/3")
    assert resolve_model(REPO, "refs/pr/3").revision == COMMIT


def test_the_only_snapshot_stands_for_main(hub: Path) -> None:
    write_repo(hub, REPO, model_files(), ref=None)
    assert resolve_model(REPO).revision == COMMIT
    write_repo(hub, REPO, model_files(), commit=OTHER_COMMIT, ref=None)
    error = assert_refused("2 revisions of", "--revision", REPO)
    assert COMMIT[:12] in error.hint and OTHER_COMMIT[:12] in error.hint
    assert "none is `main`" in list_models().unscorable[0].reason


@pytest.mark.parametrize(
    ("revision", "message", "hint"),
    [
        ("0123", "fits 2 cached snapshots", "more digits"),
        ("dev", "revision `dev` of `org/model` is not in the local cache", "--revision dev"),
        ("fedc", "is not in the local cache", "qfid pull org/model --revision fedc"),
        ("f" * 40, "is not in the local cache", "qfid pull"),
        ("../../x", "is not a revision", "a commit"),
        ("-x", "is not a revision", "a commit"),
        ("", "is not a revision", "a commit"),
        ("a\x1b[31m", "is not a revision", "a commit"),
    ],
)
def test_a_revision_that_is_not_there(hub: Path, revision: str, message: str, hint: str) -> None:
    write_repo(hub, REPO, model_files())
    write_repo(hub, REPO, model_files(), commit=OTHER_COMMIT, ref=None)
    assert_refused(message, hint, REPO, revision)


def test_a_local_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", model_files())
    info = resolve_model(str(folder))
    assert (info.name, info.path, info.revision) == ("mine", folder, None)


def test_a_folder_named_like_a_command_or_a_repo(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "kv", model_files())
    write_folder(tmp_path / "org" / "model", model_files(num_hidden_layers=2))
    write_repo(hub, REPO, model_files())
    assert resolve_model("./kv").name == "kv"
    assert resolve_model(REPO).layers == 2
    (tmp_path / "org" / "model" / "config.json").unlink()
    assert resolve_model(REPO).layers == 30
    assert_refused("there is no config.json", "config.json", "./org/model")


def test_a_folder_named_like_a_repo_that_is_not_cached(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "org" / "model", {"x.Q4.gguf": b"GGUF"})
    assert_refused("its weights are GGUF", "MLX version", "org/model")
    (tmp_path / "org" / "model" / "x.Q4.gguf").unlink()
    assert_refused("`org/model`: it is not a model: there is no config.json", "", "org/model")


@pytest.mark.parametrize("newest", [{}, {"config.json": model_files()["config.json"]}])
def test_an_older_revision_that_is_whole_is_named(hub: Path, newest: dict[str, bytes]) -> None:
    whole, broken = OTHER_COMMIT, "f" * 40
    write_repo(hub, REPO, model_files(), commit=whole, ref=None)
    write_repo(hub, REPO, {"config.json": b"{"}, commit=broken, ref=None)
    (hub / "models--org--model" / "refs").mkdir(exist_ok=True)
    (hub / "models--org--model" / "refs" / "main").write_text(COMMIT)
    if newest:
        write_repo(hub, REPO, newest)
    said = f"qfid kv {REPO} --revision {whole[:12]}, or qfid pull {REPO}"
    error = assert_refused(whole[:12], said, REPO)
    assert isinstance(error, ModelNotCached)
    assert resolve_model(REPO, whole[:12]).revision == whole
    # Who names a revision means that one.
    assert "--revision" not in assert_refused("", "qfid pull", REPO, "fff0").hint.replace(
        "--revision fff0", ""
    )


def test_a_snapshot_given_as_a_folder_keeps_its_name_and_commit(hub: Path) -> None:
    path = write_repo(hub, REPO, model_files())
    info = resolve_model(str(path))
    assert (info.name, info.revision) == (REPO, COMMIT)


def test_links_of_a_folder_of_the_users_own_may_lead_anywhere(tmp_path: Path) -> None:
    write_folder(tmp_path / "disk", model_files())
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in (tmp_path / "disk").iterdir():
        (folder / path.name).symlink_to(path)
    assert resolve_model(str(folder)).layers == 30


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        ("", "no model was named", "`demo`"),
        ("  ", "no model was named", "`demo`"),
        ("a\0b", "no model was named", "`demo`"),
        ("./missing", "there is no folder `./missing`", "org/name"),
        ("~nobody-at-all/x", "there is no folder", "org/name"),
        ("/dev/null", "is a file, not a model", "folder that holds it"),
        ("a/b/c", "neither a folder nor a repo id", "org/name"),
        ("org/[red]x[/]", "neither a folder nor a repo id", "org/name"),
        ("org/x\x1b[31m", "neither a folder nor a repo id", "org/name"),
        ("org/x\ny", "neither a folder nor a repo id", "org/name"),
        ("org/" + "x" * 500, "neither a folder nor a repo id", "org/name"),
        ("nobody/nothing", "`nobody/nothing` is not in the local cache", "qfid pull nobody/"),
    ],
)
def test_a_name_that_means_nothing(model: str, message: str, hint: str) -> None:
    error = assert_refused(message, hint, model)
    assert error.message.isprintable() and len(error.message) < 200


def test_neither_demo_nor_a_folder_has_revisions(tmp_path: Path) -> None:
    assert_refused("the built-in model has no revision", "leave out", "demo", "main")
    folder = write_folder(tmp_path / "mine", model_files())
    assert_refused("a local folder has no revision", "leave out", str(folder), "main")


def test_the_demo_model() -> None:
    info = resolve_model("demo")
    assert (info.name, info.architecture, info.head_dim) == ("demo", "llama", 64)


def test_the_last_used_comes_first(hub: Path) -> None:
    for age, repo in enumerate(["org/c", "org/a", "org/b"]):
        path = write_repo(hub, repo, model_files(vocab_size=1000 + age)) / "model.safetensors"
        # The blob is shared by content, not by repo: each has its own.
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    listing = list_models()
    assert [info.name for info in listing.scorable] == ["org/c", "org/a", "org/b"]
    assert listing.scorable[0].last_used == 1_000_000


@pytest.mark.skipif(not hasattr(os, "O_NOATIME"), reason="reading leaves its mark here")
def test_listing_is_no_use_of_a_model(hub: Path) -> None:
    weights = write_repo(hub, REPO, model_files()) / "model.safetensors"
    os.utime(weights, (1_000_000, 2_000_000))
    first = list_models().scorable[0].last_used
    assert list_models().scorable[0].last_used == first == 2_000_000
    assert weights.stat().st_atime == 1_000_000


def test_models_are_yielded_as_they_are_read(hub: Path) -> None:
    for number in range(4):
        write_repo(hub, f"org/model{number}", model_files())
    found = iter_models()
    assert isinstance(found, Iterator)
    names = {next(found).name, next(found).name}
    for number in range(4):
        (hub / f"models--org--model{number}" / "refs" / "main").unlink(missing_ok=True)
        snapshot = hub / f"models--org--model{number}" / "snapshots" / COMMIT
        (snapshot / "config.json").unlink()
    rest = list(found)
    assert len(names) == 2 and len(rest) == 2
    assert all(isinstance(repo, Unscorable) for repo in rest)


def test_no_cache_is_an_empty_list(hub: Path) -> None:
    assert not hub.exists()
    assert list(iter_models()) == []


def test_data_sets_and_strangers_are_passed_over(hub: Path) -> None:
    write_repo(hub, REPO, model_files())
    (hub / "datasets--org--text" / "snapshots").mkdir(parents=True)
    (hub / "version.txt").write_text("1")
    (hub / "models--a-file").write_text("1")
    assert [repo.name for repo in iter_models()] == [REPO]


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("HF_HUB_CACHE", ""),
        ("HUGGINGFACE_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    ],
)
def test_where_the_cache_is(
    variable: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CACHES", str(tmp_path))
    monkeypatch.setenv(variable, "$CACHES" if variable != "XDG_CACHE_HOME" else str(tmp_path))
    write_repo(tmp_path / folder, REPO, model_files())
    assert resolve_model(REPO).name == REPO


def test_a_repo_on_another_disk(hub: Path, tmp_path: Path) -> None:
    write_repo(tmp_path / "disk", REPO, model_files())
    hub.mkdir(parents=True)
    (hub / "models--org--model").symlink_to(tmp_path / "disk" / "models--org--model")
    assert resolve_model(REPO).revision == COMMIT
    assert isinstance(next(iter_models()), ModelInfo)


def test_a_whole_cache_on_another_disk(hub: Path, tmp_path: Path) -> None:
    write_repo(tmp_path / "disk", REPO, model_files())
    hub.parent.mkdir(parents=True)
    hub.symlink_to(tmp_path / "disk")
    assert resolve_model(REPO).revision == COMMIT


def test_nothing_connects(hub: Path) -> None:
    write_repo(hub, REPO, model_files())
    refuse = mock.Mock(side_effect=AssertionError("asked the network"))
    with (
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(socket.socket, "connect_ex", refuse),
        mock.patch.object(socket, "getaddrinfo", refuse),
    ):
        assert resolve_model(REPO).layers == 30
        assert resolve_model(REPO, COMMIT[:8]).layers == 30
        assert len(list_models().scorable) == 1
        with pytest.raises(ModelNotCached):
            resolve_model("nobody/nothing")
    refuse.assert_not_called()


def test_only_json_and_headers_are_read(hub: Path) -> None:
    """Of 64 MiB of weights no more than the header is read."""
    path = write_repo(hub, REPO, model_files())
    blob = (path / "model.safetensors").resolve()
    content = safetensors(elements=32 << 20)
    blob.write_bytes(content)
    code = (
        "import os, sys, io\n"
        "from scorer.models.listing import list_models\n"
        "from scorer.models.resolve import resolve_model\n"
        f"resolve_model({REPO!r}); assert len(list_models().scorable) == 1\n"
        "heavy = {'mlx', 'mlx_lm', 'numpy', 'pyarrow', 'textual', 'transformers', 'tokenizers',"
        " 'huggingface_hub', 'torch'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))\n"
        "print(sum(int(line.split()[1]) for line in open('/proc/self/io')"
        " if line.startswith('rchar')) if os.path.exists('/proc/self/io') else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules, count = done.stdout.splitlines()
    assert modules == "[]"
    assert int(count) < len(content) // 2


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("gpt2", True),
        ("org/name", True),
        ("org/name.v1-2_x", True),
        ("o" * 96 + "/n", True),
        ("o" * 97 + "/n", False),
        ("org//name", False),
        ("/name", False),
        ("org/", False),
        (".org/name", False),
        ("org/name.git", False),
        ("org/na..me", False),
        ("org--x/name", False),
        ("org/name\n", False),
        ("org/na me", False),
    ],
)
def test_what_the_hub_takes_for_a_repo_id(text: str, valid: bool) -> None:
    assert is_repo_id(text) is valid


def test_a_path_that_is_not_utf_8_is_refused_and_a_link_to_it_is_not(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff"))
    try:
        write_folder(folder, model_files())
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with pytest.raises(InputError, match="is not UTF-8") as caught:
        resolve_model(str(folder))
    assert "link to it" in caught.value.hint
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert resolve_model(str(link)).path == link
