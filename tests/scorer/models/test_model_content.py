"""The files of a model, watched from before they are read until after the last chunk."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_hub_cache import COMMIT

from scorer.common.errors import ModelChanged, QfidError
from scorer.common.folders import cache_folder
from scorer.models import model_content
from scorer.models.model_content import ModelContent

OLD = time.time_ns() - 10**12
WEIGHTS = "model.safetensors"


def write(path: Path, content: bytes, *, modified: int = OLD) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(modified, modified))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "model"
    found.mkdir()
    write(found / WEIGHTS, b"w" * 1000)
    write(found / "config.json", b"{}")
    write(found / "notes.txt", b"read by nothing")
    return found


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were hashed, not looked up; every file counts as a large one."""
    monkeypatch.setattr(model_content, "_SMALL_BYTES", 0)
    names: list[str] = []
    plain = ModelContent._sha256

    def counted(self: ModelContent, file: model_content._File, **more: bool) -> str:
        names.append(file.path.name)
        return plain(self, file, **more)

    monkeypatch.setattr(ModelContent, "_sha256", counted)
    return names


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_files_that_a_model_is_read_from_are_hashed(folder: Path) -> None:
    for name in ("merges.txt", "vocab.txt", "tokenizer.model", "own.py", "chat_template.jinja"):
        write(folder / name, name.encode())
    write(folder / "consolidated.safetensors", b"mlx-lm does not load it")
    content = ModelContent(folder)
    hashes = content.hashes()
    assert hashes.pop(WEIGHTS) == sha256(b"w" * 1000) and hashes.pop("config.json") == sha256(b"{}")
    assert hashes == {
        name: sha256(name.encode())
        for name in ("merges.txt", "vocab.txt", "tokenizer.model", "own.py", "chat_template.jinja")
    }
    assert content.is_known and len(content.digest() or "") == 64
    content.check_read()
    content.check_unchanged()


def in_place(path: Path) -> None:
    write(path, b"v" * 1000)


def in_place_with_its_time(path: Path) -> None:
    modified = path.stat().st_mtime_ns
    path.write_bytes(b"v" * 1000)
    os.utime(path, ns=(modified, modified))


def renamed_over(path: Path) -> None:
    write(path.with_name("new"), b"v" * 1000)
    path.with_name("new").rename(path)


def through_a_hard_link(path: Path) -> None:
    os.link(path, path.parent.parent / "other")
    (path.parent.parent / "other").write_bytes(b"v" * 1000)


def removed(path: Path) -> None:
    path.unlink()


CHANGES = [in_place, in_place_with_its_time, renamed_over, through_a_hard_link, removed]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_them_is_noticed_at_the_end(
    folder: Path, change: Callable[[Path], None]
) -> None:
    content = ModelContent(folder)
    content.hashes()
    change(folder / WEIGHTS)
    with pytest.raises(ModelChanged, match=r"`model\.safetensors` of the model .* while it was"):
        content.check_unchanged()


def test_chat_templates_of_a_folder_of_their_own_are_read_too(folder: Path) -> None:
    templates = folder / "additional_chat_templates"
    templates.mkdir()
    write(templates / "notes.txt", b"read by nothing")
    without = ModelContent(folder)
    assert without.hashes() == {WEIGHTS: sha256(b"w" * 1000), "config.json": sha256(b"{}")}
    write(templates / "tool_use.jinja", b"{{ tools }}")
    with pytest.raises(ModelChanged, match=r"`additional_chat_templates/tool_use\.jinja`"):
        without.check_read()
    content = ModelContent(folder)
    assert content.hashes()["additional_chat_templates/tool_use.jinja"] == sha256(b"{{ tools }}")
    assert content.digest() != without.digest()
    write(templates / "tool_use.jinja", b"{{ other }}")
    with pytest.raises(ModelChanged, match=r"tool_use\.jinja"):
        content.check_unchanged()


@pytest.mark.parametrize("change", CHANGES)
def test_and_once_they_are_read(folder: Path, change: Callable[[Path], None]) -> None:
    content = ModelContent(folder)
    change(folder / WEIGHTS)
    with pytest.raises(ModelChanged):
        content.check_read()


def test_a_file_added_before_they_are_read_may_have_been_read(folder: Path) -> None:
    content = ModelContent(folder)
    write(folder / "model-2.safetensors", b"")
    with pytest.raises(ModelChanged, match=r"`model-2\.safetensors` .* was added"):
        content.check_read()
    # Later it is no part of the model.
    content.check_unchanged()


