"""Measures models that nothing is kept of, in a child process.

The child builds modules with mlx and mlx-lm, which the programs that list models do not import.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scorer.common.errors import QfidError
from scorer.common.python_command import python_command
from scorer.models.custom_code import Consent, consent_to_json
from scorer.models.info import ModelInfo, with_kept_geometry
from scorer.models.kept_geometry import outcome_from_json, remember
from scorer.models.listing import Unscorable

COMMAND: tuple[str, ...] = python_command("scorer", "--geometry")

# The first answer waits for imports, on a cold disk; a model takes a tenth of a second.
_PATIENCE = 120.0


def never() -> bool:
    """The ``stop`` of what nobody stops."""
    return False


def measured_models(
    models: Iterable[ModelInfo], stop: Callable[[], bool] = never
) -> Iterator[ModelInfo | Unscorable]:
    """Measure the models whose geometry is a guess.

    Args:
        models: Models, others among them.
        stop: As of :func:`measure_folders`.
        patience: As of :func:`measure_folders`.

    Yields:
        Each model that was measured, with its geometry or as one that cannot be scored.
    """
    # Measuring a model with code of its own would run it; a run that is allowed to measures it.
    guessed = [model for model in models if not model.geometry.exact and not model.code]
    requests = [(model.path, False) for model in guessed]
    for model, trouble in zip(guessed, measure_folders(requests, stop), strict=False):
        if trouble:
            continue
        try:
            yield with_kept_geometry(model)
        except QfidError as error:
            yield Unscorable(model.name, error.message, model.size_bytes)


def with_exact_geometry(info: ModelInfo) -> ModelInfo:
    """The model with its exact geometry, where that can be measured without code of its own."""
    found = measured_models([info])
    return next((each for each in found if isinstance(each, ModelInfo)), info)


def measure_folders(
    requests: Sequence[tuple[Path, Consent]],
    stop: Callable[[], bool] = never,
    *,
    patience: float = _PATIENCE,
) -> Iterator[str]:
    """Measure models and keep what is found; see :mod:`scorer.models.kept_geometry`.

    A model whose measurement does not end, or ends the child, is left out, and the others go on
    in another child.

    Args:
        requests: The folder of each, and whether the Python file that it names may run.
        stop: Asked ten times a second; once it is true nothing more is measured.
        patience: Seconds to wait for one.

    Yields:
        Of each in its turn "", or why nothing is kept of it, one line.
    """
    left, silent = list(requests), 0
    # Two children that answer nothing will not answer for the others either.
    while left and silent < 2 and not stop():
        done = 0
        for trouble in _one_child(left, stop, patience):
            yield trouble
            done += 1
        left = left[done:]
        if left and not stop():
            # The child ended, or was ended, with this one.
            yield "it could not be measured: that took too long or too much memory"
            left = left[1:]
        silent = 0 if done else silent + 1


def _one_child(
    requests: list[tuple[Path, Consent]], stop: Callable[[], bool], patience: float
) -> Iterator[str]:
    """Why nothing is kept, or "", of one model after the other, until the child ends."""
    try:
        child = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for the program that waits; it closes the child's input.
            process_group=0,
        )
    except OSError:
        return
    assert child.stdin is not None and child.stdout is not None
    lines = b"".join(
        json.dumps({"folder": str(folder), "allow_custom_code": consent_to_json(consent)}).encode()
        + b"\n"
        for folder, consent in requests
    )
    answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threads = [
        threading.Thread(target=_write, args=(child.stdin, lines), daemon=True),
        threading.Thread(target=_read, args=(child.stdout, answers), daemon=True),
    ]
    try:
        try:
            for thread in threads:
                thread.start()
        except RuntimeError:  # the system allows no more threads
            return
        for _ in requests:
            answer = _awaited(answers, stop, patience)
            if not answer:
                return
            yield _kept(answer)
    finally:
        child.kill()
        child.wait()


def _awaited(
    answers: queue.SimpleQueue[bytes], stop: Callable[[], bool], patience: float
) -> bytes | None:
    end = time.monotonic() + patience
    while time.monotonic() < end and not stop():
        with contextlib.suppress(queue.Empty):
            return answers.get(timeout=0.1)
    return None


def _write(pipe: Any, lines: bytes) -> None:
    with contextlib.suppress(OSError, ValueError), pipe:
        pipe.write(lines)


def _read(pipe: Any, answers: queue.SimpleQueue[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError), pipe:
        for line in pipe:
            answers.put(line)
    answers.put(b"")


def _kept(answer: bytes) -> str:
    try:
        data = json.loads(answer)
        if "error" in data:
            return str(data["error"])
        remember(str(data["key"]), outcome_from_json(data["outcome"]))
    except (ValueError, KeyError, TypeError):
        return "the child that measures gave no answer that can be read"
    return ""
