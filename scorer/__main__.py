"""The child process: a job on standard input, events on standard output.

The first line of standard input is the job; the input then stays open, and its end means that the
parent is gone. Before anything else is imported, standard output is moved to a descriptor of its
own and replaced by standard error, so that nothing a library prints can garble the events.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run one job, or ``--probe``.

    Returns:
        The exit code of the run.
    """
    events = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    from scorer.child.process import run_child

    return run_child(events, sys.argv[1:])


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Threads of MLX and of the input watcher may be blocked in C: nothing waits for them.
    os._exit(code)
