"""The headline numbers of a setting as lines of text: value, unit, 95 % interval, verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from scorer.common.inert_text import inert
from scorer.report.formats.inline import count, digits, interval, percent, plural

Tone = Literal["plain", "muted", "good", "marginal", "bad"]
Line = tuple[tuple[str, Tone], ...]

_METRICS = {"kl_mean": "KL mean", "kl_p99": "KL p99", "flip_rate": "flips"}
_SIGNS: dict[Any, str] = {"good": "✓", "marginal": "~", "bad": "✗"}
_NAME_WIDTH = 13
_VALUE_WIDTH = 8


def headline(row: Mapping[str, Any]) -> list[Line]:
    """Lines that say what a setting costs, or why there is no number.

    Args:
        row: The setting's object of a report.
    """
    lines = _numbers(row) if row["status"] == "scored" else _without_numbers(row)
    return [*lines, *(((f"! {inert(str(warning))}", "muted"),) for warning in row["warnings"])]


def _numbers(row: Mapping[str, Any]) -> Iterator[Line]:
    kl, ends = row["kl"], row["intervals"]
    yield from _verdict(row)
    yield _figure("KL mean, nats", _short(kl["mean"]), _ends(ends["kl_mean"]))
    yield _figure("   p99, nats", _short(kl["p99"]), _ends(ends["kl_p99"]))
    yield _figure("flips, %", _short(100 * row["flip_rate"]), _ends(ends["flip_rate"], scale=100))
    delta = _ends(ends["perplexity_delta"], sign=True)
    yield _figure("Δ perplexity", _short(row["perplexity_delta"], sign=True), delta)
    ratio = _ends(ends["ln_perplexity_ratio"], sign=True)
    yield _figure("ln ppl, nats", _short(row["ln_perplexity_ratio"], sign=True), ratio)
    yield _figure("KL median", f"{_short(kl['median'])} nats, max {_short(kl['max'])} nats")
    shown = digits(row["perplexity_quant"]), digits(row["perplexity_ref"])
    yield _figure("perplexity", f"{shown[0]}, reference {shown[1]}")
    moved = row["delta_p"]
    yield _figure("Δp", f"mean {_short(moved['mean'], sign=True)} %, RMS {_short(moved['rms'])} %")
    yield _figure("KV memory", f"{count(row['kv_bytes_per_token'])} bytes/token, {_share(row)}")
    yield _figure(
        "scored", f"{plural(row['n_positions'], 'position')}, {plural(row['n_chunks'], 'chunk')}"
    )
    said = [f"95 % over {plural(ends['n_units'], ends['unit'])}", ends["label"], ends["note"]]
    yield _figure("intervals", ", ".join(part for part in said if part))


def _verdict(row: Mapping[str, Any]) -> Iterator[Line]:
    tone: Tone = row["verdict"] if row["verdict"] in _SIGNS else "plain"
    held = ", ".join(
        f"{_METRICS[bound['metric']]} > {_bound(bound)}" for bound in row["verdict_held_by"]
    )
    shown = f"{_SIGNS.get(row['verdict'], '')} {row['verdict_shown']}".strip()
    yield ((shown, tone), (f"  {held}" if held else "", "muted"))
    for bound in row["verdict_open"]:
        more = bound["more_chunks"]
        settle = f", about {plural(more, 'more chunk')}" if more is not None else ""
        name = f"open: {_METRICS[bound['metric']]} against {_bound(bound)} for {bound['tier']}"
        yield ((f"{name}{settle}", "muted"),)


def _bound(bound: Mapping[str, Any]) -> str:
    if bound["metric"] == "flip_rate":
        return percent(bound["threshold"], significant=2)
    return digits(bound["threshold"], significant=2)


def _without_numbers(row: Mapping[str, Any]) -> Iterator[Line]:
    failure = row["failure"] or {}
    if row["status"] == "failed":
        yield (("✗ failed", "bad"),)
        yield ((inert(str(failure.get("message", ""))), "plain"),)
        if failure.get("hint"):
            yield ((inert(str(failure["hint"])), "muted"),)
    else:
        yield (("no chunk is scored yet", "plain"),)
        yield (("go on with the run to score it", "muted"),)
    yield _figure("KV memory", f"{count(row['kv_bytes_per_token'])} bytes/token, {_share(row)}")


def _figure(name: str, value: str, ends: str = "") -> Line:
    """A name, a value and its interval under one another; a value without interval may be long."""
    shown = f"{name:<{_NAME_WIDTH}} "
    if not ends:
        return (shown, "muted"), (value, "plain")
    return (shown, "muted"), (f"{value:<{_VALUE_WIDTH}} ", "plain"), (ends, "muted")


def _short(value: Any, *, sign: bool = False) -> str:
    return digits(value, sign=sign, significant=3)


def _ends(ends: Any, *, scale: float = 1.0, sign: bool = False) -> str:
    return interval(ends, scale=scale, sign=sign, significant=3)


def _share(row: Mapping[str, Any]) -> str:
    return f"{percent(row['kv_bytes_share'], significant=3)} of 16 bit"
