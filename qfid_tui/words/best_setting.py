"""The best setting of a run in words: which it is, and which is told apart from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qfid_tui.state.setting_names import short_name
from qfid_tui.words.about_line import perplexity_text
from qfid_tui.words.grid_lines import plain_names

if TYPE_CHECKING:
    from qfid_tui.state.comparison import Comparison
    from qfid_tui.state.setting_results import Figures
    from qfid_tui.state.workbench import WorkbenchState

Line = list[tuple[str, str]]
"""Parts of a line: text and the name of its style."""


def _least_drift(comparison: Comparison) -> tuple[str, Figures] | None:
    finite = [
        (figures.kl_mean, name, figures)
        for name, figures in comparison.ranked().items()
        if math.isfinite(figures.kl_mean)
    ]
    return min(finite, key=lambda entry: entry[:2])[1:] if finite else None


def _best(state: WorkbenchState) -> tuple[str, Figures] | None:
    """The setting that others are compared with: what to run, else the cheapest good one."""
    comparison = state.comparison
    if comparison.compares_weights:
        # KV bytes alone rank nothing.
        part = state.grid.part
        pick = None if part is None or part.pick is None else comparison.figures(part.pick)
        if part is not None and part.pick is not None and pick is not None:
            return part.pick, pick
        return _least_drift(comparison)
    return comparison.cheapest_good() or _least_drift(comparison)


def told_apart_text(state: WorkbenchState) -> str:
    """Whether the setting with the cursor is told apart from the best one.

    The best one is the cheapest good setting, else the one that drifts least. "" where there is
    none, and for a row that has nothing to compare: 16 bit, a failed setting.
    """
    row, comparison = state.row, state.comparison
    best = _best(state)
    if row is None or row.failure is not None or best is None:
        return ""
    name, other = row.shown_name, short_name(best[0])
    if row.run:
        return f"{name}: an earlier run, not compared with {other} of this one"
    if row.setting is None:
        return ""
    if row.figures is None:
        return f"{name}: told apart from {other}? not known before it is scored"
    change = perplexity_text(row.figures)
    if row.name == best[0]:
        return f"{name}: the best here, {change}"
    if comparison.report is None:
        when = "when the run ends" if comparison.is_active else "when the run is finished"
        return f"{name}: told apart from {other}? known {when}, {change}"
    for pair in comparison.report.comparisons:
        if {pair.a, pair.b} == {row.name, best[0]}:
            if pair.told_apart is None:
                said = "no interval against"
            else:
                said = "told apart from" if pair.told_apart else "cannot be told apart from"
            return f"{name}: {said} {other}, {change}"
    return f"{name}: not compared with {other}, {change}"


def best_line(comparison: Comparison) -> Line | None:
    """The cheapest good setting so far; None before any number."""
    if not any(result.figures for result in comparison.settings.values()):
        return None
    if comparison.compares_weights:
        return _best_of_weights(comparison)
    found = comparison.cheapest_good()
    so_far = "" if comparison.phase == "finished" else " so far"
    if found is None:
        text = f"no setting is good{so_far}"
        if (least := _least_drift(comparison)) is not None:
            text += f"; {least[0]} drifts least: {least[1].shown_verdict}"
        return [(text, "text")]
    name, figures = found
    full = comparison.kv_bytes.get("", 0.0)
    cost = comparison.kv_bytes.get(name)
    share = f" ({100 * cost / full:.0f} % of the 16-bit cache)" if cost and full else ""
    sure = "?" if figures.is_open else ""
    line = [
        (f"cheapest good setting{so_far}: ", "text"),
        (f"{name}{sure}", "good"),
        (share, "muted"),
    ]
    cheaper, alike = comparison.cheaper_open(), _cheaper_alike(comparison, name)
    if cheaper is not None and cheaper not in alike:
        line.append((f"; {cheaper}? costs less and is open", "text"))
    if alike:
        more = f" and {len(alike) - 2} more" if len(alike) > 2 else ""
        verbs = ("costs", "is") if len(alike) == 1 else ("cost", "are")
        said = (
            f"; {', '.join(alike[:2])}{more} {verbs[0]} less and {verbs[1]} not told apart from it"
        )
        line.append((said, "text"))
    return line


def _cheaper_alike(comparison: Comparison, name: str) -> tuple[str, ...]:
    """What the report names as cheaper and not told apart from the setting it recommends."""
    found = None if comparison.report is None else comparison.report.recommendation
    return () if found is None or found.setting != name else found.cheaper_alike


def without_parts(sentence: str) -> str:
    """The choice in a sentence of the report, without the parts of its bytes: the grid has them."""
    head, _, parts = sentence.rpartition(": ")
    return plain_names(head if " weights, " in parts else sentence)


def _best_of_weights(comparison: Comparison) -> Line:
    """What to run, as the report has it; before that the good settings so far."""
    deployment = None if comparison.report is None else comparison.report.deployment
    if deployment is not None and deployment.sentences:
        return [(without_parts(deployment.sentences[0]), "text")]
    good = [
        f"{short_name(name)}{'?' * figures.is_open}"
        for name in comparison.settings
        if (figures := comparison.figures(name)) is not None and figures.verdict == "good"
    ]
    if not good:
        return [("no setting is good so far", "text")]
    return [("good so far, by the bounds of weights: ", "text"), (", ".join(good), "good")]
