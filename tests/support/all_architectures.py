"""Every architecture of the installed mlx-lm, tried on small random models.

Run as ``python tests/support/all_architectures.py`` it prints the results as JSON.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
AT_ONCE = 21


def architectures() -> list[str]:
    """Names of the modules of mlx-lm that hold a model."""
    from scorer.models.architectures import mlx_lm_folder

    folder = mlx_lm_folder()
    assert folder is not None
    has_model = re.compile(r"^class Model\b|^from \S+ import [^#\n]*\bModel\b", re.MULTILINE)
    files = sorted((folder / "models").glob("*.py"))
    return [file.stem for file in files if has_model.search(file.read_text("utf-8"))]


def results_of(names: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """What came of each architecture, a few in a process of their own at a time.

    Args:
        names: The architectures.
        folder: Where their models and runs are written.

    Returns:
        Name to ``outcome`` (``scored``, ``refused``, ``nothing to quantize`` or ``broken``), and
        ``why`` or ``mlx_lm_runs``: whether mlx-lm quantizes every layer.
    """
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(names), AT_ONCE):
        found |= _checked(names[start : start + AT_ONCE], folder)
    return found


def _checked(names: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Results by name; where the worker dies, the one it was at is broken and the rest go on."""
    found: dict[str, dict[str, Any]] = {}
    while rest := [name for name in names if name not in found]:
        attempt = folder / rest[0]
        script = Path(__file__).with_name("architecture_worker.py")
        worker = subprocess.run(
            [sys.executable, str(script), str(attempt), *rest],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=1200,
        )
        for line in worker.stdout.splitlines():
            result = json.loads(line)
            found[result.pop("name")] = result
        at = next((n for n in rest if found.get(n, {}).get("outcome") == "started"), None)
        if at is None and not all(name in found for name in rest):
            at = rest[0]
        if at is not None:
            end = worker.stderr.strip().splitlines()[-1:]
            why = f"the process ended with {worker.returncode}: {' '.join(end)}"
            found[at] = {"outcome": "broken", "why": why}
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ["QFID_DEVICE"] = "cpu"
    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(results_of(architectures(), Path(made))))
