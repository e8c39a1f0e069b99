"""Joins the reports of runs of one model on several texts and lengths. Pure standard library."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from scorer.common.errors import InputError
from scorer.report.joined import (
    JoinedReport,
    JoinedRow,
    JoinedRun,
    JoinedSetting,
    NotScored,
    TextVerdict,
)
from scorer.report.setting_row import SettingRow
from scorer.report.standings import NamedReport
from scorer.report.tree import Report
from scorer.runs.comparability import ComparabilityKey
from scorer.spec.thresholds import TIERS, Verdict

# What makes another text, or follows from the length: all else is how it was computed.
_OF_THE_TEXT = ("corpus", "protocol", "chunk length", "roles", "batch")
_SHORT = 8


def joined(reports: Sequence[NamedReport], not_scored: Sequence[NotScored] = ()) -> JoinedReport:
    """Set reports side by side.

    Args:
        reports: Reports of runs of one model, in the order of the rows.
        not_scored: Texts and lengths that were asked for and have no run.

    Raises:
        InputError: There is no report, or they are not of one model judged by one measure.
    """
    if not reports:
        raise InputError("there is no run to join", "name some: `qfid runs` lists them")
    first = reports[0]
    for other in reports[1:]:
        _check_same_model(first, other)
    names = _text_names(reports)
    runs = tuple(_run(each, name, first.report) for each, name in zip(reports, names, strict=True))
    rows = [
        (_row(each.run, name, each.report, row), _identity(row))
        for each, name in zip(reports, names, strict=True)
        for row in each.report.settings
    ]
    wanted = len(runs) + len(not_scored)
    settings = tuple(
        _setting([row for row, own in rows if own == identity], tuple(dict.fromkeys(names)), wanted)
        for identity in dict.fromkeys(own for _, own in rows)
    )
    reference = first.report.reference
    return JoinedReport(
        model_id=reference.model_id,
        model_revision=reference.model_revision,
        runs=runs,
        rows=tuple(row for row, _ in rows),
        settings=settings,
        not_scored=tuple(not_scored),
        verdict_bounds=first.report.verdict_bounds,
        qfid=first.report.run.versions.get("qfid", ""),
    )


def _check_same_model(first: NamedReport, other: NamedReport) -> None:
    one, two = first.report, other.report
    content = [each.run.conditions.get("model content") for each in (one, two)]
    same = content[0] == content[1]
    if None in content:
        known = [(r.reference.model_id, r.reference.model_revision) for r in (one, two)]
        same = known[0] == known[1]
    if not same:
        raise InputError(
            f"run `{other.run}` is of another model than `{first.run}`: "
            f"`{two.reference.model_id}`, not `{one.reference.model_id}`",
            "join runs of one model; `qfid site DIR` shows several",
        )
    if one.verdict_bounds != two.verdict_bounds:
        raise InputError(
            f"run `{other.run}` is judged by other bounds than `{first.run}`",
            "runs with weights and runs of the KV cache alone are not joined",
        )


def _text_of(report: Report) -> tuple[object, ...]:
    """Equal of runs of one text, whatever their length."""
    corpus, conditions = report.run.corpus, report.run.conditions
    return (
        corpus.sha256 or corpus.name,
        corpus.protocol,
        corpus.normalization,
        conditions.get("roles"),
    )


def _text_names(reports: Sequence[NamedReport]) -> list[str]:
    """What the text of each report is called: unlike texts differ in their names."""
    texts = [_text_of(each.report) for each in reports]
    names = {text: _plain_name(each.report) for text, each in zip(texts, reports, strict=True)}
    plain = list(names.values())
    for text, name in names.items():
        if plain.count(name) > 1:
            names[text] = f"{name} ({str(text[0])[:_SHORT]})"
    return [names[text] for text in texts]


def _plain_name(report: Report) -> str:
    corpus, roles = report.run.corpus, report.run.conditions.get("roles")
    parts = [
        corpus.name,
        *([corpus.protocol] if corpus.protocol != "mqf" else []),
        *([f"roles {roles}"] if roles else []),
    ]
    return ", ".join(parts)


def _run(each: NamedReport, text: str, first: Report) -> JoinedRun:
    part, corpus = each.report.run, each.report.run.corpus
    return JoinedRun(
        run=each.run,
        text=text,
        corpus=corpus.name,
        split=corpus.split,
        dataset_revision=corpus.dataset_revision,
        sha256=corpus.sha256,
        protocol=corpus.protocol,
        chunk_length=corpus.chunk_length,
        chunks_planned=part.chunks_planned,
        total_chunks=corpus.total_chunks,
        complete=part.complete,
        differs=()
        if each.report is first
        else _how(first, "first").differences(_how(each.report, each.run)),
        warnings=part.warnings,
    )


def _how(report: Report, run: str) -> ComparabilityKey:
    conditions = {k: v for k, v in report.run.conditions.items() if k not in _OF_THE_TEXT}
    # Of the fields that a text decides none is to count as unknown.
    conditions |= dict.fromkeys(("corpus", "protocol", "chunk length", "batch"), "any")
    return ComparabilityKey(run, conditions, 0, "", frozenset())


def _identity(row: SettingRow) -> tuple[object, ...]:
    """Equal of rows of one setting: the same notation, and the same files of weights."""
    own = row.weights
    return (row.setting, *(() if own is None else sorted(map(str, own.files.items()))))


def _row(run: str, text: str, report: Report, row: SettingRow) -> JoinedRow:
    own, numbers = row.weights, row.numbers
    name = row.setting
    if own is not None and own.model_id is not None and name.startswith("w="):
        name = name.replace(own.model_id, own.name, 1)
    found = (
        {}
        if numbers is None
        else {
            "n_positions": numbers.n_positions,
            "kl_mean": numbers.kl.mean,
            "kl_mean_interval": numbers.intervals.kl_mean,
            "simultaneous": numbers.intervals.simultaneous,
            "kl_p99": numbers.kl.p99,
            "flip_rate": numbers.flip_rate,
            "perplexity_ref": numbers.perplexity_ref,
            "perplexity_delta": numbers.perplexity_delta,
            "verdict": numbers.verdict,
            "verdict_shown": numbers.verdict_shown,
        }
    )
    values: dict[str, Any] = found
    return JoinedRow(
        run=run,
        text=text,
        chunk_length=report.run.corpus.chunk_length,
        setting=row.setting,
        name=name,
        status=row.status,
        failure=None if row.failure is None else row.failure.message,
        n_chunks=row.n_chunks,
        comparability_key=row.comparability_key,
        **values,
    )


def _setting(rows: Sequence[JoinedRow], texts: Iterable[str], wanted: int) -> JoinedSetting:
    scored = [row for row in rows if row.verdict is not None]
    missing = max(0, wanted - len({row.run for row in scored}))
    verdict, shown = worst(scored, missing=missing)
    means = [row.kl_mean for row in scored if row.kl_mean is not None]
    return JoinedSetting(
        setting=rows[0].setting,
        name=rows[0].name,
        texts=tuple(_on_text(text, [row for row in rows if row.text == text]) for text in texts),
        verdict=verdict,
        verdict_shown=shown,
        macro_kl_mean=math.fsum(means) / len(means) if means else None,
        n_rows=len(scored),
        n_missing=missing,
    )


def _on_text(text: str, rows: Sequence[JoinedRow]) -> TextVerdict:
    scored = [row for row in rows if row.verdict is not None]
    verdict, shown = worst(scored, missing=len(rows) - len(scored))
    lengths = tuple(dict.fromkeys(row.chunk_length for row in scored))
    return TextVerdict(text=text, verdict=verdict, verdict_shown=shown, lengths=lengths)


def worst(rows: Sequence[JoinedRow], *, missing: int = 0) -> tuple[Verdict | None, str | None]:
    """The worst tier of scored rows, and the same with ``?`` where it is open.

    It is settled where a row is settled as bad, or every row is settled and none is missing.

    Args:
        rows: Scored rows.
        missing: How many rows were not scored.
    """
    tiers = [row.verdict for row in rows if row.verdict is not None]
    if not tiers:
        return None, None
    tier = min(tiers, key=TIERS.index)
    settled = [row.verdict_shown == row.verdict for row in rows]
    held = any(row.verdict == tier and ok for row, ok in zip(rows, settled, strict=True))
    is_settled = held if tier == TIERS[0] else all(settled) and not missing
    return tier, tier if is_settled else f"{tier}?"
