"""Names and places of exported files, and that they hold what the command line prints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_saved_runs import save_run
from hypothesis import given
from hypothesis import strategies as st

from qfid_tui.app import exported_file
from qfid_tui.app.exported_file import (
    FORMATS,
    export_name,
    export_path,
    in_the_way,
    make_folder,
    missing_folder,
    own_name,
    write_export,
)
from qfid_tui.cli import main
from scorer.common.errors import InputError, QfidError
from scorer.spec.settings.registry import parse_setting

RUN = "20261124-201425-SmolLM2-135M-Instruct-4bit-eaba"
anything = st.text(st.characters(categories=None), max_size=80)


def file_names(keys: list[str]) -> list[str]:
    return [parse_setting(key).file_name for key in keys]


@pytest.mark.parametrize(
    ("run", "model", "settings", "name"),
    [
        (
            RUN,
            "local/SmolLM2-135M-4bit",
            ["8", "k8v4"],
            "qfid-SmolLM2-135M-4bit-8-k8v4-20261124-201425-eaba",
        ),
        (
            RUN,
            "demo",
            ["4:32@512~dequantized"],
            "qfid-demo-4g32s512-dequantized-20261124-201425-eaba",
        ),
        (RUN, "", [], "qfid-20261124-201425-eaba"),
        ("my own run", "/home/me/models/x/", ["8"], "qfid-x-8-my-own-run"),
        (RUN, "../../etc/passwd", ["8"], "qfid-passwd-8-20261124-201425-eaba"),
        (RUN, "..", ["8"], "qfid-8-20261124-201425-eaba"),
    ],
)
def test_a_name_says_what_is_in_the_file(
    run: str, model: str, settings: list[str], name: str
) -> None:
    assert export_name(run, model, file_names(settings), ".md") == f"{name}.md"


def test_many_settings_are_counted_rather_than_cut() -> None:
    settings = [f"k{k}v{v}:32" for k in (2, 3, 4, 5, 6, 8) for v in (2, 3, 4, 5, 6, 8)]
    name = export_name(RUN, "demo", file_names(settings), ".md")
    assert "-k2v6g32-k2v8g32-k3v2g32-3g32-and-28-more-2026" in name


@given(anything, anything, st.lists(anything, max_size=4), st.sampled_from(FORMATS))
def test_no_name_leaves_its_folder(
    run: str, model: str, settings: list[str], kind: exported_file.ExportFormat
) -> None:
    name = export_name(run, model, settings, kind.suffix)
    assert Path(name).name == name and name.endswith(kind.suffix)
    assert name.isascii() and name.isprintable() and len(name) < 255
    assert name.startswith("qfid") and " " not in name


@pytest.mark.parametrize(
    ("typed", "suffix", "name"),
    [
        ("mine", ".md", "mine.md"),
        (" mine ", "-card.md", "mine-card.md"),
        ("mine.MD", "-card.md", "mine.MD"),
        ("v1.2", ".json", "v1.2.json"),
        ("mine.md", ".json", "mine.md.json"),
        (".hidden", ".svg", ".hidden.svg"),
    ],
)
def test_a_name_that_is_typed_gets_the_ending_it_lacks(typed: str, suffix: str, name: str) -> None:
    assert own_name(typed, suffix) == name


@pytest.mark.parametrize("typed", ["a/b", "/", "..", ".", "a\\b", "a\nb", "\x1b[31m"])
def test_a_name_that_leaves_its_folder_is_refused(typed: str) -> None:
    with pytest.raises(InputError, match="is no file name"):
        own_name(typed, ".md")


def test_only_a_folder_that_is_not_there_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert missing_folder("") is missing_folder(str(tmp_path)) is None
    assert missing_folder(str(tmp_path / "file")) is missing_folder(str(tmp_path / "link")) is None
    deep = tmp_path / "a" / "b"
    assert missing_folder(f" {deep} ") == deep
    make_folder(deep)
    assert missing_folder(str(deep)) is None
    with pytest.raises(QfidError):
        make_folder(tmp_path / "file" / "below")


def test_folders_are_taken_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "deep"))
    assert export_path("", "x.md") == tmp_path / "x.md"
    assert export_path(" deep ", "x.md") == tmp_path / "deep" / "x.md"
    assert export_path("~", "x.md") == tmp_path / "deep" / "x.md"


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("missing", "there is no folder `missing`"),
        ("file", "is not a folder"),
        ("file/deeper", "not a folder"),
        ("a\0b", "not a usable file name"),
        ("~nobody-of-this-name", "nobody's home"),
        ("x" * 5000, "not a usable file name"),
    ],
)
def test_what_is_no_folder_is_named(
    folder: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=words):
        export_path(folder, "x.md")


def test_only_plain_files_are_replaced(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    assert not in_the_way(folder / "x.md")
    (folder / "link.md").symlink_to(outside)
    (folder / "dangling.md").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.md")
    (folder / "folder.md").mkdir()
    for name in ("link.md", "dangling.md", "pipe.md", "folder.md"):
        with pytest.raises(InputError, match="is no plain file"):
            write_export(folder / name, ["text"])
    assert outside.read_text() == "mine" and not (tmp_path / "nowhere").exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    assert write_export(path, ["old ", "text"]) == 8
    assert in_the_way(path) and exported_file.holds(path, "old text")

    def torn() -> object:
        yield "new"
        raise QfidError("the disk is gone")

    with pytest.raises(QfidError, match="the disk is gone"):
        write_export(path, torn())  # type: ignore[arg-type]
    assert path.read_text() == "old text" and [*tmp_path.iterdir()] == [path]
    assert write_export(path, ["new"]) == 3
    assert not exported_file.holds(path, "old text")


@pytest.mark.parametrize(
    "kind", [kind for kind in FORMATS if kind.key != "svg"], ids=lambda kind: kind.key
)
@pytest.mark.parametrize("chunks", [4, 2])
def test_a_file_equals_what_the_command_prints(
    kind: exported_file.ExportFormat,
    chunks: int,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    run = save_run(chunks=chunks, finished=chunks == 4)
    path = tmp_path / "report"
    size = write_export(path, exported_file.report_parts(kind.key, run.id))
    assert main(["report", run.id, "--format", kind.key]) == 0
    printed = capfdbinary.readouterr().out
    assert path.read_bytes() == printed and size == len(printed) > 100
