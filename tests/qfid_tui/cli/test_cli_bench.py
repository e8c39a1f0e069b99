"""``qfid bench`` starts what it measures in a process of its own."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from qfid_tui.cli import main


@pytest.mark.parametrize(
    ("words", "started"),
    [
        (["--runs"], ["qfid_tui.bench", "--only=runs", "--format=md"]),
        (["--runs", "--format", "json"], ["qfid_tui.bench", "--only=runs", "--format=json"]),
    ],
)
def test_it_measures_lists_of_runs(
    words: list[str], started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def run(command: Any, **_: Any) -> SimpleNamespace:
        seen.append([*command][-len(started) :])
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(subprocess, "run", run)
    assert main(["bench", *words]) == 1 and seen == [started]


def test_it_measures_one_thing_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["demo", "--runs"], ["--shape", "tiny", "--runs"], []):
        with pytest.raises(SystemExit) as ended:
            main(["bench", *words])
        assert ended.value.code == 2
    assert "--runs" in capsys.readouterr().err
