"""A child that hangs: ``python hanging_child.py FOLDER LINE [--ends] [--probe]`` says one line.

It ignores SIGINT, SIGTERM and SIGHUP, and leaves a file named like its process id in the folder.
With ``--ends`` it ends with its input, as the scorer does; without, only SIGKILL ends it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path


def end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(9)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if "--ends" in sys.argv:
        threading.Thread(target=end_with_input, daemon=True).start()
    os.write(1, sys.argv[2].encode() + b"\n")
    (Path(sys.argv[1]) / str(os.getpid())).touch()
    threading.Event().wait()
