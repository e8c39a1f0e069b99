"""The child process: reads a job from standard input and writes events to standard output.

The first line of standard input is the job. The input then stays open; end of file means that the
parent is gone. Before any other import, standard output is moved to another descriptor and replaced
by standard error, so that the output of a library cannot corrupt the events.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run one job, ``--tasks`` on a model, or ``--probe``.

    Returns:
        The exit code of the run.
    """
    events = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    if sys.argv[1:] == ["--tasks"]:
        from scorer.tasks.process import run_tasks

        return run_tasks(events)
    from scorer.child.process import run_child

    return run_child(events, sys.argv[1:])


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Threads of MLX and of the input watcher may be blocked in C; do not wait for them.
    os._exit(code)
