"""How fast this machine multiplies matrices of a model's size: one short timed product."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import IO, Any

from scorer.common.errors import QfidError

_SECONDS = 0.3
# Threads start, and clocks go up.
_LEAST = 5


def time_product(events: IO[str], shape: list[str]) -> int:
    """Write the device, its memory and the seconds of one product as one JSON object.

    Args:
        events: Where it goes.
        shape: Rows, inner elements and columns of the product, as words.

    Returns:
        Exit code: 0, or the error's.
    """
    from scorer.device.backend import start_backend
    from scorer.device.run_state import environment

    rows, inner, columns = map(int, shape)
    try:
        with environment:
            backend = start_backend()
    except QfidError as error:
        events.write(json.dumps({"error": error.message, "hint": error.hint}) + "\n")
        return error.exit_code
    run = _product(backend.arithmetic, backend.kind, rows, inner, columns)
    run()
    found: dict[str, Any] = {
        "device": backend.kind,
        "memory_total": backend.memory_total,
        "memory_free": backend.memory_free,
        "seconds": _best(run),
        "flop": 2 * rows * inner * columns,
    }
    events.write(json.dumps(found) + "\n")
    events.flush()
    return 0


def _product(
    arithmetic: str, kind: str, rows: int, inner: int, columns: int
) -> Callable[[], object]:
    if arithmetic == "numpy":
        import numpy as np

        a, b = np.ones((rows, inner), np.float32), np.ones((columns, inner), np.float32)
        return lambda: a @ b.T
    import mlx.core as mx

    dtype = mx.float32 if kind == "cpu" else mx.bfloat16
    one, other = mx.ones((rows, inner), dtype), mx.ones((columns, inner), dtype)
    mx.eval(one, other)
    return lambda: mx.eval(one @ other.T)


def _best(run: Callable[[], object]) -> float:
    """Seconds of the fastest of many runs: the machine may be busy."""
    until = time.perf_counter() + _SECONDS
    found = [_timed(run) for _ in range(_LEAST)]
    while time.perf_counter() < until:
        found.append(_timed(run))
    return min(found)


def _timed(run: Callable[[], object]) -> float:
    since = time.perf_counter()
    run()
    return time.perf_counter() - since
