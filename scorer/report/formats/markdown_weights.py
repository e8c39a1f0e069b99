"""What quantized weights add to the Markdown report: the grid, the ladder, what pairs do.

Pure standard library.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scorer.report.formats.inline import (
    ABSENT,
    code,
    digits,
    interval,
    percent,
    plural,
    prose,
    table,
    text,
    with_margin,
)
from scorer.report.formats.markdown_groups import has_letters
from scorer.report.formats.short_names import ShortNames
from scorer.report.formats.stopping_words import intervals_name
from scorer.report.formats.weight_words import has_cache, source_of
from scorer.report.setting_row import SettingRow
from scorer.report.tree import PairComparison, Report
from scorer.report.weights_parts import GridPart, InteractionPart
from scorer.runs.weight_facts import GGUF_NOTE, WeightFacts
from scorer.spec.settings.weights import StoredWeights

_FULL = "16 bit"
_GUILTY = {"weights": "the weights", "cache": "the KV cache", "undecided": "undecided"}


@dataclass(frozen=True, slots=True)
class LadderRow:
    """A set of weights as a row of the ladder.

    Attributes:
        key: In notation.
        own: What is known of it; None where it was not loaded.
        row: The setting with a KV cache at full precision; None where that was not asked for.
    """

    key: str
    own: WeightFacts | None
    row: SettingRow | None


def ladder_rows(report: Report) -> list[LadderRow]:
    """Every set of weights of a report, in the order of its grid."""
    grid = report.grid
    if grid is None:
        return []
    rows = {row.setting: row for row in report.settings}
    found = []
    for key, cells in zip(grid.weights[1:], grid.cells[1:], strict=True):
        known = (rows[name].weights for name in cells if name is not None and name in rows)
        own = next((each for each in known if each is not None), None)
        found.append(LadderRow(key, own, rows.get(key)))
    return found


def reference_lines(report: Report) -> list[str]:
    """The reference's own precision, in plain words."""
    own = report.reference.weights
    if own is None:
        return []
    notes = own.notes or (f"The reference is stored in {own.precision}.",)
    return [" ".join(map(prose, notes)), ""]


def grid_lines(report: Report, names: ShortNames) -> list[str]:
    """The grid of a report: weights down, KV cache across; nothing where there is one column."""
    grid = report.grid
    if grid is None or len(grid.caches) < 2 or len(grid.weights) < 2:
        return []
    rows = {row.setting: row for row in report.settings}
    body = [
        [_down(key, report, names), *(_cell(grid, key, i, rows) for i in range(len(cells)))]
        for key, cells in zip(grid.weights, grid.cells, strict=True)
    ]
    head = ["weights", *(f"KV {code(key) if key else _FULL}" for key in grid.caches)]
    lines = ["## Weights and KV cache", "", *table(head, body, left=range(len(head))), ""]
    said = f"KL mean in nats with its {intervals_name(report)}, flips, verdict"
    if has_letters(report):
        said += ", group: settings that share a letter cannot be told apart"
    if any(name is None for cells in grid.cells for name in cells[1:]) or any(
        cells[0] is None for cells in grid.cells[1:]
    ):
        said += f"; {ABSENT}: not scored"
    return [*lines, f"{said}.", ""]


def _down(key: str, report: Report, names: ShortNames) -> str:
    return names.code(key) if key else f"{code(report.reference.model_id)}, the reference"


def _cell(grid: GridPart, key: str, column: int, rows: dict[str, SettingRow]) -> str:
    name = grid.cells[grid.weights.index(key)][column]
    if not key and not column:
        return "compared with"
    row = None if name is None else rows.get(name)
    if row is None:
        return ABSENT
    numbers = row.numbers
    if numbers is None:
        return f"**{row.status}**"
    kl = with_margin(numbers.kl.mean, numbers.intervals.kl_mean)
    flips = percent(numbers.flip_rate, significant=3)
    group = f" · {row.letters}" if row.letters else ""
    return f"{kl} · {flips} · **{numbers.verdict_shown}**{group}"