@pytest.mark.parametrize("change", CHANGES)
def test_no_hash_is_that_of_another_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    plain = ModelContent._hash

    def late(self: ModelContent, file: model_content._File) -> None:
        if file.path.name == WEIGHTS:
            change(file.path)
        plain(self, file)

    monkeypatch.setattr(ModelContent, "_hash", late)
    content = ModelContent(folder)
    with pytest.raises(QfidError):
        content.hashes()
    with pytest.raises(QfidError):
        content.digest()


def test_a_file_as_young_as_the_steps_of_its_times_is_hashed_again(folder: Path) -> None:
    """Written again within the same two seconds of a FAT file system, it keeps its time."""
    stepped = time.time_ns() // 2_000_000_000 * 2_000_000_000
    write(folder / WEIGHTS, b"w" * 1000, modified=stepped)
    content = ModelContent(folder)
    content.hashes()
    file = content._files[WEIGHTS]
    write(folder / WEIGHTS, b"v" * 1000, modified=stepped)
    file.changed = (folder / WEIGHTS).stat().st_ctime_ns
    with pytest.raises(ModelChanged):
        content.check_unchanged()


def test_other_times_alone_are_no_change(folder: Path) -> None:
    content = ModelContent(folder)
    content.hashes()
    (folder / WEIGHTS).chmod(0o600)
    os.link(folder / WEIGHTS, folder / "another-name")
    content.check_unchanged()


def test_hashes_of_large_files_are_kept_by_their_state(folder: Path, read: list[str]) -> None:
    first = ModelContent(folder).hashes()
    assert sorted(read) == ["config.json", WEIGHTS]
    assert ModelContent(folder).hashes() == first and len(read) == 2
    in_place_with_its_time(folder / WEIGHTS)
    assert ModelContent(folder).hashes()[WEIGHTS] == sha256(b"v" * 1000)
    assert read[2:] == [WEIGHTS]


def test_a_young_file_is_not_kept(folder: Path, read: list[str]) -> None:
    write(folder / WEIGHTS, b"w", modified=time.time_ns())
    for _ in range(2):
        ModelContent(folder).hashes()
    assert read.count(WEIGHTS) == 2


def test_what_is_kept_may_be_damaged_or_not_writable(folder: Path, read: list[str]) -> None:
    first = ModelContent(folder).hashes()
    for kept in (cache_folder() / "hashes").iterdir():
        kept.write_text('{"state": [], "sha256": "no"}' if len(read) == 2 else "{")
    assert ModelContent(folder).hashes() == first and len(read) == 4
    for kept in (cache_folder() / "hashes").iterdir():
        kept.unlink()
        kept.mkdir()
    assert ModelContent(folder).hashes() == first and len(read) == 6


def test_blobs_of_a_cache_that_are_not_what_they_are_named_after(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--x" / "snapshots" / COMMIT
    blobs = tmp_path / "models--org--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    named = {
        WEIGHTS: (b"weights", sha256(b"weights")),
        "model-2.safetensors": (b"changed", sha256(b"as it was")),
        "config.json": (b"{}", hashlib.sha1(b"blob 2\0{}").hexdigest()),
        "tokenizer.json": (b"[]", hashlib.sha1(b"blob 2\0{}").hexdigest()[::-1]),
    }
    for name, (content, blob) in named.items():
        write(blobs / blob, content)
        (snapshot / name).symlink_to(f"../../blobs/{blob}")
    found = ModelContent(snapshot)
    assert found.foreign_blobs() == ["model-2.safetensors", "tokenizer.json"]
    assert found.hashes()["model-2.safetensors"] == sha256(b"changed")


def test_a_snapshot_whose_link_leads_elsewhere_has_changed(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "blob", b"w" * 1000)
    write(tmp_path / "other", b"w" * 1000)
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to(tmp_path / "blob")
    content = ModelContent(folder)
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to(tmp_path / "other")
    with pytest.raises(ModelChanged):
        content.check_read()


def test_a_folder_reached_through_a_link_that_leads_elsewhere_has_changed(
    folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(other / WEIGHTS, b"w" * 1000)
    write(other / "config.json", b"{}")
    link = tmp_path / "link"
    link.symlink_to(folder)
    content = ModelContent(link)
    content.hashes()
    link.unlink()
    link.symlink_to(other)
    with pytest.raises(ModelChanged):
        content.check_unchanged()


def test_closed_it_hashes_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_content, "_BLOCK", 1)
    with ModelContent(folder) as content:
        content.close()
    with pytest.raises(QfidError):
        # Nothing is said of a file that was hashed half.
        write(folder / WEIGHTS, b"x")
        content.check_unchanged()
