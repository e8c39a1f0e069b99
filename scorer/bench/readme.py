"""The README's figures, measured anew: ``python -m scorer.bench.readme QUANTIZED FULL``.

QUANTIZED and FULL are SmolLM2-135M-Instruct with 4-bit weights (group 32) and with float32
weights. ``--peer`` names a Python that has mlx-quant-fidelity. ``--write`` puts the block into a
file, between the two marks. Every run is one of a child process with a data folder of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scorer.common.errors import QfidError
from scorer.report.formats.inline import code, count, digits, percent, table, with_margin
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import Report
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings
from scorer.stats.noise_floor import NoiseFloor

BEGIN = "<!-- Begin of what `python -m scorer.bench.readme` writes. -->"
END = "<!-- End of what `python -m scorer.bench.readme` writes. -->"
SETTINGS = "8,6,5,4:32,4,k8v4,3,2"
CHUNKS = 32
OTHER_SETTINGS = "8,4"
OTHER_CHUNKS = 2
REPEATS = 4
PEER = "mlx-quant-fidelity"
_PEER_MAIN = f"import sys; from {PEER.replace('-', '_')}.cli import main; sys.exit(main())"
_PEER_VERSION = f"from importlib.metadata import version; print(version('{PEER}'))"


@dataclass(frozen=True, slots=True)
class Figures:
    """One setting as one arithmetic computes it.

    Attributes:
        kl_mean: Nats.
        kl_p99: Nats.
        flip_rate: Share of positions, 0 to 1.
        perplexity_ref: Perplexity of the reference.
    """

    kl_mean: float
    kl_p99: float
    flip_rate: float
    perplexity_ref: float


@dataclass(frozen=True, slots=True)
class OtherArithmetic:
    """The same settings, model, text and chunks by one way to compute.

    Attributes:
        name: What computes, in Markdown.
        figures: Setting in notation to its figures.
        floors: Setting to its noise floor; empty where none was measured.
    """

    name: str
    figures: dict[str, Figures]
    floors: dict[str, NoiseFloor]


def measured_report(job: Job, environment: Mapping[str, str]) -> Report:
    """Score a job in a child process, whose run is thrown away.

    Args:
        job: What to score.
        environment: Variables for the child beside those of this process.

    Raises:
        QfidError: The child gave no report.
    """
    with tempfile.TemporaryDirectory() as folder:
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


def peer_figures(python: str, model: str) -> OtherArithmetic:
    """What mlx-quant-fidelity gives for the same settings, with the BLAS of this Python's MLX.

    Args:
        python: A Python that has it.
        model: Repo id or path.

    Raises:
        QfidError: It fails.
    """
    library = max(Path(sys.prefix, "lib").glob("libmkl_rt.so*"), default=None)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if library is not None:
        environment["LD_PRELOAD"] = str(library)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [python, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise QfidError(f"`{python}`: {done.stderr[-300:]}")
        return done.stdout

    found = {}
    for bits in OTHER_SETTINGS.split(","):
        options = ("--kv-bits", bits, "--max-chunks", str(OTHER_CHUNKS), "--format", "json")
        values = json.loads(run("-c", _PEER_MAIN, "kv", model, *options))
        found[bits] = Figures(
            values["kl"]["mean"],
            values["kl"]["p99"],
            values["flip_rate"],
            values["perplexity_ref"],
        )
    return OtherArithmetic(f"{PEER} {run('-c', _PEER_VERSION).strip()}", found, {})


def of_report(name: str, report: Report) -> OtherArithmetic:
    """The figures of a report."""
    rows = _scored(report)
    return OtherArithmetic(
        name,
        {
            row.setting: Figures(found.kl.mean, found.kl.p99, found.flip_rate, found.perplexity_ref)
            for row, found in rows
        },
        {row.setting: row.noise_floors for row, _ in rows if row.noise_floors is not None},
    )


def other_arithmetics(model: str, peer: str | None) -> Iterator[OtherArithmetic]:
    """The same two settings by every arithmetic of this machine's CPU, ours first."""
    job = Job(model, parse_settings(OTHER_SETTINGS), chunks="first", max_chunks=OTHER_CHUNKS)
    mlx = {"QFID_CPU_ARITHMETIC": "mlx"}
    own = replace(job, noise_floor=REPEATS)
    yield of_report("`qfid`: NumPy", measured_report(own, {}))
    yield of_report("`QFID_CPU_ARITHMETIC=mlx`", measured_report(job, mlx))
    stock = replace(job, kernel="mlx-lm")
    name = "`--kernel mlx-lm`, `QFID_CPU_ARITHMETIC=mlx`"
    yield of_report(name, measured_report(stock, mlx))
    if peer is not None:
        yield peer_figures(peer, model)


