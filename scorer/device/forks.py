"""Processes forked from one in which MLX had been at work.

Threads do not come along, so MLX would wait for ever for its own. Python is asked to note at every
fork whether MLX has worked; this module is to be imported before.
"""

from __future__ import annotations

import os
import sys

from scorer.common.errors import InputError

# The import of mlx-lm alone makes some numbers, 8 bytes, and starts no thread that is missed later.
_AT_REST = 1 << 10
_has_worked = False
_cut_off = False


def _note() -> None:
    global _has_worked
    mlx = sys.modules.get("mlx.core")
    counts = ("get_active_memory", "get_cache_memory", "get_peak_memory")
    _has_worked = any(getattr(mlx, count, int)() > _AT_REST for count in counts)


def _mark() -> None:
    global _cut_off
    _cut_off = _cut_off or _has_worked


os.register_at_fork(before=_note, after_in_child=_mark)


def refuse_after_fork() -> None:
    """Check that MLX can work in this process.

    Raises:
        InputError: Its threads were left behind in a fork.
    """
    if _cut_off:
        raise InputError(
            "this process was forked from one in which MLX had worked, and MLX would hang here",
            "start it another way: multiprocessing.get_context('spawn')",
        )
