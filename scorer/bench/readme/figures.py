"""KL, flips and perplexity of the README: the table of settings, and that of arithmetics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from scorer.bench.readme.measuring import PEER, measured_report, peer_run, peer_version
from scorer.bench.readme.subject import described
from scorer.report.formats.inline import code, count, digits, percent, table, with_margin
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import Report
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings
from scorer.stats.noise_floor import NoiseFloor

SETTINGS = "8,6,5,4:32,4,k8v4,3,2"
CHUNKS = 32
OTHER_SETTINGS = "8,4"
OTHER_CHUNKS = 2
REPEATS = 4


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


def peer_figures(python: str, model: str) -> OtherArithmetic:
    """What mlx-quant-fidelity gives for the same settings.

    Args:
        python: A Python that has it.
        model: Repo id or path.

    Raises:
        QfidError: It fails.
    """
    found = {}
    for bits in OTHER_SETTINGS.split(","):
        options = ("--kv-bits", bits, "--max-chunks", str(OTHER_CHUNKS), "--format", "json")
        values = json.loads(peer_run(python, "kv", model, *options))
        found[bits] = Figures(
            values["kl"]["mean"],
            values["kl"]["p99"],
            values["flip_rate"],
            values["perplexity_ref"],
        )
    return OtherArithmetic(f"{PEER} {peer_version(python)}", found, {})


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


def figures_lines(
    report: Report, others: Sequence[OtherArithmetic], machine: str | None = None
) -> list[str]:
    """Lines of Markdown: the table of settings, and that of arithmetics.

    Args:
        report: Of :data:`SETTINGS`.
        others: Of :data:`OTHER_SETTINGS`.
        machine: The CPU and its cores; None for those of this machine.
    """
    first = next(found for _, found in _scored(report))
    unit, units = first.intervals.unit, first.intervals.n_units
    over = f"{units} articles" if unit == "document" else f"{units} chunks"
    apart = [pair.told_apart for pair in report.comparisons]
    told = "all pairs of settings are told apart"
    if not all(apart):
        told = f"{sum(1 for found in apart if found)} of {len(apart)} pairs are told apart"
    return [
        f"{described(report, machine)}.",
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


def figures_block(quantized: str, full: str, peer: str | None) -> str:
    """Measure and write both tables; takes 8 minutes on two cores.

    Args:
        quantized: The model with 4-bit weights.
        full: The model with float32 weights.
        peer: A Python that has mlx-quant-fidelity; None leaves its rows out.

    Raises:
        QfidError: A model cannot be scored.
    """
    job = Job(quantized, parse_settings(SETTINGS), chunks="spread", max_chunks=CHUNKS)
    report = measured_report(job, {})
    return "\n".join(figures_lines(report, list(other_arithmetics(full, peer))))
