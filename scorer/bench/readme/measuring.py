"""Runs of child processes that the figures are taken from, ours and the peer's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scorer.common.errors import QfidError
from scorer.common.folders import temporary_folder
from scorer.report.tree import Report
from scorer.spec.job import Job

PEER = "mlx-quant-fidelity"
_PEER_MAIN = f"import sys; from {PEER.replace('-', '_')}.cli import main; sys.exit(main())"
_PEER_VERSION = f"from importlib.metadata import version; print(version('{PEER}'))"


def measured_report(job: Job, environment: Mapping[str, str]) -> Report:
    """Score a job in a child process, whose run is thrown away.

    Args:
        job: What to score.
        environment: Variables for the child beside those of this process.

    Raises:
        QfidError: The child gave no report.
    """
    with tempfile.TemporaryDirectory(dir=temporary_folder()) as folder:
        child = subprocess.Popen(
            [sys.executable, "-m", "scorer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment, "QFID_DATA_DIR": folder},
        )
        assert child.stdin is not None and child.stdout is not None
        # The input stays open: its end would end the child.
        with child, child.stdin:
            child.stdin.write(json.dumps(job.to_json()).encode() + b"\n")
            child.stdin.flush()
            last: dict[str, Any] = {}
            for line in child.stdout:
                last = json.loads(line)
    if last.get("event") != "finished":
        raise QfidError(f"no report of `{job.model}`: {last.get('message', 'the scorer ended')}")
    return Report.from_json(last["report"])


def peer_run(python: str, *arguments: str) -> str:
    """Standard output of mlx-quant-fidelity, with the BLAS of this Python's MLX.

    Args:
        python: A Python that has it.
        arguments: Of its command line.

    Raises:
        QfidError: It fails.
    """
    return _peer(python, "-c", _PEER_MAIN, *arguments)


def peer_version(python: str) -> str:
    """The version of mlx-quant-fidelity.

    Raises:
        QfidError: This Python does not have it.
    """
    return _peer(python, "-c", _PEER_VERSION).strip()


def _peer(python: str, *arguments: str) -> str:
    library = max(Path(sys.prefix, "lib").glob("libmkl_rt.so*"), default=None)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if library is not None:
        environment["LD_PRELOAD"] = str(library)
    # It writes files of its own into the working folder.
    with tempfile.TemporaryDirectory(dir=temporary_folder()) as folder:
        done = subprocess.run(
            [python, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise QfidError(f"`{python}`: {done.stderr[-300:]}")
    return done.stdout