def ladder_lines(report: Report, names: ShortNames) -> list[str]:
    """The table of the precisions, and what they are in full."""
    ladder = ladder_rows(report)
    if not ladder:
        return []
    own = report.reference.weights
    first = [code(report.reference.model_id), *_size(own), *["0"] * 3, "reference"]
    rows = [_ladder(each, names) for each in ladder]
    head = (
        "weights",
        "precision",
        "bits per weight",
        "size (MB)",
        "KL mean (nats)",
        "p99 (nats)",
        "flips (%)",
        "verdict",
    )
    lines = table(head, [*([first] if own else []), *rows], left=(0, 1, 7))
    lines += ["", "Size: once loaded, MB = 10⁶ bytes. KV cache at full precision.", ""]
    if any(each.own is not None and GGUF_NOTE in each.own.notes for each in ladder):
        lines[-2] += f" Of a GGUF file: its tensors as they lie in it. {prose(GGUF_NOTE)}"
    for sentence in more_bits_drift_more(report):
        lines += [f"{names.prose(sentence)}.", ""]
    return [*lines, *_in_full(report, names)]


def _ladder(each: LadderRow, names: ShortNames) -> list[str]:
    row = each.row
    numbers = None if row is None else row.numbers
    if row is None or numbers is None:
        status = ABSENT if row is None else f"**{row.status}**"
        return [names.code(each.key), *_size(each.own), *[ABSENT] * 3, status]
    ends = numbers.intervals
    return [
        names.code(each.key),
        *_size(each.own),
        with_margin(numbers.kl.mean, ends.kl_mean),
        digits(numbers.kl.p99),
        with_margin(numbers.flip_rate, ends.flip_rate, scale=100),
        f"**{numbers.verdict_shown}**",
    ]


def _size(own: WeightFacts | None) -> list[str]:
    if own is None:
        return [ABSENT] * 3
    return [text(own.precision), digits(own.bits_per_weight, significant=3), megabytes(own)]


def megabytes(own: WeightFacts) -> str:
    """The size of weights once loaded, in MB; predicted ones with ``≈``."""
    about = "≈ " if own.predicted else ""
    return about + digits(own.weight_bytes / 1e6, significant=3)


def _in_full(report: Report, names: ShortNames) -> list[str]:
    """The ids behind short names, revisions, and what is to be known of a precision."""
    lines = []
    for each in ladder_rows(report):
        own, short = each.own, names.of(each.key)
        where = ""
        if own is not None and own.model_id is not None:
            revision = f" at revision {code(own.model_revision)}" if own.model_revision else ""
            where = f": {code(own.model_id)}{revision}"
            if short != each.key:
                where += f", in notation {code(each.key)}"
        elif short != each.key:
            where = f": in notation {code(each.key)}"
        known = () if own is None else (note for note in own.notes if note != GGUF_NOTE)
        notes = " ".join(map(prose, known))
        if where or notes:
            joint = "; " if where and notes else ": " if notes else ""
            lines.append(f"- {code(short)}{where}{joint}{notes}")
    return [*lines, ""] if lines else []


def more_bits_drift_more(report: Report) -> Iterator[str]:
    """Where weights of more bits drift more than those of fewer, and the two are told apart.

    Two settings are compared under the same KV cache; the first column that shows it is told.

    Yields:
        A sentence for each such precision, without its full stop.
    """
    grid = report.grid
    if grid is None:
        return
    told = {frozenset((pair.a, pair.b)): pair for pair in report.comparisons}
    bits = {each.key: each.own.bits_per_weight for each in ladder_rows(report) if each.own}
    said = set()
    for column in zip(*grid.cells, strict=True):
        cells = [
            (key, bits[key], name)
            for key, name in zip(grid.weights, column, strict=True)
            if key in bits and name is not None
        ]
        for key, own, name in cells:
            better = [
                (fewer, other)
                for _, fewer, other in cells
                if fewer < own and _drifts_more(name, other, told)
            ]
            if better and key not in said:
                said.add(key)
                fewer, other = min(better)
                yield (
                    f"`{name}` has {own:.3g} bits a weight and drifts more than `{other}` with "
                    f"{fewer:.3g}: more bits do not buy less drift there"
                )


