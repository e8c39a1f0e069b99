"""A rank that ``mlx.launch`` has started beside rank 0: it is silent and follows."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from scorer.common.python_command import python_command
from scorer.spec.ranks import LINK_LOST

_LINES = 5


def follow() -> int:
    """Take part in the run of rank 0, whose command says how it ended.

    Returns:
        Exit code: 0, also where rank 0 was gone first.
    """
    child = subprocess.Popen(
        python_command("scorer", "--rank"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert child.stdin is not None and child.stderr is not None
    # Rank 0 says what the job is, and the environment how the ranks meet. The input stays open: its
    # end would end the rank.
    meeting = {"backend": "", "variables": {}, "files": {}, "delay": 0}
    for order in ({"job": None}, meeting):
        child.stdin.write(json.dumps(order).encode() + b"\n")
    child.stdin.flush()
    log = child.stderr.read().decode("utf-8", "replace").splitlines()[-_LINES:]
    code = child.wait()
    if code in (0, LINK_LOST):
        return 0
    for line in log:
        sys.stderr.write(f"rank {os.environ.get('MLX_RANK')}: {line}\n")
    return code if code > 0 else 1
