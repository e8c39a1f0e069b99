"""What to run where, in the Markdown report. Pure standard library."""

from __future__ import annotations

from collections.abc import Iterator

from scorer.report.deployment_part import (
    REFERENCE_CELL,
    ContextChoice,
    DeploymentPart,
    PlacedCell,
)
from scorer.report.formats.inline import ABSENT, digits, shell_block, table
from scorer.report.formats.short_names import ShortNames
from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report
from scorer.spec.amounts import shown_bytes, tokens_word

_DEVICES = {"metal": "Metal", "cuda": "CUDA", "cpu": "the CPU"}


def place_words(deployment: DeploymentPart) -> str:
    """``on Metal at 32k tokens of context, 2 sequences, in 16.00 GB``."""
    words = f"on {_DEVICES[deployment.device]} at {tokens_word(deployment.context)} tokens"
    words += " of context"
    if deployment.parallel > 1:
        words += f", {deployment.parallel} sequences at a time"
    return words if deployment.memory is None else f"{words}, in {shown_bytes(deployment.memory)}"


def choice_lines(deployment: DeploymentPart, names: ShortNames) -> list[str]:
    """The choice, and the command lines that run it."""
    said = ". ".join(map(names.prose, deployment.sentences))
    lines = [f"**What to run** on {_DEVICES[deployment.device]}: {said}.", ""]
    if deployment.commands:
        lines += [*shell_block(*deployment.commands), ""]
        lines += [*(f"- {names.prose(note)}." for note in deployment.notes), ""]
    return lines


def memory_lines(report: Report, names: ShortNames) -> list[str]:
    """Every setting in the deployment: its bytes, whether it fits, the frontier."""
    deployment = report.deployment
    if deployment is None:
        return []
    rows = {row.setting: row for row in report.settings}
    head = ["setting", "weights", "KV cache", "prefill peak", "step", "total", "least total"]
    limited = deployment.memory is not None
    head += [*(["fits"] if limited else []), "KL mean (nats)", "verdict", "frontier"]
    body = [
        _placed(cell, rows.get(cell.setting), deployment, names, limited=limited)
        for cell in deployment.cells
    ]
    left = (0, *range(7, 8 if limited else 7), len(head) - 2, len(head) - 1)
    lines = [f"## Memory {place_words(deployment)}", "", *table(head, body, left=left), ""]
    peak = "as MLX's counter on Metal would show it, estimated and not measured"
    if deployment.device != "metal":
        peak = "estimated"
    lines += [
        "In MB (10⁶ bytes; k = 1024 tokens). Total: weights, the KV caches at the whole context, "
        f"and the peak of a prefill block of so many tokens beyond both ({peak}). Least total: at "
        "the step at which the setting takes the least; frontier and choice go by it. ← is the "
        "choice.",
        "",
    ]
    if left_out := [
        names.code(row.setting) for row in report.settings if not deployment.cell(row.setting)
    ]:
        lines += [
            "Not placed, because they score other positions or the quantizer alone: "
            f"{', '.join(left_out)}.",
            "",
        ]
    return [*lines, *_contexts(deployment, names)]


def _placed(
    cell: PlacedCell,
    row: SettingRow | None,
    deployment: DeploymentPart,
    names: ShortNames,
    *,
    limited: bool,
) -> list[str]:
    numbers = None if row is None else row.numbers
    is_reference = cell.setting == REFERENCE_CELL
    kl, verdict = ABSENT, ABSENT if row is None else f"**{row.status}**"
    if is_reference:
        kl, verdict = "0", "reference"
    elif numbers is not None:
        kl, verdict = digits(numbers.kl.mean), f"**{numbers.verdict_shown}**"
    name = "reference, KV 16 bit" if is_reference else names.code(cell.setting)
    return [
        f"{name} ←" if cell.setting == deployment.pick else name,
        *(_mb(size) for size in (cell.weight_bytes, cell.cache_bytes, cell.peak_bytes)),
        str(cell.step),
        _mb(cell.total_bytes),
        _mb(cell.least_bytes),
        *([("✓" if cell.fits else "no")] if limited else []),
        kl,
        verdict,
        "✓" if cell.on_frontier else ABSENT,
    ]


def _mb(size: float) -> str:
    """Bytes in MB: to the whole MB from 1000 on."""
    return f"{size / 1e6:.0f}" if size >= 999_500_000 else digits(size / 1e6, significant=3)


def total_cell(row: SettingRow, deployment: DeploymentPart) -> str:
    """The total bytes of a setting in MB; ``—`` where it has no place in the deployment."""
    cell = deployment.cell(row.setting)
    return ABSENT if cell is None else _mb(cell.total_bytes)


def total_words(row: SettingRow, deployment: DeploymentPart | None) -> list[str]:
    """What a setting takes in a deployment, as a paragraph."""
    cell = None if deployment is None else deployment.cell(row.setting)
    if deployment is None or cell is None:
        return []
    fits = ""
    if deployment.memory is not None:
        fits = "; it fits" if cell.fits else "; **it does not fit**"
    return [
        f"**Memory** {place_words(deployment)}: {shown_bytes(cell.total_bytes)} = "
        f"{shown_bytes(cell.weight_bytes)} weights + {shown_bytes(cell.cache_bytes)} KV cache + "
        f"{shown_bytes(cell.peak_bytes)} prefill peak at step {cell.step}{fits}.",
        "",
    ]


def _contexts(deployment: DeploymentPart, names: ShortNames) -> list[str]:
    """What is chosen at other contexts, and where the choice changes."""
    rows = deployment.contexts
    if not rows:
        return []
    body = [
        [tokens_word(context), *_chosen(row, i, names)]
        for row in rows
        for i, context in enumerate(row.contexts)
    ]
    head = ("context (tokens)", "what to run", "total (MB)", "step")
    words = "among what was scored, " + "; ".join(_crossovers(rows, names))
    return [
        "**By context**",
        "",
        *table(head, body, left=(1,)),
        "",
        f"{words[0].upper()}{words[1:]}.",
        "",
    ]


def _chosen(row: ContextChoice, place: int, names: ShortNames) -> list[str]:
    if row.setting is None:
        return ["nothing fits", ABSENT, ABSENT]
    name = "the reference" if row.setting == REFERENCE_CELL else names.code(row.setting)
    return [name, _mb(row.total_bytes[place]), str(row.steps[place])]


def _crossovers(rows: tuple[ContextChoice, ...], names: ShortNames) -> Iterator[str]:
    """Up to which context the same is chosen, a part of a sentence each."""
    for row in rows:
        if row.setting is None and len(rows) == 1:
            yield "nothing fits at any of these contexts"
            return
        if row.setting is None:
            what = "nothing fits"
        elif row.setting == REFERENCE_CELL:
            what = "the reference with a 16-bit KV cache"
        else:
            what = names.code(row.setting)
        if row.until is not None:
            yield f"{what} up to {tokens_word(row.until)} tokens of context"
        else:
            yield f"{what} at every context" if len(rows) == 1 else f"{what} beyond"
