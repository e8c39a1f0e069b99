"""A process forked after MLX has worked cannot score, and says so at once."""

from __future__ import annotations

import os

import mlx.core as mx
import pytest

from scorer.common.errors import InputError
from scorer.device import forks
from scorer.device.forks import refuse_after_fork


# From Python 3.12 on a fork in a process with threads warns.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_fork_is_told_apart_from_its_parent() -> None:
    mx.eval(mx.ones((64, 64)) + 1)
    child = os.fork()
    if not child:
        code = 1
        try:
            refuse_after_fork()
        except InputError as error:
            code = 42 if "'spawn'" in error.hint else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 42
    refuse_after_fork()


def test_a_fork_before_mlx_has_worked_can_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_cut_off", False)
    for count in ("get_active_memory", "get_cache_memory", "get_peak_memory"):
        # What the import of mlx-lm takes.
        monkeypatch.setattr(mx, count, lambda: 8)
    forks._note()
    forks._mark()
    refuse_after_fork()
    monkeypatch.setattr(mx, "get_peak_memory", lambda: 1 << 20)
    forks._note()
    forks._mark()
    with pytest.raises(InputError, match="forked from one in which MLX had worked"):
        refuse_after_fork()
