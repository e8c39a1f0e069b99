"""Formats the headline numbers of a setting: value, unit, 95 % interval, verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Literal

from qfid_tui.pictures.canvas import VERDICT_SIGNS
from scorer.common.inert_text import inert
from scorer.report.formats.inline import count, digits, interval, percent, plural
from scorer.report.formats.open_verdict import LACKS
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.spec.thresholds import Metric
from scorer.stats.intervals import Interval
from scorer.stats.verdict import HeldBound, OpenBound

if TYPE_CHECKING:
    from qfid_tui.state.setting_detail import PairedMeans

Tone = Literal["plain", "muted", "good", "marginal", "bad"]
TonedLine = tuple[tuple[str, Tone], ...]
"""Parts of a line, each with its tone."""

_METRICS: dict[Metric, str] = {"kl_mean": "KL mean", "kl_p99": "KL p99", "flip_rate": "flips"}
_NAME_WIDTH = 13
_VALUE_WIDTH = 8


def headline(
    row: SettingRow,
    ranked_on: int = 0,
    pairs: Mapping[str, PairedMeans] | None = None,
    other: str | None = None,
) -> list[TonedLine]:
    """Return lines with the numbers of a setting, or with the reason why there are none.

    Args:
        row: The setting's row of a report.
        ranked_on: Chunks of its frontier; 0 where that is not known.
        pairs: The settings that it was compared with.
        other: The one of them to say the difference from, or None.
    """
    if row.numbers is None:
        lines = _without_numbers(row)
    else:
        lines = _numbers(row, row.numbers, ranked_on)
        if other is not None:
            lines = chain(_paired(other, (pairs or {}).get(other)), lines)
    return [*lines, *(((f"! {inert(warning)}", "muted"),) for warning in row.warnings)]


def _numbers(row: SettingRow, numbers: SettingNumbers, ranked_on: int) -> Iterator[TonedLine]:
    kl, ends = numbers.kl, numbers.intervals
    yield from _verdict(numbers)
    yield _figure("KL mean, nats", _short(kl.mean), _ends(ends.kl_mean))
    yield _figure("   p99, nats", _short(kl.p99), _ends(ends.kl_p99))
    yield _figure("flips, %", _short(100 * numbers.flip_rate), _ends(ends.flip_rate, scale=100))
    delta = _ends(ends.perplexity_delta, sign=True)
    yield _figure("Δ perplexity", _short(numbers.perplexity_delta, sign=True), delta)
    ratio = _ends(ends.ln_perplexity_ratio, sign=True)
    yield _figure("ln ppl, nats", _short(numbers.ln_perplexity_ratio, sign=True), ratio)
    yield _figure("KL median", f"{_short(kl.median)} nats, max {_short(kl.max)} nats")
    shown = digits(numbers.perplexity_quant), digits(numbers.perplexity_ref)
    yield _figure("perplexity", f"{shown[0]}, reference {shown[1]}")
    moved = numbers.delta_p
    yield _figure("Δp", f"mean {_short(moved['mean'], sign=True)} %, RMS {_short(moved['rms'])} %")
    yield _figure("KV memory", f"{count(row.kv_bytes_per_token)} bytes/token, {_share(row)}")
    scored = f"{plural(numbers.n_positions, 'position')}, {plural(row.n_chunks, 'chunk')}"
    yield _figure("scored", scored)
    if ranked_on not in (0, row.n_chunks):
        place = "on the frontier" if row.on_frontier else f"beaten by {inert(str(row.beaten_by))}"
        yield _figure("ranked", f"{place}, on {plural(ranked_on, 'common chunk')}")
    yield from _roles(numbers)
    kind = "95 % of all at once" if ends.simultaneous else "95 %"
    basis = [f"{kind} over {plural(ends.n_units, ends.unit)}", ends.label, ends.note]
    yield _figure("intervals", ", ".join(part for part in basis if part))
    if row.letters:
        yield _figure("group", f"{inert(row.letters)}: not told apart from the same letter")
    key = "not known" if row.key_text is None else inert(row.key_text)
    yield _figure("key", f"{key}, of all that the figures depend on")


def _roles(numbers: SettingNumbers) -> Iterator[TonedLine]:
    """The drift on what each role of a chat text said."""
    for each in numbers.by_role:
        flips = percent(each.flip_rate, significant=2)
        ends = f" ({_ends(each.kl_mean_interval)})" if each.kl_mean_interval else ""
        value = f"KL {_short(each.kl_mean)} nats{ends}, p99 {_short(each.kl_p99)}, {flips} flips, "
        value += plural(each.n_positions, "position")
        yield _figure(inert(each.role), value if each.counted else f"{value}, does not count")


def _paired(other: str, pair: PairedMeans | None) -> Iterator[TonedLine]:
    name = f"less {inert(other)}"
    if pair is None:
        yield ((f"{name}: not compared in the report", "muted"),)
        return
    said = {True: "told apart", False: "not told apart", None: "no interval"}[pair.told_apart]
    value = _short(pair.difference, sign=True)
    yield (f"KL mean {name}: ", "muted"), (f"{value} nats", "plain"), (f", {said}", "muted")
    if pair.interval is not None:
        yield ((f"  {_ends(pair.interval, sign=True)}, over all pairs at once", "muted"),)


def _verdict(numbers: SettingNumbers) -> Iterator[TonedLine]:
    held = ", ".join(
        f"{_METRICS[bound.metric]} > {_bound(bound)}" for bound in numbers.verdict_held_by
    )
    shown = f"{VERDICT_SIGNS[numbers.verdict]} {numbers.verdict_shown}"
    yield ((shown, numbers.verdict), (f"  {held}" if held else "", "muted"))
    for lacking in numbers.verdict_without_interval:
        yield ((f"open: {_METRICS[lacking.metric]}: {LACKS[lacking.why]}", "muted"),)
    for bound in numbers.verdict_open:
        more = bound.more_chunks
        settle = f", about {plural(more, 'more chunk')}" if more is not None else ""
        if bound.below_noise_floor:
            settle = ", within the noise floor"
        name = f"open: {_METRICS[bound.metric]} against {_bound(bound)} for {bound.tier}"
        yield ((f"{name}{settle}", "muted"),)


def _bound(bound: HeldBound | OpenBound) -> str:
    if bound.metric == "flip_rate":
        return percent(bound.threshold, significant=2)
    return digits(bound.threshold, significant=2)


def _without_numbers(row: SettingRow) -> Iterator[TonedLine]:
    if row.status == "failed":
        yield (("✗ failed", "bad"),)
        if row.failure is not None:
            yield ((inert(row.failure.message), "plain"),)
            if row.failure.hint:
                yield ((inert(row.failure.hint), "muted"),)
    else:
        yield (("no chunk is scored yet", "plain"),)
        yield (("resume the run to score it", "muted"),)
    yield _figure("KV memory", f"{count(row.kv_bytes_per_token)} bytes/token, {_share(row)}")


def _figure(name: str, value: str, ends: str = "") -> TonedLine:
    """Return name, value and interval in columns; a value without interval may be long."""
    shown = f"{name:<{_NAME_WIDTH}} "
    if not ends:
        return (shown, "muted"), (value, "plain")
    return (shown, "muted"), (f"{value:<{_VALUE_WIDTH}} ", "plain"), (ends, "muted")


def _short(value: float | None, *, sign: bool = False) -> str:
    return digits(value, sign=sign, significant=3)


def _ends(ends: Interval | None, *, scale: float = 1.0, sign: bool = False) -> str:
    return interval(ends, scale=scale, sign=sign, significant=3)


def _share(row: SettingRow) -> str:
    return f"{percent(row.kv_bytes_share, significant=3)} of 16 bit"
