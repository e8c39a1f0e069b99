"""Scoring in a child process for a program whose own process would not do."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from tiny_runs import Small

from scorer import measure_kv_fidelity
from scorer.child import apart
from scorer.common.errors import InputError, QfidError
from scorer.device import backend
from scorer.device.backend import Backend
from scorer.spec.events import Finished, Hello, Loading


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [("cpu", None, False), ("cuda", None, True), ("metal", "1", True), ("cuda", "0", False)],
)
def test_a_gpu_needs_a_child_unless_the_program_wants_full_float32_too(
    kind: Any, value: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Backend(kind, "M", 80 << 30, 70 << 30, "n/a", {})
    monkeypatch.setattr(backend, "start_backend", lambda: found)
    monkeypatch.delenv("MLX_ENABLE_TF32", raising=False)
    if value is not None:
        monkeypatch.setenv("MLX_ENABLE_TF32", value)
    assert apart.needs_child() is expected


def test_a_child_gives_the_same_numbers(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    here = list(apart.scored_for_program(small.job("4"), allow_custom_code=False))
    monkeypatch.setattr(apart, "needs_child", lambda: True)
    there = list(apart.scored_for_program(small.job("4"), allow_custom_code=False))
    assert isinstance(there[0], Hello) and isinstance(there[-1], Finished)
    assert isinstance(here[-1], Finished)
    (one,), (other,) = (last.report["settings"] for last in (here[-1], there[-1]))
    assert one["kl"] == other["kl"]


def test_errors_of_a_child_are_those_of_the_call(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "needs_child", lambda: True)
    with pytest.raises(InputError, match="there is no folder"):
        measure_kv_fidelity("./nowhere", kv_bits=8)


SPEAKS_ONCE = """
import sys
print('{"event": "loading", "step": "model"}', flush=True)
sys.stdin.read()
"""


def test_a_child_ends_with_its_reader(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "needs_child", lambda: True)
    monkeypatch.setattr(apart, "COMMAND", (sys.executable, "-c", SPEAKS_ONCE))
    started: list[Any] = []
    popen = subprocess.Popen

    def start(*args: Any, **options: Any) -> Any:
        started.append(popen(*args, **options))
        return started[0]

    monkeypatch.setattr(apart.subprocess, "Popen", start)
    events = apart.scored_for_program(small.job("4"), allow_custom_code=False)
    assert isinstance(next(events), Loading)
    events.close()
    assert started[0].returncode == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("/no/such/program",), "the scorer cannot be started: No such file"),
        (
            (sys.executable, "-c", "raise SystemExit(7)"),
            "ended with code 7 without a report",
        ),
    ],
)
def test_a_child_that_does_not_work_is_one_line(
    command: tuple[str, ...], message: str, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "COMMAND", command)
    monkeypatch.setattr(apart, "needs_child", lambda: True)
    with pytest.raises(QfidError, match=message):
        list(apart.scored_for_program(small.job("4"), allow_custom_code=False))
