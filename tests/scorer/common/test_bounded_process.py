"""A process with one answer ends by what it may take, whatever it does."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from scorer.common import bounded_process
from scorer.common.bounded_process import BoundedProcess
from scorer.common.error_values import error_of, error_values
from scorer.common.errors import (
    CustomCodeRefused,
    InputError,
    Interrupted,
    ModelNotCached,
    QfidError,
    WillNotFit,
)

HINT = "take less"
START = "import json, os, sys, time; request = json.loads(sys.stdin.readline()); "


def asked(monkeypatch: pytest.MonkeyPatch, program: str, **limits: Any) -> BoundedProcess:
    """A process that runs a program of the test's, with a request."""
    command = (sys.executable, "-c", START + program)
    monkeypatch.setattr(bounded_process, "python_command", lambda *_: command)
    process = BoundedProcess("--x")
    values = {"seconds": 60.0, "memory": 1 << 30, "most": 1 << 20, "hint": HINT, **limits}
    process.ask({"n": 5}, "reading `x`", **values)
    return process


def test_an_answer_comes_whole_with_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
print(json.dumps({"step": "more"}), flush=True)
print(json.dumps({"n": request["n"], "bytes": 300000}), flush=True)
for _ in range(3):
    os.write(1, b"x" * 100000)
"""
    with asked(monkeypatch, program) as process:
        assert process.answer() == (
            {"n": 5, "bytes": 300000},
            b"x" * 300000,
        )
        assert process.wait(0.0)
        pid = process._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("program", "limits", "error", "message"),
    [
        ("time.sleep(60)", {"seconds": 0.2}, InputError, "reading `x` took more than 0 s"),
        ("print(7)", {}, InputError, "reading `x` gave no answer"),
        ("print('[')", {}, InputError, "reading `x` gave no answer"),
        ("os.write(1, b'x' * 9999)", {"most": 999}, InputError, "reading `x` gives more than"),
        ("sys.exit(3)", {}, InputError, "reading `x` ended its process with code 3"),
        ("os.kill(os.getpid(), 9)", {}, InputError, "ended its process by SIGKILL"),
        (
            'print(\'{"step": "counting"}\', flush=True); os.abort()',
            {},
            InputError,
            "counting ended its process by SIGABRT",
        ),
        (
            "print('memory allocation of 99 bytes failed', file=sys.stderr); "
            "[print(i, file=sys.stderr) for i in range(99)]; os.abort()",
            {},
            WillNotFit,
            "reading `x` takes more than 1 GiB of memory",
        ),
    ],
)
def test_what_gives_no_answer_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    limits: dict[str, Any],
    error: type[QfidError],
    message: str,
) -> None:
    with asked(monkeypatch, program, **limits) as process, pytest.raises(error) as caught:
        process.answer()
    assert message in caught.value.message and caught.value.hint == HINT
    assert process._process.returncode is not None


def test_whoever_waits_can_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with asked(monkeypatch, "time.sleep(60)") as process:
        assert not process.wait(0.05)
        with pytest.raises(Interrupted, match="enough"):
            process.answer(lambda: Interrupted("enough"))


def test_time_in_which_this_process_was_suspended_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed = iter(range(0, 10**9, 3600))
    clock = SimpleNamespace(monotonic=lambda: float(next(passed)))
    monkeypatch.setattr(bounded_process, "time", clock)
    program = "time.sleep(0.3); print(json.dumps({'n': 1}), flush=True); time.sleep(60)"
    with asked(monkeypatch, program, seconds=600.0) as process:
        assert process.answer()[0] == {"n": 1}


ERRORS = [
    QfidError("a"),
    InputError("a", "b"),
    WillNotFit("too much"),
    ModelNotCached("a", "b", "org/x", None),
    CustomCodeRefused("a", "b", {"x.py": "0" * 64}),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_an_error_is_the_same_on_the_other_side(
    monkeypatch: pytest.MonkeyPatch, error: QfidError
) -> None:
    values = json.loads(json.dumps(error_values(error)))
    assert type(error_of(values)) is type(error)
    with (
        asked(monkeypatch, f"print({json.dumps(values)!r})") as process,
        pytest.raises(type(error)) as caught,
    ):
        process.answer()
    assert str(caught.value) == str(error) and caught.value.exit_code == error.exit_code
    assert error_values(caught.value) == values


@pytest.mark.parametrize("option", ["--text", "--spelling"])
def test_the_real_one_ends_with_its_input_and_not_with_ctrl_c(option: str) -> None:
    with BoundedProcess(option) as process:
        # It has begun to read once it ignores the signal.
        end = time.monotonic() + 30.0
        while not ignores_interrupts(process._process.pid) and time.monotonic() < end:
            time.sleep(0.01)
        process._process.send_signal(signal.SIGINT)
        assert process._process.stdin is not None
        process._process.stdin.close()
        assert process._process.wait(30.0) == 1


def ignores_interrupts(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as lines:  # noqa: PTH123
            masks = dict(line.split(":", 1) for line in lines)
    except OSError:
        pytest.skip("signals of another process are shown on Linux alone")
    return bool(int(masks["SigIgn"], 16) >> (signal.SIGINT - 1) & 1)