def _drifts_more(name: str, other: str, told: dict[frozenset[str], PairComparison]) -> bool:
    pair = told.get(frozenset((name, other)))
    if pair is None or not pair.told_apart or pair.kl_mean_difference is None:
        return False
    return pair.kl_mean_difference > 0 if pair.a == name else pair.kl_mean_difference < 0


def interaction_lines(report: Report, names: ShortNames) -> list[str]:
    """What weights and KV cache do together, against the sum of both alone."""
    parts = report.interactions
    if not parts:
        return []
    body = [
        [
            names.code(part.setting),
            digits(part.joint_kl),
            digits(part.weights_kl + part.cache_kl),
            digits(part.interaction, sign=True),
            interval(part.interval, sign=True),
            _misled(part),
            _GUILTY[part.guilty] if part.guilty else ABSENT,
        ]
        for part in parts
    ]
    head = (
        "pair",
        "KL together (nats)",
        "sum of both alone",
        "interaction",
        intervals_name(report),
        "adding misleads?",
        "what makes it bad",
    )
    over = {f"{plural(part.n_chunks, 'chunk')}" for part in parts}
    said = f" over {over.pop()}" if len(over) == 1 else ""
    labels = {part.label for part in parts if part.label}
    said += f", speaking for {labels.pop()}" if len(labels) == 1 else ""
    lines = ["## Weights and KV cache together", "", *table(head, body, left=(0, 5, 6)), ""]
    lines += [
        "Interaction: KL of the pair minus that of its weights alone and of its KV cache alone"
        f"{said}; the unit is the {' or the '.join(sorted({part.unit for part in parts}))}.",
        "",
    ]
    return lines + _in_words(parts, names)


def _misled(part: InteractionPart) -> str:
    if part.misleads is None:
        return "no interval"
    if part.misleads:
        return "**yes**"
    return "no, told apart" if _differs(part) else "no"


def _differs(part: InteractionPart) -> bool:
    ends = part.interval
    return ends is not None and not ends.low <= 0 <= ends.high


def _in_words(parts: Sequence[InteractionPart], names: ShortNames) -> list[str]:
    """The sentences of pairs that need one; the others in a sentence together."""
    lines = []
    alike = []
    for part in parts:
        if _differs(part) or part.guilty or part.interval is None:
            lines.append(f"- {'; '.join(map(names.prose, part.sentences))}.")
        else:
            alike.append(names.code(part.setting))
    if alike:
        lines.append(
            f"- {', '.join(alike)}: pair and sum are not told apart, so that adding would not "
            "have misled here."
        )
    return [*lines, ""]


def setting_weights(row: SettingRow, report: Report) -> list[str]:
    """What the weights of a row are, for its section; nothing for the reference's."""
    source, own = source_of(row), row.weights
    if source is None:
        return []
    if own is None:
        return [f"**Weights:** {code(source.key)}.", ""]
    if isinstance(source, StoredWeights):
        revision = f" at revision {code(own.model_revision)}" if own.model_revision else ""
        where = f", {code(own.model_id or source.model)}{revision}"
    else:
        where = ", made in memory of the reference's as `mlx_lm.convert` would write them"
    whole = report.reference.weights
    share = ""
    if whole is not None and whole.weight_bytes:
        share = (
            f", {percent(own.weight_bytes / whole.weight_bytes, significant=3)} of the "
            f"reference's {megabytes(whole)} MB"
        )
    notes = "".join(f" {prose(note)}" for note in own.notes)
    cache = "" if has_cache(row) else " KV cache at full precision."
    is_gguf = isinstance(source, StoredWeights) and source.is_gguf
    size = f"{megabytes(own)} MB {'in the file' if is_gguf else 'once loaded'}{share}"
    return [f"**Weights:** {text(own.precision)}{where}; {size}.{notes}{cache}", ""]
