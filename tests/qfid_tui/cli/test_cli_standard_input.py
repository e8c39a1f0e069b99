"""``--corpus -``: the text is read from standard input, and kept with its run."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from qfid_tui.cli import main, standard_input
from scorer.runs.listing import newest_unfinished, runs_folder

TEXT = "".join(f"Entry {i} weighs {i * i % 89}, in order {i % 7}.\n" for i in range(200))
KV = ("kv", "demo", "--kv-bits", "8", "--chunk-length", "32", "--max-chunks", "2")


class Input:
    """Standard input that is no terminal."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)
        self.closed = False

    def isatty(self) -> bool:
        return False


def give(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", Input(data))


def report(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_text_from_standard_input_is_scored_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    assert main([*KV, "--corpus", str(file), "--format", "json"]) == 0
    from_file = report(capsys)
    give(monkeypatch, TEXT.encode())
    assert main([*KV, "--corpus", "-", "--format", "json"]) == 0
    piped = report(capsys)
    assert piped["run"]["corpus"]["name"] == "standard input"
    assert piped["run"]["corpus"]["sha256"] == from_file["run"]["corpus"]["sha256"]
    assert piped["kl"] == from_file["kl"]
    kept, *others = runs_folder().glob("*/text")
    assert kept.read_text() == TEXT and not others
    # A later process has another standard input; it reads what was kept.
    positions = kept.with_name("positions.arrow")
    positions.write_bytes(positions.read_bytes()[:-100])
    give(monkeypatch, b"another text")
    assert main(["resume", kept.parent.name, "--format", "json"]) == 0
    assert report(capsys)["kl"] == piped["kl"]
    positions.write_bytes(positions.read_bytes()[:-100])
    kept.unlink()
    assert main(["resume", kept.parent.name]) == 2
    error = capsys.readouterr().err
    assert "is not kept" in error and "hint: give it again" in error


def test_too_much_of_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(standard_input, "LARGEST", 1 << 20)
    give(monkeypatch, b"y\n" * (1 << 20))
    assert main([*KV, "--corpus", "-"]) == 2
    assert "`standard input` comes to more than" in capsys.readouterr().err
    assert newest_unfinished() is None


def test_no_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main([*KV, "--corpus", "-"]) == 2
    assert "standard input is closed" in capsys.readouterr().err
