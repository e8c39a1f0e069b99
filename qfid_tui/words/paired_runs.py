"""Formats two runs that are paired as lines of toned text. Imports no Textual."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qfid_tui.state.paired_runs import PairedRuns
from qfid_tui.state.setting_names import short_name
from qfid_tui.words.compared_runs import Tone, TonedLine, padded, wrapped
from qfid_tui.words.run_rows import cut
from scorer.common.inert_text import inert
from scorer.report.formats.inline import columns, digits, interval

if TYPE_CHECKING:
    from scorer.report.run_diff_part import RunDiff

_TONES: dict[str, Tone] = {"within": "good", "beyond": "bad", "neither": "marginal"}
_LONGEST_SETTING = 24
_DIFFERENCE, _INTERVAL = 12, 26


def paired_lines(paired: PairedRuns | None, width: int) -> list[TonedLine]:
    """What ``qfid diff`` says of runs 1 and 2 of a comparison.

    Args:
        paired: The two; None while they are read.
        width: Columns of the screen.
    """
    if paired is None:
        return [(), *wrapped("pairing the two runs …", width, "muted")]
    if paired.diff is None:
        why = f"Not paired, as `qfid diff` would: {inert(paired.why_not)}."
        return [(), *wrapped(why, width, "muted")]
    return [(), *_lines(paired.diff, width)]


def _lines(diff: RunDiff, width: int) -> Iterator[TonedLine]:
    yield from wrapped("Run 2 less run 1, paired by chunk as by `qfid diff`", width, "strong", 0)
    names = ", ".join(inert(each.name) for each in diff.how)
    yield from wrapped(f"differs: {names or 'nothing that the runs know of'}", width, "muted")
    longest = max(columns(short_name(each.setting)) for each in diff.settings)
    room = max(len("setting"), min(longest, _LONGEST_SETTING)) + 1
    heads = (
        padded("setting", room),
        padded("difference", _DIFFERENCE),
        padded("interval", _INTERVAL),
    )
    yield (("   " + "".join(heads) + "lies", "muted"),)
    for each in diff.settings:
        yield (
            ("   " + padded(cut(short_name(each.setting), room - 1), room), "plain"),
            (padded(digits(each.difference, sign=True, significant=3), _DIFFERENCE), "plain"),
            (padded(interval(each.interval, sign=True, significant=3), _INTERVAL), "muted"),
            (each.outcome, _TONES[each.outcome]),
        )
    counts = [each.n_chunks for each in diff.settings]
    chunks = " to ".join(map(str, sorted({min(counts), max(counts)})))
    yield from wrapped(
        f"Of the KL mean, nats, on {chunks} common chunks: does its interval lie within "
        f"± {100 * diff.within.value:g} % of run 1's, beyond, or neither? Intervals of "
        f"{100 * diff.settings[0].confidence:.4g} %, so that all hold together with 95 %"
        + (f" at each of {diff.looks} looks." if diff.looks > 1 else "."),
        width,
        "muted",
    )
