"""A rank beside rank 0, as a process: what it is told, what it says, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from typing import IO, Any

from scorer.child.team import written
from scorer.common.errors import QfidError, WillNotFit
from scorer.device.rank_places import free_port
from scorer.spec.job import Job
from scorer.spec.ranks import LINK_LOST, launched_backend


def run_rank(events: IO[str], orders: IO[bytes]) -> int:
    """Take part in a run.

    Args:
        events: Where this rank says that it is ready, on which port, and in which exchange.
        orders: Two lines of JSON: the job, or null where only rank 0 knows it, and how the ranks
            meet. Its end ends this process.

    Returns:
        Exit code: 0 once rank 0 has ended the run.
    """
    # Ctrl-C is for rank 0.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return _run(events, orders)
    except QfidError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _run(events: IO[str], orders: IO[bytes]) -> int:
    from scorer.device.backend import running_backend
    from scorer.device.memory_watch import MemoryWatch
    from scorer.engine.own_kernels import OwnKernels
    from scorer.lm.mlx_lm_import import import_mlx_lm

    with running_backend() as backend, MemoryWatch(at_once=_end_short) as watch:
        line = orders.readline()
        if not line:
            return 1
        job = json.loads(line)["job"]
        kernels = None if job is None else OwnKernels(Job.from_json(job), backend.kind)
        import_mlx_lm(light=True)
        _say(events, {"port": free_port()})
        # While rank 0 is not ready.
        from scorer.device.ranks import LinkLost, RankGroup
        from scorer.engine.rank_follower import follow

        line = orders.readline()
        if not line:
            return 1
        threading.Thread(target=_exit_at_end, args=(orders,), daemon=True).start()
        order: dict[str, Any] = json.loads(line)
        with written(order["files"]) as paths:
            os.environ.update(order["variables"] | paths)
            time.sleep(order["delay"])
            group = RankGroup(order["backend"] or launched_backend(os.environ))
        group.coming = lambda number: _say(events, {"exchanges": number})
        group.watch.start(lambda: not group.watch.is_over or _leave())
        try:
            follow(group, backend, watch, kernels)
        except LinkLost:
            return LINK_LOST
    return 0


def _say(events: IO[str], values: dict[str, Any]) -> None:
    # Whoever does not read it is gone, which the end of the orders says.
    with contextlib.suppress(OSError):
        events.write(json.dumps(values) + "\n")
        events.flush()


def _leave() -> bool:
    os._exit(LINK_LOST)


def _end_short(error: WillNotFit) -> None:
    sys.stderr.write(f"{error.message}\n")
    sys.stderr.flush()
    os._exit(error.exit_code)


def _exit_at_end(orders: IO[bytes]) -> None:
    """The orders end when rank 0 is gone."""
    with contextlib.suppress(OSError, ValueError):
        while orders.readline():
            pass
    os._exit(LINK_LOST)
