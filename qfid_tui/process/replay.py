"""A child process that plays a recording instead of scoring.

``python -m qfid_tui.replay FILE`` behaves like the scorer: it reads the line of the request, writes
the recorded lines at the recorded pace, and ends when its input is closed. To see a recording in
the app or the command line, use it instead of the scorer::

    QFID_RECORD=run.jsonl qfid kv demo
    QFID_SCORER="python -m qfid_tui.replay run.jsonl --speed 4" qfid demo

An interrupt ends it with exit code 130. Screens that read a saved run (detail, inspector, export)
need the run that was recorded.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from qfid_tui.process.recording import Recording, read_recording
from scorer.common.errors import QfidError
from scorer.common.python_command import python_command

_INTERRUPTED = 130
_CUT_OFF = 1


def replay_command(path: Path, speed: float = 1.0) -> tuple[str, ...]:
    """Return the command that plays a recording, to use instead of the scorer."""
    return python_command("qfid_tui.replay", str(path), "--speed", str(speed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a recording and return its exit code."""
    args = _parser().parse_args(arguments)
    try:
        recording = read_recording(args.file)
    except QfidError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    if args.probe:
        hello = next((line for _, line in recording.lines if b'"hello"' in line[:20]), b"")
        sys.stdout.buffer.write(hello)
        return 0
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.stdin.buffer.readline()
        threading.Thread(target=_end_with_input, daemon=True).start()
        _play(recording, args.speed)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _CUT_OFF
    return _end(_CUT_OFF if recording.exit_code is None else recording.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m qfid_tui.replay",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="a file that QFID_RECORD=FILE wrote")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="X",
        help="speed relative to the recording; inf for no pauses (default 1)",
    )
    parser.add_argument(
        "--probe", action="store_true", help="write only the device it was recorded on"
    )
    return parser


def _speed(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise ValueError(text)
    return value


def _play(recording: Recording, speed: float) -> None:
    start = time.monotonic()
    out = sys.stdout.buffer
    for at, line in recording.lines:
        delay = start + at / speed - time.monotonic()
        if delay > 0:
            out.flush()
            time.sleep(delay)
        out.write(line)
    out.flush()


def _end(code: int) -> int:
    """Return the exit code of the recorded child, or end by the signal that ended it."""
    if code < 0:
        with contextlib.suppress(OSError):
            # SIGKILL and SIGSTOP have no handler to reset.
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _end_with_input() -> None:
    # A signal delivered to this thread would not wake the main thread from its sleep.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while os.read(0, 4096):
        pass
    os._exit(_CUT_OFF)


def run() -> NoReturn:
    """Play the recording that the command line names, then exit."""
    code = main()
    sys.stdout.flush()
    # A normal exit would wait for the thread that reads the input.
    os._exit(code)
