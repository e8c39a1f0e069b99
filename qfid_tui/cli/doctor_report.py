"""Runs the examination of this machine in a child process and formats the result."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from qfid_tui.process import scorer_process
from scorer.common.child_end import ending
from scorer.common.errors import QfidError
from scorer.report.formats.inline import ABSENT, bytes_of, code, count, digits, plural, prose, text

# Importing MLX from a slow disk may take a minute; a GPU driver may hang.
_TIMEOUT_SECONDS = 180.0


def examine_in_child() -> dict[str, Any]:
    """Return the result of :func:`scorer.child.doctor.examine` in a child process.

    Raises:
        QfidError: The child cannot be started, does not answer, or ends without an answer.
    """
    try:
        done = subprocess.run(
            [*scorer_process.COMMAND, "--doctor"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
        )
    except OSError as error:
        raise scorer_process.not_started("the scorer", error) from error
    except subprocess.TimeoutExpired:
        raise QfidError(
            f"MLX did not start within {_TIMEOUT_SECONDS:.0f} s", "the GPU or its driver may hang"
        ) from None
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        last_line = f": {lines[-1].strip()[:200]}" if lines else ""
        raise QfidError(
            f"the scorer {ending(done.returncode)}{last_line}",
            "MLX or its driver does not work here: install it again",
        )
    return found


def to_markdown(found: Mapping[str, Any]) -> list[str]:
    """Return the lines of a report: a list of facts, then the findings."""
    lines = ["# qfid doctor", ""]
    lines += [f"- **{name}** {value}" for name, value in _facts(found)]
    lines.append("")
    if found["error"] is not None:
        lines += [f"**Cannot score here**: {prose(found['error']['message'])}", ""]
        lines += [f"- {prose(found['error']['hint'])}"]
    for finding in found["findings"]:
        lines += [f"- {prose(finding['what'])}", f"  → {prose(finding['fix'])}"]
    if found["error"] is None and not found["findings"]:
        lines.append("No problem was found.")
    return lines


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    device, memory, files = found["device"], found["memory"], found["open_files"]
    versions = {name: known or "not installed" for name, known in found["versions"].items()}
    return [
        ("device", f"{device['kind']}, {text(device['name'])}" if device else ABSENT),
        ("system", f"{text(found['system'])}, {_cores(found)}"),
        ("BLAS", _blas(found)),
        ("attention", _attention(found)),
        ("metrics", _kernel(found, "metrics")),
        ("quantizer", _kernel(found, "quantizer")),
        *(
            [("compiled kernels", _folder(found["compiled_kernels"], "kernel"))]
            if found["compiled_kernels"]
            else []
        ),
        ("memory", f"{bytes_of(memory['total'])}, {bytes_of(memory['free'])} free"),
        ("versions", ", ".join(f"{text(name)} {text(known)}" for name, known in versions.items())),
        ("package `scorer`", f"qfid's own, in {code(found['package'])}"),
        ("open files", "no limit" if files is None else f"at most {count(files)} at once"),
        ("model cache", _folder(found["model_cache"], "repo") + _offline(found)),
        ("saved runs", _folder(found["runs"], "run")),
    ]


def _blas(found: Mapping[str, Any]) -> str:
    if found["blas"] is None:
        return ABSENT
    matmul = found["matmul"]
    if matmul is None:
        return text(found["blas"])
    name = found["blas_version"] or found["blas"]
    time = f"{digits(1000 * matmul['seconds'], significant=2)} ms"
    speed = f"{count(round(matmul['gflops']))} Gflop/s"
    line = f"{text(name)} in MLX, a 512³ float32 product in {time} ({speed})"
    slow, arithmetic = found["slow_products"], found["arithmetic"] or {}
    if slow is None or arithmetic.get("name") == "mlx":
        return line
    return (
        f"{line}; NumPy multiplies but for `--kernel mlx-lm` and mixtures of experts, which are "
        f"slow here → {prose(slow['fix'])}"
    )


def _attention(found: Mapping[str, Any]) -> str:
    arithmetic = found["arithmetic"]
    if arithmetic is None:
        return "in MLX" if found["device"] else ABSENT
    if arithmetic["name"] == "mlx":
        return "in MLX, by choice"
    threads = plural(arithmetic["threads"], "thread")
    return f"in NumPy, as linear layers are, on {threads}; BLAS: {text(arithmetic['blas'])}"


def _kernel(found: Mapping[str, Any], name: str) -> str:
    """Describe whether a GPU uses the fused kernel; the CPU uses NumPy."""
    kernel = found[name]
    if kernel is None:
        if not found["device"]:
            return ABSENT
        in_mlx = name == "quantizer" and (found["arithmetic"] or {}).get("name") == "mlx"
        return "in MLX, by choice" if in_mlx else "in NumPy"
    method = "fused kernel" if kernel["fused"] else "MLX's own operations"
    return f"{method}: {prose(kernel['why'])}"


def _folder(folder: Mapping[str, Any] | None, noun: str) -> str:
    if folder is None:
        return ABSENT
    free = folder["disk_free"]
    room = "" if free is None else f", {bytes_of(free)} free on its disk"
    held = f"{plural(folder['entries'], noun)}, {bytes_of(folder['bytes'])}"
    return f"{code(folder['path'])}: {held}{room}"


def _cores(found: Mapping[str, Any]) -> str:
    cores, quota = plural(found["cpu_count"], "core"), found.get("cpu_quota")
    return cores if quota is None else f"{cores} (the control group allows the time of {quota:g})"


def _offline(found: Mapping[str, Any]) -> str:
    return " (`HF_HUB_OFFLINE` is set: nothing is downloaded)" if found["offline"] else ""
