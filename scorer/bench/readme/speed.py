"""How long scoring takes on the CPU of this machine, beside bare passes and the peer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from scorer.bench.readme.measuring import PEER, measured_report, peer_run, peer_version
from scorer.bench.readme.subject import described
from scorer.common.errors import QfidError
from scorer.report.formats.inline import table
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings

SETTINGS = "8,6,4,3,2"
CHUNKS = 2
BENCH_CHUNKS = 1
_MLX = {"QFID_CPU_ARITHMETIC": "mlx"}


@dataclass(frozen=True, slots=True)
class Speed:
    """What was timed.

    Attributes:
        where: The machine and its versions, in Markdown.
        load: Runnable processes of the machine before it began, average of a minute.
        own: As ``python -m scorer.bench --format json`` prints it, by the arithmetic of ``qfid``.
        mlx: The same by MLX's arithmetic.
        process_s: Seconds of a whole process that scores :data:`CHUNKS` chunks.
        peer: mlx-quant-fidelity with its version; None where it was not timed.
        peer_s: Seconds that it takes for the same settings and chunks.
    """

    where: str
    load: float
    own: dict[str, Any]
    mlx: dict[str, Any]
    process_s: float
    peer: str | None
    peer_s: float


def measured_speed(model: str, full: str, peer: str | None) -> Speed:
    """Time everything, one after the other; takes 8 minutes on two cores.

    Args:
        model: The model with 4-bit weights.
        full: The model with float32 weights, which both programs multiply by the same BLAS.
        peer: A Python that has mlx-quant-fidelity; None leaves it out.

    Raises:
        QfidError: The model cannot be scored, or the peer fails.
    """
    load = os.getloadavg()[0]
    job = Job(full, parse_settings(SETTINGS), chunks="first", max_chunks=CHUNKS)
    start = time.perf_counter()
    report = measured_report(job, {})
    process_s = time.perf_counter() - start
    own, mlx = _bench(model, {}), _bench(model, _MLX)
    peer_s = 0.0
    if peer is not None:
        start = time.perf_counter()
        configs = ",".join(f"{bits}:64" for bits in SETTINGS.split(","))
        peer_run(peer, "compare", "kv", full, "--configs", configs, "--max-chunks", str(CHUNKS))
        peer_s = time.perf_counter() - start
    named = None if peer is None else f"{PEER} {peer_version(peer)}"
    return Speed(described(report), load, own, mlx, process_s, named, peer_s)


def _bench(model: str, environment: dict[str, str]) -> dict[str, Any]:
    options = ("--kv-bits", SETTINGS, "--max-chunks", str(BENCH_CHUNKS), "--format", "json")
    done = subprocess.run(
        [sys.executable, "-m", "scorer.bench", model, *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise QfidError(f"the benchmark of `{model}` failed: {done.stderr[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def speed_block(speed: Speed) -> str:
    """The lines of Markdown."""
    settings = SETTINGS.count(",") + 1
    rows = [
        [name, f"{found['bare_s_per_chunk']:.2f} s", f"{found['ratio_to_bare']:.2f}"]
        for name, found in (
            ("`qfid`: NumPy", speed.own),
            ("`QFID_CPU_ARITHMETIC=mlx`", speed.mlx),
        )
    ]
    head = [
        "SmolLM2-135M, 4-bit weights, float32",
        f"bare forward a {speed.own['chunk_length']}-token chunk",
        f"scoring {settings} settings ÷ ({settings + 1} × bare)",
    ]
    beside = ""
    if speed.peer is not None:
        beside = (
            f" `{speed.peer.partition(' ')[0]} compare kv` {speed.peer.partition(' ')[2]} takes "
            f"{speed.peer_s:.0f} s with the same MKL; it scores a control for each setting too."
        )
    return "\n".join(
        [
            f"{speed.where}; load of the machine before: {speed.load:.1f}.",
            "",
            *table(head, rows, left=(0,)),
            "",
            f"`qfid bench MODEL --kv-bits {SETTINGS} --max-chunks {BENCH_CHUNKS}`, the fastest of "
            f"{speed.own['repeats']} repeats. The same settings on {CHUNKS} chunks of "
            f"FULL take {speed.process_s:.0f} s as a whole process.{beside}",
        ]
    )
