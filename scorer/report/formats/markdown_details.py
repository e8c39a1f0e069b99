"""Drift by role, depth and confidence, and the quantiles: of one setting, or side by side.

Pure standard library.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from scorer.report.formats.inline import ABSENT, code, count, digits, percent, table, text
from scorer.report.formats.markdown_roles import SIDE_BY_SIDE, role_table, roles_beside
from scorer.report.formats.short_names import ShortNames
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.runs.engagement import SideEngagement
from scorer.stats.summary_values import ConfidenceBucket, DepthSpan

Scored = tuple[SettingRow, SettingNumbers]
"""A setting and its numbers."""


def details(rows: Sequence[Scored], scored_from: int, names: ShortNames) -> list[str]:
    """Lines with the tables that take a report beyond its headline.

    Args:
        rows: Scored settings of the report.
        scored_from: First position of a chunk that the protocol scores.
        names: How the settings are called.
    """
    if len(rows) == 1:
        ((row, numbers),) = rows
        first = max(row.quantize_start, scored_from)
        return [
            *role_table(numbers),
            *_depth(numbers, first),
            *_confidence(numbers),
            *_quantiles(numbers),
        ]
    lines: list[str] = []
    for part in _parts(rows):
        lines += roles_beside(part, names)
    # Spans of another length or another start cannot stand in one row of a table.
    alike: dict[int, list[Scored]] = {}
    for row, numbers in rows:
        alike.setdefault(max(row.quantize_start, scored_from), []).append((row, numbers))
    for first, same in alike.items():
        for part in _parts(same):
            lines += _depth_beside(part, first, names)
    for part in _parts(rows):
        lines += _confidence_beside(part, names)
    for part in _parts(rows):
        lines += _quantiles_beside(part, names, "KL quantiles (nats)", _kl_quantiles, sign=False)
    for part in _parts(rows):
        lines += _quantiles_beside(part, names, "Δp quantiles (%)", _delta_p, sign=True)
    return lines


def _kl_quantiles(numbers: SettingNumbers) -> Mapping[str, float]:
    return numbers.kl_quantiles


def _delta_p(numbers: SettingNumbers) -> Mapping[str, float]:
    return numbers.delta_p


def _parts(rows: Sequence[Scored]) -> list[Sequence[Scored]]:
    return [rows[i : i + SIDE_BY_SIDE] for i in range(0, len(rows), SIDE_BY_SIDE)]


def _from(first: int) -> str:
    return f"positions from {first} on" if first else "positions"


def _span(span: DepthSpan) -> str:
    return f"{span.start}–{span.end - 1}"


def _bucket(bucket: ConfidenceBucket) -> str:
    return f"{digits(bucket.low)} to {digits(bucket.high)}"


def _depth(numbers: SettingNumbers, first: int) -> list[str]:
    rows = [
        (_span(s), digits(s.kl_mean), digits(s.kl_p99), count(s.n_positions))
        for s in numbers.kl_by_depth
    ]
    head = (_from(first), "KL mean (nats)", "KL p99 (nats)", "pooled")
    return ["**Drift by position depth**", "", *table(head, rows), ""]


def _depth_beside(rows: Sequence[Scored], first: int, names: ShortNames) -> list[str]:
    body = [
        [_span(spans[0]), *(digits(span.kl_mean) for span in spans)]
        for spans in zip(*(numbers.kl_by_depth for _, numbers in rows), strict=True)
    ]
    head = [_from(first), *_names(rows, names)]
    return ["**Drift by position depth** (KL mean, nats)", "", *table(head, body), ""]


def _confidence(numbers: SettingNumbers) -> list[str]:
    rows = [
        (_bucket(b), digits(b.kl_mean), percent(b.flip_rate), count(b.n_positions))
        for b in numbers.by_confidence
    ]
    head = ("reference's top probability", "KL mean (nats)", "flips", "positions")
    return ["**By confidence of the reference**", "", *table(head, rows), ""]


def _confidence_beside(rows: Sequence[Scored], names: ShortNames) -> list[str]:
    body = []
    for buckets in zip(*(numbers.by_confidence for _, numbers in rows), strict=True):
        cells = [
            f"{digits(b.kl_mean)} · {percent(b.flip_rate, significant=3)}"
            if b.n_positions
            else ABSENT
            for b in buckets
        ]
        body.append([_bucket(buckets[0]), *cells])
    head = ["top probability", *_names(rows, names)]
    title = "**By confidence of the reference** (KL mean in nats · flips)"
    return [title, "", *table(head, body), ""]


def _quantiles(numbers: SettingNumbers) -> list[str]:
    kl, dp = numbers.kl_quantiles, numbers.delta_p
    rows = [
        (name, digits(kl.get(name)), digits(value, sign=True))
        for name, value in dp.items()
        if name not in ("mean", "rms")
    ]
    return ["**Quantiles**", "", *table(("quantile", "KL (nats)", "Δp (%)"), rows), ""]


def _quantiles_beside(
    rows: Sequence[Scored],
    names: ShortNames,
    title: str,
    quantiles_of: Callable[[SettingNumbers], Mapping[str, float]],
    *,
    sign: bool,
) -> list[str]:
    columns = [quantiles_of(numbers) for _, numbers in rows]
    kinds = [name for name in columns[0] if name not in ("mean", "rms")]
    body = [[name, *(digits(column[name], sign=sign) for column in columns)] for name in kinds]
    return [f"**{title}**", "", *table(["quantile", *_names(rows, names)], body), ""]


def _names(rows: Sequence[Scored], names: ShortNames) -> list[str]:
    return [names.code(row.setting) for row, _ in rows]


def changed_layers(sides: Sequence[SideEngagement]) -> str:
    """The engagement in words: class, width, group and tokens, sides that are alike together."""
    kinds: dict[tuple[str, int, int, int], dict[str, list[str]]] = {}
    for side in sides:
        kind = (side.cache_class, side.bits, side.group_size, side.tokens)
        kinds.setdefault(kind, {}).setdefault(side.side, []).append(side.layer)
    found = []
    for (cache, bits, group, tokens), layers in kinds.items():
        where = {name: _spans(numbers) for name, numbers in layers.items()}
        if len(where) > 1 and len(set(where.values())) == 1:
            which = f"{' and '.join(map(_side, where))} of {next(iter(where.values()))}"
        else:
            which = ", ".join(f"{_side(name)} of {spans}" for name, spans in where.items())
        found.append(
            f"{which} in {code(cache)} at {bits} bit, group {group}, {count(tokens)} tokens"
        )
    return "; ".join(found)


def _side(name: str) -> str:
    return text(name.upper())


def _spans(layers: Sequence[str]) -> str:
    numbers = [int(layer) for layer in layers if layer.isdecimal()]
    if len(numbers) != len(layers):
        return f"{len(layers)} layers"
    runs = []
    for _, group in itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        members = [layer for _, layer in group]
        runs.append(str(members[0]) if len(members) == 1 else f"{members[0]}–{members[-1]}")
    return f"layer{'' if len(numbers) == 1 else 's'} {', '.join(runs)}"
