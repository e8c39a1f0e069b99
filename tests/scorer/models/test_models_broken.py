"""Cached models that cannot be scored: each is named, with its reason on one line."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_hub_cache import COMMIT, model_files, safetensors, write_folder, write_repo
from safetensors_files import WEIGHTS, header, tensor

from scorer.common.errors import InputError, ModelNotCached
from scorer.models.hub_cache import hub_folder
from scorer.models.listing import Unscorable, iter_models, list_models
from scorer.models.resolve import resolve_model

REPO = "org/model"


@pytest.fixture
def hub() -> Path:
    return hub_folder()


def assert_unscorable(reason: str, hint: str = f"qfid pull {REPO}") -> None:
    """The repo is listed with the reason, and refused with it and a hint."""
    (found,) = iter_models()
    assert isinstance(found, Unscorable)
    assert found.name == REPO and reason in found.reason
    assert found.reason.isprintable() and len(found.reason) < 160
    assert_refused(reason, hint)


def assert_refused(reason: str, hint: str, model: str = REPO) -> None:
    with pytest.raises(InputError) as caught:
        resolve_model(model)
    assert reason in caught.value.message and hint in caught.value.hint
    assert caught.value.message.isprintable() and caught.value.hint.isprintable()
    assert caught.value.hint and caught.value.exit_code == 2


def without(*names: str, **changes: Any) -> dict[str, bytes]:
    return {k: v for k, v in model_files(**changes).items() if k not in names}


@pytest.mark.parametrize(
    ("files", "reason", "hint"),
    [
        (without("config.json"), "there is no config.json", "config.json, weights"),
        (without(WEIGHTS), "config.json but no weights", "qfid pull"),
        (without("tokenizer.json"), "it has no tokenizer", "qfid pull"),
        (without(WEIGHTS) | {"pytorch_model.bin": b"x"}, "a format that can run code", "version"),
        (without(WEIGHTS) | {"model.pt": b"x"}, "a format that can run code", "safetensors"),
        (without(WEIGHTS) | {"weights.npz": b"x"}, "a format that can run code", "safetensors"),
        (without(WEIGHTS) | {"model.Q4.gguf": b"x"}, "GGUF", "MLX version"),
        ({"model.Q4.gguf": b"x"}, "GGUF", "MLX version"),
        (without(WEIGHTS) | {"x.safetensors": safetensors()}, "`model*.safetensors`", "rename it"),
        ({"adapter_config.json": b"{}"}, "an adapter, not a model", "mlx_lm.fuse"),
        ({"model_index.json": b"{}"}, "image pipeline", "config.json"),
        (without(WEIGHTS) | {"model-00001-of-00002.safetensors": safetensors()},
         "`model-00002-of-00002.safetensors` of its weight files is missing", "qfid pull"),
        (without(WEIGHTS) | {"model-00001-of-00004.safetensors": safetensors()},
         "`model-00002-of-00004.safetensors` and 2 more of its weight files are", "qfid pull"),
        (without(WEIGHTS) | {"model-00001-of-99999.safetensors": safetensors()},
         "absurdly many shards", "again"),
        (model_files(model_type="bert"), "mlx-lm has no architecture `bert`", "newer mlx-lm"),
        (model_files(model_type="../../evil"), "no architecture `../../evil`", "newer"),
        (model_files(model_type="x\x1b[31m\n"), "no architecture `x?[31m?`", "newer"),
        (model_files(model_type=None), "names no `model_type`", "language model"),
        (model_files(model_type=7), "`model_type` is `7`, not a string", "again"),
        (model_files(architectures=["LlamaForSequenceClassification"]),
         "not a text generation model", "next token"),
        (model_files(num_hidden_layers=-3), "`num_hidden_layers` is `-3`, outside", "again"),
        (model_files(num_hidden_layers=10**12), "outside 1 to 4096", "again"),
        (model_files(num_hidden_layers="30"), "where a whole number belongs", "again"),
        (model_files(vocab_size=-1), "`vocab_size` is `-1`", "again"),
        (model_files(quantization=4), "`quantization` is `4`, not an object", "again"),
        (model_files(quantization={"bits": "four"}), "`bits` is `four`", "again"),
        (model_files() | {"config.json": b"{"}, "config.json is not valid JSON", "again"),
        (model_files() | {"config.json": b"[]"}, "not a JSON object", "again"),
        (model_files() | {"config.json": b""}, "config.json is not valid JSON", "again"),
        (model_files() | {"config.json": b"\xff\xfe{}"}, "config.json is not valid JSON", "again"),
        (model_files() | {"config.json": b"[" * 100_000}, "not valid JSON", "again"),
        (model_files() | {"config.json": b" " * (17 << 20)}, "larger than a config", "again"),
    ],
)  # fmt: skip
def test_each_is_named_with_its_reason(
    hub: Path, files: dict[str, bytes], reason: str, hint: str
) -> None:
    write_repo(hub, REPO, files)
    assert_unscorable(reason, hint)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is cut off"),
        (b"\x08\0\0", "is cut off"),
        (safetensors(elements=500)[:-1], "is cut off"),
        (safetensors(elements=500)[:40], "is cut off"),
        (struct.pack("<Q", 1 << 40) + b"{}", "is not a safetensors file"),
        (struct.pack("<Q", (1 << 64) - 1) + b"{}", "is not a safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "is a pointer of git-lfs"),
        (header(b"[]"), "is not a safetensors file"),
        (header(b'{"w": '), "not valid JSON"),
        (header(b'{"w": 3}', b""), "is not a safetensors file"),
        (header(tensor(data_offsets=[-8, 16])), "is not a safetensors file"),
        (header(tensor(data_offsets=[16, 0])), "is not a safetensors file"),
        (header(tensor(data_offsets=[0, "16"])), "is not a safetensors file"),
        (header(tensor(data_offsets=[0, 16.0])), "is not a safetensors file"),
        (header(tensor(data_offsets=[0, True])), "is not a safetensors file"),
        (header(tensor(data_offsets=[0])), "is not a safetensors file"),
        (header(tensor(data_offsets=None)), "is not a safetensors file"),
        (header(tensor(data_offsets=[0, 10**30])), "is not a safetensors file"),
    ],
)
def test_weights_that_are_cut_off_or_none(hub: Path, content: bytes, reason: str) -> None:
    write_repo(hub, REPO, model_files() | {WEIGHTS: content})
    with pytest.raises(ModelNotCached, match=reason):
        resolve_model(REPO)
    (found,) = iter_models()
    # The list is content where a tensor ends with the file: it has hundreds of headers to read.
    assert isinstance(found, Unscorable) or b"16]" in content


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [9]},
        {"shape": [1 << 40]},
        {"shape": [1 << 40, 0]},
        {"shape": [-8]},
        {"shape": [2, -4]},
        {"shape": [8.0]},
        {"shape": None},
        {"shape": "8"},
        {"shape": [1] * 65},
        {"shape": [10**4000] * 60},
        {"dtype": "F32"},
        {"dtype": None},
        {"dtype": 16},
    ],
)
def test_headers_that_contradict_themselves_never_reach_mlx(
    hub: Path, changes: dict[str, Any]
) -> None:
    write_repo(hub, REPO, model_files() | {WEIGHTS: header(tensor(**changes))})
    with pytest.raises(ModelNotCached, match=r"contradicts itself|is not a safetensors file") as e:
        resolve_model(REPO)
    assert e.value.message.isprintable() and len(e.value.message) < 300


def test_an_interrupted_download(hub: Path) -> None:
    folder = write_repo(hub, REPO, without(WEIGHTS)).parent.parent
    (folder / "blobs" / "0123.4567abcd.incomplete").write_bytes(b"part")
    assert_unscorable("no weights yet: the download was interrupted")


def test_a_repo_of_which_nothing_has_arrived(hub: Path) -> None:
    (hub / "models--org--model" / "blobs").mkdir(parents=True)
    assert_unscorable("only half downloaded: it has no snapshot")


def test_a_newest_revision_without_files(hub: Path) -> None:
    folder = write_repo(hub, REPO, model_files()).parent.parent
    (folder / "refs" / "main").write_text("f" * 40)
    assert_unscorable("only half downloaded: its newest revision has no files")
    assert resolve_model(REPO, COMMIT).layers == 30


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "tokenizer.json"])
@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("../../blobs/gone", "is missing: the download was interrupted"),
        ("itself", "is a link that leads back to itself"),
        ("outside", "is a link that leads out of the cache"),
        ("../../../../../outside", "is a link that leads out of the cache"),
        ("/dev/zero", "is a link that leads out of the cache"),
    ],
)
def test_links_that_lead_nowhere_or_out(hub: Path, name: str, target: str, reason: str) -> None:
    snapshot = write_repo(hub, REPO, model_files())
    (hub.parent / "outside").write_bytes(model_files()[name])
    (hub.parent.parent / "outside").write_bytes(model_files()[name])
    (snapshot / name).unlink()
    targets = {"itself": name, "outside": str(hub.parent / "outside")}
    (snapshot / name).symlink_to(targets.get(target, target))
    assert_unscorable(reason)


NAMES = ("config.json", WEIGHTS, "tokenizer.json", "chat_template.jinja", "added_tokens.json")


@pytest.mark.parametrize("name", [*NAMES, "generation_config.json", "vocab.txt", "README.md"])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "folder"])
def test_what_is_no_file_is_refused_before_anything_opens_it(
    hub: Path, name: str, kind: str, tmp_path: Path
) -> None:
    snapshot = write_repo(hub, REPO, model_files())
    own = write_folder(tmp_path / "own", model_files())
    for folder, named in ((snapshot, REPO), (own, str(own))):
        path = folder / name
        path.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
        else:
            with socket.socket(socket.AF_UNIX) as end, contextlib.chdir(folder):
                end.bind(name)
        if name == "README.md" and (kind == "folder" or (kind == "device" and named == REPO)):
            # Nobody reads it.
            assert resolve_model(named).layers == 30
            continue
        with pytest.raises(InputError) as caught:
            resolve_model(named)
        assert name in caught.value.message and caught.value.hint
        if kind == "device" and named == REPO:
            assert "leads out of the cache" in caught.value.message
        else:
            what = {"folder": "is a folder"}.get(kind, "is no regular file")
            assert what in caught.value.message
            assert "remove it" in caught.value.hint


def test_a_blob_that_is_a_link_out_of_the_cache(hub: Path) -> None:
    snapshot = write_repo(hub, REPO, model_files())
    blob = (snapshot / "config.json").resolve()
    outside = hub.parent / "outside"
    blob.rename(outside)
    blob.symlink_to(outside)
    assert_unscorable("config.json is a link that leads out of the cache")
    # What is named as a folder is the user's own.
    assert resolve_model(str(snapshot)).revision == snapshot.name


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5981180\n"


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json"])
def test_a_pointer_of_git_lfs(hub: Path, name: str) -> None:
    write_repo(hub, REPO, model_files() | {name: POINTER})
    assert_refused(f"`{name}` is a pointer of git-lfs", f"qfid pull {REPO}")
    folder = write_folder(hub.parent / "my clone", model_files() | {name: POINTER})
    assert_refused("git-lfs", "no clone any more: run `git lfs pull` where", str(folder))
    (folder / ".git").mkdir()
    assert_refused("git-lfs", f"git -C '{folder}' lfs pull", str(folder))


def test_a_tokenizer_for_another_library_is_named(hub: Path) -> None:
    write_repo(hub, REPO, without("tokenizer.json") | {"tekken.json": b"{}"})
    assert_unscorable("its only tokenizer is `tekken.json`", "`tokenizer.json`")


def test_weights_whose_blob_was_moved_to_another_disk(hub: Path) -> None:
    snapshot = write_repo(hub, REPO, model_files())
    blob = (snapshot / WEIGHTS).resolve()
    moved = hub.parent / "disk"
    blob.rename(moved)
    blob.symlink_to(moved)
    assert resolve_model(REPO).size_bytes == moved.stat().st_size
    moved.unlink()
    assert_unscorable(f"`{WEIGHTS}` is a link to {moved}, which is not there", "qfid pull")


def test_a_snapshot_that_is_a_link_out_of_the_cache(hub: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "private", model_files())
    snapshot = write_repo(hub, REPO, {})
    snapshot.rmdir()
    snapshot.symlink_to(tmp_path / "private")
    assert_unscorable("its snapshot is a link that leads out of the cache", "remove that link")


def test_a_snapshot_that_is_a_link_to_itself(hub: Path) -> None:
    snapshot = write_repo(hub, REPO, {})
    snapshot.rmdir()
    snapshot.symlink_to(snapshot.name)
    assert_unscorable("is only half downloaded")


@pytest.mark.parametrize("target", ["/nowhere/at/all", "models--org--model"])
def test_a_repo_whose_disk_is_gone(hub: Path, target: str) -> None:
    hub.mkdir(parents=True)
    (hub / "models--org--model").symlink_to(target)
    assert_unscorable("is a link that leads nowhere", "mount the disk")


@pytest.mark.parametrize("content", [b"", b"main", b"\xff" * 40, b"../../evil", b"0" * 10_000])
def test_a_ref_that_is_no_commit(hub: Path, content: bytes) -> None:
    folder = write_repo(hub, REPO, model_files()).parent.parent
    (folder / "refs" / "main").write_bytes(content)
    assert resolve_model(REPO).revision == COMMIT


def test_a_ref_that_is_a_pipe_blocks_nobody(hub: Path) -> None:
    folder = write_repo(hub, REPO, model_files(), ref=None).parent.parent
    (folder / "refs").mkdir()
    os.mkfifo(folder / "refs" / "main")
    assert resolve_model(REPO).revision == COMMIT


@pytest.mark.parametrize(
    "folder",
    [
        "models--",
        "models--org--[red]name[",
        "models--org--x\x1b[31m",
        "models--org--x\ny",
        "models--org--x\u202ey",
        "models--a--b--c",
        "models--org--..",
        pytest.param(
            os.fsdecode(b"models--org--\xff\xfe"),
            marks=pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there"),
        ),
    ],
)
def test_folders_whose_names_are_no_repo(hub: Path, folder: str) -> None:
    write_repo(hub, REPO, model_files())
    (hub / "models--org--model").rename(hub / folder)
    (found,) = iter_models()
    assert isinstance(found, Unscorable)
    assert found.reason == "the name of its folder is not a repo id"


class TestCustomCode:
    def test_of_the_model_is_refused_unless_allowed(self, hub: Path) -> None:
        write_repo(hub, REPO, model_files(model_file="own.py") | {"own.py": b""})
        assert_unscorable("it runs code of its own: `own.py`", "--allow-custom-code")
        info = resolve_model(REPO, allow_custom_code=True)
        assert info.custom_code == "own.py" and not info.geometry.exact

    def test_that_is_missing(self, hub: Path) -> None:
        write_repo(hub, REPO, model_files(model_file="own.py"))
        with pytest.raises(ModelNotCached, match=r"`own\.py`, which its config\.json runs"):
            resolve_model(REPO, allow_custom_code=True)

    @pytest.mark.parametrize(
        "name", ["../own.py", "/tmp/own.py", "own", "own.sh", "a/own.py", "", 3, ["own.py"]]
    )
    def test_outside_the_folder_is_never_run(self, hub: Path, name: object) -> None:
        write_repo(hub, REPO, model_files(model_file=name) | {"own.py": b""})
        with pytest.raises(InputError, match="model_file"):
            resolve_model(REPO, allow_custom_code=True)

    @pytest.mark.parametrize(
        ("auto_map", "named"),
        [
            ({"AutoTokenizer": ["own.OwnTokenizer", None]}, "`own.py`"),
            ({"AutoTokenizer": "other/repo--own.OwnTokenizer"}, "`other/repo/own.py`"),
            (["own.OwnTokenizer", None], "`own.py`"),
            ({"AutoTokenizer": "x\x1b[31m.T"}, "`x?[31m.py`"),
            ({"AutoTokenizer": 3}, "`tokenizer_config.json`"),
        ],
    )
    def test_of_the_tokenizer(self, hub: Path, auto_map: object, named: str) -> None:
        files = without("tokenizer.json") | {
            "tokenizer_config.json": json.dumps({"auto_map": auto_map}).encode(),
            "tokenizer.model": b"",
        }
        write_repo(hub, REPO, files)
        reason = f"its tokenizer is code of its own: {named}"
        assert_unscorable(reason, "--allow-custom-code")
        assert resolve_model(REPO, allow_custom_code=True).layers == 30

    def test_that_nothing_runs_is_no_hindrance(self, hub: Path) -> None:
        files = model_files(auto_map={"AutoModelForCausalLM": "own.Own"}) | {"own.py": b"exit()"}
        write_repo(hub, REPO, files)
        assert resolve_model(REPO).custom_code is None


def test_the_others_are_listed_beside_a_broken_one(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_repo(hub, "org/good", model_files())
    write_repo(hub, "org/worse", without(WEIGHTS))
    write_repo(hub, "org/bad", model_files() | {WEIGHTS: header(tensor()) + b"tail"})

    def trip(path: Path, *_: object, **__: object) -> dict[str, int]:
        if "org--bad" in str(path):
            raise RuntimeError("of ours")
        return {"BF16": 1}

    monkeypatch.setattr("scorer.models.info.check_weight_file", trip)
    listing = list_models()
    assert [info.name for info in listing.scorable] == ["org/good"]
    assert [(repo.name, repo.reason) for repo in listing.unscorable] == [
        ("org/bad", "unreadable: RuntimeError"),
        ("org/worse", "it has config.json but no weights"),
    ]
    assert listing.unscorable[1].size_bytes == sum(map(len, without(WEIGHTS).values())) - 2
