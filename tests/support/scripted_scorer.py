"""A child process that plays a script instead of scoring.

``python scripted_scorer.py SCRIPT``: the first line of standard input, the request, is kept in
``SCRIPT.request``. Then every line of the script is written to standard output as it is, except
``!exit N``, ``!abort``, ``!say TEXT`` (to standard error), ``!wait`` (for SIGINT), ``!deaf``
(ignore SIGINT from here on) and ``!hang``. Like the scorer it ends with its input.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path


def end_with_input() -> None:
    # A signal that this thread took would not wake the main thread from its waiting.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while os.read(0, 4096):
        pass
    os._exit(9)


def play(script: Path) -> None:
    interrupted = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    request = sys.stdin.buffer.readline()
    script.with_suffix(".request").write_bytes(request)
    script.with_suffix(".pid").write_text(str(os.getpid()))
    threading.Thread(target=end_with_input, daemon=True).start()
    for line in script.read_bytes().decode().split("\n")[:-1]:
        word, _, rest = line.partition(" ")
        if word == "!exit":
            os._exit(int(rest))
        elif word == "!abort":
            os.abort()
        elif word == "!say":
            print(rest, file=sys.stderr, flush=True)
        elif word == "!deaf":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        elif word == "!wait":
            interrupted.wait()
        elif word == "!hang":
            threading.Event().wait()
        else:
            sys.stdout.buffer.write(line.encode() + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    play(Path(sys.argv[1]))
    os._exit(0)
