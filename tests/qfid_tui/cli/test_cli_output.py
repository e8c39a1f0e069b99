"""``--output``: checked before anything is scored, whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_saved_runs import play, recording, report_of, save_run, script

from qfid_tui.cli import main
from qfid_tui.cli.output import ReportFile
from qfid_tui.cli.rendered_report import rendered
from scorer.common.errors import InputError, QfidError
from scorer.report.formats.markdown import to_markdown
from scorer.report.tree import Report


def refused(capfd: pytest.CaptureFixture[str], path: Path | str) -> list[str]:
    """The lines of a ``qfid kv`` that must end with 2 before its child starts."""
    assert main(["kv", "demo", "--output", str(path)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    return err.splitlines()


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path = tmp_path / "never"
    play(monkeypatch, path)
    yield
    assert not path.with_suffix(".request").exists()


@pytest.mark.usefixtures("no_child")
def test_what_cannot_be_written_is_refused_before_scoring(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refused(capfd, tmp_path / "no" / "r.md") == [
        f"error: there is no folder `{tmp_path / 'no'}`",
        "hint: create it, or name another one",
    ]
    assert refused(capfd, tmp_path) == [f"error: `{tmp_path}` is a folder, not a file"]
    assert refused(capfd, f"{tmp_path}/new/") == [
        f"error: `{tmp_path}/new` is a folder, not a file"
    ]
    assert refused(capfd, " ") == ["error: --output names no file"]
    (tmp_path / "file").write_text("")
    assert refused(capfd, tmp_path / "file" / "r.md") == [
        f"error: `{tmp_path / 'file'}` is not a folder"
    ]
    assert "is not a usable file name" in refused(capfd, tmp_path / ("n" * 300))[0]
    assert len(refused(capfd, "~nobody-of-this-name/r.md")) == 2


@pytest.mark.usefixtures("no_child")
@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_folder_is_refused(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    real = os.open

    def read_only(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & os.O_CREAT and str(path).startswith(str(tmp_path)):
            raise OSError(code, os.strerror(code))
        return real(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", read_only)
    lines = refused(capfd, tmp_path / "r.md")
    monkeypatch.undo()
    assert lines == [
        f"error: `{tmp_path / 'r.md'}` cannot be opened or written: permission denied or read-only",
        "hint: name a folder you may write to",
    ]


@pytest.mark.usefixtures("no_child")
def test_a_write_protected_file_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write to everything")
    path = tmp_path / "r.md"
    path.write_text("mine")
    path.chmod(0o444)
    assert "read-only" in refused(capfd, path)[0]
    assert path.read_text() == "mine"


def test_a_report_lands_in_its_file_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = save_run()
    folder = tmp_path / "reports"
    folder.mkdir()
    path = folder / "r.md"
    path.write_text("an older one, longer by far" * 1000)
    path.chmod(0o640)
    play(monkeypatch, script(tmp_path / "s", recording(run)))
    assert main(["kv", "demo", "--output", str(path)]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert f"report written to {path}\n" in err
    assert path.read_text("utf-8") == to_markdown(Report.from_json(report_of(run)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(folder) == ["r.md"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "real.md", tmp_path / "link.md"
    target.write_text("old")
    link.symlink_to(target)
    ReportFile(str(link)).write(["new ", "text"])
    assert link.is_symlink()
    assert target.read_text() == "new text"


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        ReportFile(str(pipe)).write(["a", "b"])
        assert os.read(reading, 10) == b"ab"
    finally:
        os.close(reading)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    ReportFile("/dev/null").write(["gone"])
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_report_that_cannot_be_made_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("old")

    def parts() -> Iterator[str]:
        yield "x" * (2 << 20)
        raise QfidError("the positions are damaged")

    with pytest.raises(QfidError, match="damaged"):
        ReportFile(str(path)).write(parts())
    assert path.read_text() == "old"
    assert names(tmp_path) == ["r.csv"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.md"
    path.write_text("old")
    file = ReportFile(str(path))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(QfidError, match="no space left"):
        file.write(["new"])
    assert path.read_text() == "old"
    assert names(tmp_path) == ["r.md"]


def test_a_folder_that_went_away_meanwhile_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    file = ReportFile(str(folder / "r.md"))
    folder.rmdir()
    with pytest.raises(InputError, match="there is no folder"):
        file.write(["new"])


def test_a_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ReportFile("~/r.md").write(["text"])
    assert (tmp_path / "r.md").read_text() == "text"


def test_a_dash_is_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = save_run()
    monkeypatch.chdir(tmp_path)
    assert main(["report", run.id, "--output", "-"]) == 0
    assert capfd.readouterr().out == to_markdown(Report.from_json(report_of(run)))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "format"),
    [
        ("--output r.json", "json"),
        ("--output R.JSON", "json"),
        ("--output r.csv", "csv"),
        ("--output r.html", "html"),
        ("--output r.HTM", "html"),
        ("--output r.md", "md"),
        ("--output r.txt", "md"),
        ("--output json", "md"),
        ("--output r.json --format csv", "csv"),
        ("--output r.csv --format md", "md"),
    ],
)
def test_the_ending_of_a_file_chooses_the_format_that_is_not_given(
    words: str, format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = save_run()
    monkeypatch.chdir(tmp_path)
    assert main(["report", run.id, *words.split()]) == 0
    (written,) = tmp_path.iterdir()
    assert written.read_text("utf-8") == "".join(
        rendered(format, Report.from_json(report_of(run)), run.id)
    )
