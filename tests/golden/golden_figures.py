"""The demo's figures kept in git, with the machine they are those of.

``python tests/golden/golden_figures.py [TREE]`` writes them anew, from this tree or another, and
``--saved-run`` the run in ``saved_run`` as well. ``--saved-report`` leaves both and writes what
this version reports of that run into ``saved_run/now``, for when reports change. Floating point
gives other last bits on another kind of CPU, under another NumPy or another MLX: elsewhere they are
not compared.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from golden_compare import Positions, read_positions
from golden_trees import ROOT, Place

HERE = Path(__file__).parent
FIGURES = HERE / "figures.json"
SAVED_RUN = HERE / "saved_run"
SAVED_NAME = "20261127-120000-demo-5afe"
SAVED_FILES = ("job.json", "positions.arrow", "state.json", "report.json", "report.md")
PRINTED, AGAIN, AGAIN_MD = "now/printed.md", "now/report.json", "now/report.md"
"""What this version says of the saved run: with its stored report, as Markdown, and without it."""
MACHINE = "machine.json"
"""What the saved run was made on, beside its files."""

WORDS = (
    "kv",
    "demo",
    "--settings",
    "8,4",
    "--batch",
    "1",
    *"--chunks first --max-chunks 2".split(),
)
SAVED_WORDS = (
    *"kv demo --settings 8,k8v4 --batch 1 --chunks first --max-chunks 2".split(),
    *("--chunk-length", "32"),
)

# Nothing of the session's may change a bit, and no library starts threads of its own.
_VARIABLES = {
    "MKL_NUM_THREADS": "1",
    "MLX_DISABLE_COMPILE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "QFID_BLAS": "",
    "QFID_CPU_ARITHMETIC": "",
    "QFID_DEVICE": "cpu",
}
# What else chooses how libraries compute.
_RECORDED = (
    "GLIBC_TUNABLES",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "OPENBLAS_L2_SIZE",
)
# Not MKL: NumPy multiplies all that the demo does.
_PACKAGES = ("numpy", "mlx", "mlx-lm")
_FEATURES = ("avx", "fma", "sse4", "amx", "asimd", "sve", "bf16")


def place(tree: Path, data: Path) -> Place:
    """A version whose figures can be compared with the kept ones."""
    return Place(tree, data, _VARIABLES)


def machine() -> dict[str, str]:
    """What the last bits of a figure depend on: the kind of CPU, and versions."""
    cpu, features = _cpu()
    found = {"cpu": cpu, "features": features, "blas core": _blas_core()}
    found["variables"] = " ".join(
        f"{name}={os.environ[name]}" for name in _RECORDED if name in os.environ
    )
    # The demo's text is the docstrings of the running Python.
    found["python"] = platform.python_version()
    found["libc"] = " ".join(platform.libc_ver())
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def other_machine(kept: dict[str, str]) -> str | None:
    """How this machine differs from the one of kept figures; None where it does not.

    Args:
        kept: What :func:`machine` returned there; other fields are not compared.
    """
    own = machine()
    differing = [
        f"{name} `{kept.get(name)}`, here `{own.get(name)}`"
        for name in own
        if kept.get(name) != own.get(name)
    ]
    return f"made on another machine: {'; '.join(differing)}" if differing else None


def figures(report: dict[str, Any], positions: Positions) -> dict[str, Any]:
    """The figures of a report, and a hash of every column of every setting's positions."""
    return {
        "text": report["run"]["corpus"]["sha256"],
        "settings": {
            row["setting"]: {
                "kl_mean": repr(row["kl"]["mean"]),
                "kl_p99": repr(row["kl"]["p99"]),
                "kl_max": repr(row["kl"]["max"]),
                "flip_rate": repr(row["flip_rate"]),
                "perplexity_ref": repr(row["perplexity_ref"]),
                "perplexity_quant": repr(row["perplexity_quant"]),
                "columns": _hashes(row["setting"], positions),
            }
            for row in report["settings"]
        },
    }


def score(where: Place) -> dict[str, Any]:
    """Score the demo; its figures."""
    report = json.loads(where.qfid(*WORDS, "--format", "json"))
    return figures(report, read_positions(where.run / "positions.arrow"))


def _hashes(setting: str, positions: Positions) -> dict[str, str]:
    chunks = [positions[key] for key in sorted(positions) if key[0] == setting]
    return {
        name: hashlib.sha256(b"".join(chunk[name].tobytes() for chunk in chunks)).hexdigest()
        for name in chunks[0]
    }


def _cpu() -> tuple[str, str]:
    """The CPU's name, and which of its vector instructions are there."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), "unknown"
    values: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        values.setdefault(name.strip(), value.strip())
    flags = values.get("flags", values.get("Features", "")).split()
    kept = sorted(flag for flag in flags if flag.startswith(_FEATURES))
    return values.get("model name", platform.machine()), " ".join(kept)


def _blas_core() -> str:
    """The kind of CPU that NumPy's OpenBLAS computes for; OPENBLAS_CORETYPE chooses another."""
    package = Path(np.__file__).parent
    for folder in (package.with_name("numpy.libs"), package / ".dylibs"):
        for library in folder.glob("*openblas*"):
            loaded = ctypes.CDLL(str(library))
            for prefix in ("scipy_openblas", "openblas"):
                for suffix in ("64_", ""):
                    name = getattr(loaded, f"{prefix}_get_corename{suffix}", None)
                    if name is not None:
                        name.restype = ctypes.c_char_p
                        return str(name().decode())
    return "unknown"


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", "utf-8")


def saved_place(data: Path) -> Place:
    """A copy of the saved run, in a folder of runs of its own."""
    where = place(ROOT, data)
    where.check()
    (where.runs / SAVED_NAME).mkdir(parents=True)
    for name in SAVED_FILES:
        shutil.copyfile(SAVED_RUN / name, where.runs / SAVED_NAME / name)
    return where


def _write_saved_report(data: Path) -> None:
    where = saved_place(data)
    (SAVED_RUN / "now").mkdir(exist_ok=True)
    (SAVED_RUN / PRINTED).write_text(where.report("md"), "utf-8")
    for name in ("report.json", "report.md"):
        (where.run / name).unlink()
    (SAVED_RUN / AGAIN).write_text(where.report("json"), "utf-8")
    (SAVED_RUN / AGAIN_MD).write_text(where.report("md"), "utf-8")


def main() -> None:
    """Write the kept figures, and the saved run where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", metavar="TREE", nargs="?", type=Path, default=ROOT)
    parser.add_argument("--saved-run", action="store_true", help="write the saved run as well")
    parser.add_argument(
        "--saved-report", action="store_true", help="write only what is reported of the saved run"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.saved_report:
            _write_saved_report(Path(folder, "reported"))
            return
        where = place(args.tree.resolve(), Path(folder, "figures"))
        where.check()
        _write(FIGURES, {"words": WORDS, "machine": machine(), **score(where)})
        if args.saved_run:
            where = place(args.tree.resolve(), Path(folder, "saved"))
            where.qfid(*SAVED_WORDS)
            SAVED_RUN.mkdir(exist_ok=True)
            for name in SAVED_FILES:
                shutil.copyfile(where.run / name, SAVED_RUN / name)
            _write(SAVED_RUN / MACHINE, machine())


if __name__ == "__main__":
    main()
