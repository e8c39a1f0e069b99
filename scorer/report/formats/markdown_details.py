"""Drift by depth and by confidence, and the quantiles: of one setting, or side by side.

Pure standard library.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from scorer.report.formats.inline import ABSENT, code, count, digits, percent, table, text

Row = Mapping[str, Any]

_SIDE_BY_SIDE = 5


def details(rows: Sequence[Row], scored_from: int) -> list[str]:
    """Lines with the tables that take a report beyond its headline.

    Args:
        rows: Scored settings of the report.
        scored_from: First position of a chunk that the protocol scores.
    """
    if len(rows) == 1:
        first = max(rows[0]["quantize_start"], scored_from)
        return [*_depth(rows[0], first), *_confidence(rows[0]), *_quantiles(rows[0])]
    lines: list[str] = []
    # Spans of another length or another start cannot stand in one row of a table.
    firsts = dict.fromkeys(max(row["quantize_start"], scored_from) for row in rows)
    for first in firsts:
        alike = [row for row in rows if max(row["quantize_start"], scored_from) == first]
        for part in _parts(alike):
            lines += _depth_beside(part, first)
    for part in _parts(rows):
        lines += _confidence_beside(part)
    for part in _parts(rows):
        lines += _quantiles_beside(part, "KL quantiles (nats)", "kl_quantiles", sign=False)
    for part in _parts(rows):
        lines += _quantiles_beside(part, "Δp quantiles (%)", "delta_p", sign=True)
    return lines


def _parts(rows: Sequence[Row]) -> list[Sequence[Row]]:
    return [rows[i : i + _SIDE_BY_SIDE] for i in range(0, len(rows), _SIDE_BY_SIDE)]


def _from(first: int) -> str:
    return f"positions from {first} on" if first else "positions"


def _span(span: Row) -> str:
    return f"{span['start']}–{span['end'] - 1}"


def _bucket(bucket: Row) -> str:
    return f"{digits(bucket['low'])} to {digits(bucket['high'])}"


def _depth(row: Row, first: int) -> list[str]:
    rows = [
        (_span(s), digits(s["kl_mean"]), digits(s["kl_p99"]), count(s["n_positions"]))
        for s in row["kl_by_depth"]
    ]
    head = (_from(first), "KL mean (nats)", "KL p99 (nats)", "pooled")
    return ["**Drift by position depth**", "", *table(head, rows), ""]


def _depth_beside(rows: Sequence[Row], first: int) -> list[str]:
    body = [
        [_span(spans[0]), *(digits(span["kl_mean"]) for span in spans)]
        for spans in zip(*(row["kl_by_depth"] for row in rows), strict=True)
    ]
    head = [_from(first), *_names(rows)]
    return ["**Drift by position depth** (KL mean, nats)", "", *table(head, body), ""]


def _confidence(row: Row) -> list[str]:
    rows = [
        (_bucket(b), digits(b["kl_mean"]), percent(b["flip_rate"]), count(b["n_positions"]))
        for b in row["by_confidence"]
    ]
    head = ("reference's top probability", "KL mean (nats)", "flips", "positions")
    return ["**By confidence of the reference**", "", *table(head, rows), ""]


def _confidence_beside(rows: Sequence[Row]) -> list[str]:
    body = []
    for buckets in zip(*(row["by_confidence"] for row in rows), strict=True):
        cells = [
            f"{digits(b['kl_mean'])} · {percent(b['flip_rate'], significant=3)}"
            if b["n_positions"]
            else ABSENT
            for b in buckets
        ]
        body.append([_bucket(buckets[0]), *cells])
    head = ["top probability", *_names(rows)]
    title = "**By confidence of the reference** (KL mean in nats · flips)"
    return [title, "", *table(head, body), ""]


def _quantiles(row: Row) -> list[str]:
    kl, dp = row["kl_quantiles"], row["delta_p"]
    rows = [
        (name, digits(kl.get(name)), digits(value, sign=True))
        for name, value in dp.items()
        if name not in ("mean", "rms")
    ]
    return ["**Quantiles**", "", *table(("quantile", "KL (nats)", "Δp (%)"), rows), ""]


def _quantiles_beside(rows: Sequence[Row], title: str, key: str, *, sign: bool) -> list[str]:
    names = [name for name in rows[0][key] if name not in ("mean", "rms")]
    body = [[name, *(digits(row[key][name], sign=sign) for row in rows)] for name in names]
    return [f"**{title}**", "", *table(["quantile", *_names(rows)], body), ""]


def _names(rows: Sequence[Row]) -> list[str]:
    return [code(row["setting"]) for row in rows]


def changed_layers(sides: Sequence[Row]) -> str:
    """The engagement in words: class, width, group and tokens, sides that are alike together."""
    kinds: dict[tuple[Any, ...], dict[str, list[object]]] = {}
    for side in sides:
        kind = (side["class"], side["bits"], side["group_size"], side["tokens"])
        kinds.setdefault(kind, {}).setdefault(side["side"], []).append(side["layer"])
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


def _spans(layers: Sequence[object]) -> str:
    numbers = [int(str(layer)) for layer in layers if str(layer).isdecimal()]
    if len(numbers) != len(layers):
        return f"{len(layers)} layers"
    runs = []
    for _, group in itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        members = [layer for _, layer in group]
        runs.append(str(members[0]) if len(members) == 1 else f"{members[0]}–{members[-1]}")
    return f"layer{'' if len(numbers) == 1 else 's'} {', '.join(runs)}"