def block(report: Report, others: Sequence[OtherArithmetic], machine: str) -> list[str]:
    """Lines of Markdown: the table of settings, and that of arithmetics.

    Args:
        report: Of :data:`SETTINGS`.
        others: Of :data:`OTHER_SETTINGS`.
        machine: The CPU and its cores.
    """
    versions = report.run.versions
    names = ("mlx", "mlx-lm", "numpy")
    where = ", ".join([machine, *(f"{name} {versions[name]}" for name in names)])
    first = next(found for _, found in _scored(report))
    unit, units = first.intervals.unit, first.intervals.n_units
    over = f"{units} articles" if unit == "document" else f"{units} chunks"
    apart = [pair.told_apart for pair in report.comparisons]
    told = "all pairs of settings are told apart"
    if not all(apart):
        told = f"{sum(1 for found in apart if found)} of {len(apart)} pairs are told apart"
    return [
        f"{where}; {report.run.arithmetic.description}.",
        "",
        "```bash",
        f"qfid kv MODEL --settings {SETTINGS} --chunks spread --max-chunks {CHUNKS}",
        "```",
        "",
        *_settings_table(report),
        "",
        f"± or (low-high): 95 % interval over {over}; {told}.",
        "",
        *_arithmetics_table(others),
    ]


def _settings_table(report: Report) -> list[str]:
    body = [
        [
            code(row.setting),
            f"{count(row.kv_bytes_per_token)} ({percent(row.kv_bytes_share, significant=2)})",
            with_margin(found.kl.mean, found.intervals.kl_mean),
            digits(found.kl.p99, significant=2),
            with_margin(found.flip_rate, found.intervals.flip_rate, scale=100),
            digits(found.perplexity_delta, sign=True, significant=3),
            found.verdict_shown,
        ]
        for row, found in _scored(report)
    ]
    head = ["setting", "KV bytes/token", "KL mean (nats)", "p99 (nats)", "flips (%)", "ppl Δ"]
    return table([*head, "verdict"], body, left=(0, 6))


def _arithmetics_table(others: Sequence[OtherArithmetic]) -> list[str]:
    own = others[0]
    body = []
    for other in others:
        for setting, found in other.figures.items():
            beside = ""
            if other is not own and setting in own.floors:
                off = abs(found.kl_mean - own.figures[setting].kl_mean)
                inside = off <= own.floors[setting].kl_mean.upper
                beside = f"{digits(off, significant=2)}, {'within' if inside else 'above'}"
            body.append(
                [
                    other.name,
                    code(setting),
                    digits(found.kl_mean, significant=5),
                    digits(found.kl_p99),
                    percent(found.flip_rate, significant=5),
                    digits(found.perplexity_ref, significant=6),
                    beside,
                ]
            )
    floors = ", ".join(
        f"{code(setting)} {digits(floor.kl_mean.deviation, significant=2)} nats (at most "
        f"{digits(floor.kl_mean.upper, significant=2)})"
        for setting, floor in own.floors.items()
    )
    head = ["float32 weights, first 2 chunks", "setting", "KL mean (nats)", "p99 (nats)", "flips"]
    return [
        *table([*head, "ppl of the reference", "off by, against the floor"], body, left=(0, 1, 6)),
        "",
        f"Noise floor of the first two rows over {REPEATS} repeats: {floors}.",
    ]


def _scored(report: Report) -> list[tuple[SettingRow, SettingNumbers]]:
    return [(row, row.numbers) for row in report.settings if row.numbers is not None]


def machine_name(report: Report) -> str:
    """The CPU that a report is of, and how many cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return f"{cores} cores of {report.run.device.name}"


def readme_block(quantized: str, full: str, peer: str | None) -> str:
    """Measure and write the block; takes several minutes.

    Args:
        quantized: The model with 4-bit weights.
        full: The model with float32 weights.
        peer: A Python that has mlx-quant-fidelity; None leaves its rows out.

    Raises:
        QfidError: A model cannot be scored.
    """
    job = Job(quantized, parse_settings(SETTINGS), chunks="spread", max_chunks=CHUNKS)
    report = measured_report(job, {})
    lines = block(report, list(other_arithmetics(full, peer)), machine_name(report))
    return "\n".join(lines)


def with_block(readme: str, made: str) -> str:
    """A README with another block between its marks.

    Raises:
        QfidError: It has no marks.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise QfidError("the file has no marks to write between")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def block_of(readme: str) -> str:
    """What stands between the marks of a README."""
    return readme.partition(BEGIN)[2].partition(END)[0].strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print or write.

    Returns:
        0, or the exit code of what went wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m scorer.bench.readme", description=__doc__)
    parser.add_argument("quantized", metavar="QUANTIZED")
    parser.add_argument("full", metavar="FULL")
    parser.add_argument("--peer", metavar="PYTHON", default=os.environ.get("QFID_PEER_PYTHON"))
    parser.add_argument("--write", metavar="FILE", type=Path)
    args = parser.parse_args(arguments)
    try:
        made = readme_block(args.quantized, args.full, args.peer)
        if args.write is None:
            print(made)
        else:
            args.write.write_text(with_block(args.write.read_text("utf-8"), made), "utf-8")
    except QfidError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
