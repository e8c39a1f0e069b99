"""Which tool gets the text, and what is said when none does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qfid_tui.app import clipboard

REMOTE = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tools that is the whole PATH, on a desktop with both display servers."""
    for name in REMOTE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path


def tool(folder: Path, name: str, script: str = 'exec /bin/cat > "$0.got"') -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return folder / f"{name}.got"


@pytest.mark.parametrize("name", ["wl-copy", "xclip", "xsel"])
def test_the_tool_that_is_there_gets_the_text(name: str, desk: Path) -> None:
    got = tool(desk, name)
    assert clipboard.copy_natively("KL 0,01 – ✓\n") == name
    assert got.read_text("utf-8") == "KL 0,01 – ✓\n"


def test_macs_have_their_own(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got = tool(desk, "pbcopy")
    tool(desk, "xclip")
    monkeypatch.setattr("sys.platform", "darwin")
    assert clipboard.copy_natively("x") == "pbcopy"
    assert got.read_text() == "x"


def test_a_tool_that_fails_leaves_it_to_the_next(desk: Path) -> None:
    tool(desk, "wl-copy", "exit 1")
    got = tool(desk, "xsel")
    assert clipboard.copy_natively("x") == "xsel"
    assert got.read_text() == "x"


def test_a_tool_that_hangs_is_given_up(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard, "_PATIENCE", 0.1)
    tool(desk, "wl-copy", "exec /bin/sleep 60")
    assert clipboard.copy_natively("x") is None


@pytest.mark.parametrize("name", REMOTE)
def test_over_ssh_no_tool_is_asked(name: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(desk, "xclip")
    monkeypatch.setenv(name, "1")
    assert clipboard.native_tools() == []


def test_without_a_display_no_tool_is_asked(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(desk, "xclip")
    tool(desk, "wl-copy")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY")
    assert clipboard.native_tools() == []


def test_what_is_said_names_what_was_done(desk: Path) -> None:
    sent: list[str] = []
    app: Any = SimpleNamespace(copy_to_clipboard=sent.append)
    said = asyncio.run(clipboard.copy(app, "a\ud800b"))
    assert (said, sent) == ("sent to the terminal's clipboard", ["a?b"])
    got = tool(desk, "xclip")
    said = asyncio.run(clipboard.copy(app, "a\ud800b"))
    assert said == "sent to the terminal's clipboard and copied with xclip"
    assert got.read_bytes() == b"a?b"
