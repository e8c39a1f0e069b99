"""Whether another process is scoring the same at this moment."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfid_tui.state.choices import same_conditions
from scorer.common.errors import QfidError

if TYPE_CHECKING:
    from scorer.spec.job import Job


@dataclass(frozen=True, slots=True)
class RunningElsewhere:
    """A run that another process is writing to.

    Attributes:
        run: Its id.
        pid: The process.
        settings: What it scores of what was asked for, in notation.
    """

    run: str
    pid: int
    settings: tuple[str, ...]

    @property
    def words(self) -> str:
        """``process 123 is scoring 8, 4 at this moment, under the same conditions, as RUN``."""
        return (
            f"process {self.pid} is scoring {', '.join(self.settings)} at this moment, under the "
            f"same conditions, as {self.run}"
        )


def running_elsewhere(job: Job) -> RunningElsewhere | None:
    """The newest run of another process that scores a part of a job; None for none.

    Only runs that are being written to are read. Looks at the lock of every run of the model: call
    it in a thread.
    """
    from scorer.common.folders import runs_folder
    from scorer.runs.listing import Run, run_index
    from scorer.runs.run_lock import holder

    with contextlib.suppress(QfidError, OSError):
        folder = runs_folder()
        for name in run_index(job.model).names:
            process = holder(folder / name)
            if process is None:
                continue
            with contextlib.suppress(QfidError, OSError):
                known = Run(folder / name).job
                shared = [s.key for s in known.settings if s in job.settings]
                if shared and same_conditions(known, job):
                    return RunningElsewhere(name, process.pid, tuple(shared))
    return None
