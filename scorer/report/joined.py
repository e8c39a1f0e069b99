"""Reports of one model on several texts and lengths, set side by side.

A row for each text, length and setting. Rows of different texts or lengths are never ranked,
paired or drawn on one frontier. A setting has a verdict on each text, the worst of its lengths, and
one over all, the worst of its texts. The average over texts is shown and judges nothing. Pure
standard library.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scorer.common.errors import InputError
from scorer.common.json_reader import JsonReader
from scorer.common.json_values import OMITTED_IF_NONE, json_values
from scorer.report.setting_row import SettingRow, Status
from scorer.report.standings import NamedReport
from scorer.report.tree import Report
from scorer.runs.comparability import ComparabilityKey
from scorer.spec.thresholds import TIERS, Thresholds, Verdict
from scorer.stats.intervals import Interval

JOINED_SCHEMA = 1
"""Version of the form; raised where a key goes or gets another meaning."""

# What makes another text, or follows from the length: all else is how it was computed.
_OF_THE_TEXT = ("corpus", "protocol", "chunk length", "roles", "batch")
_SHORT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedRun:
    """One text at one length: a saved run.

    Attributes:
        run: Id of the run.
        text: What the text is called here; each text has one name, whatever its length.
        corpus: Its name in the run's own report.
        split: Split of the dataset; None where there is none.
        dataset_revision: Commit of the dataset; None where there is none.
        sha256: Hexadecimal SHA-256 of the text; None where the report does not say.
        protocol: ``mqf`` or ``llama.cpp``.
        chunk_length: Tokens of a chunk.
        chunks_planned: Chunks that the run is to score.
        total_chunks: Full chunks of the whole text; None where the report does not say.
        complete: Every setting was scored on every planned chunk, or failed.
        differs: In what it was computed otherwise than the first run, in words.
        warnings: What the reader should know about the whole run.
    """

    run: str
    text: str
    corpus: str
    split: str | None
    dataset_revision: str | None
    sha256: str | None
    protocol: str
    chunk_length: int
    chunks_planned: int
    total_chunks: int | None
    complete: bool
    differs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedRow:
    """One setting on one text at one length. Numbers are None where nothing was scored.

    Attributes:
        run: Id of its run.
        text: Its text, as :class:`JoinedRun` calls it.
        chunk_length: Tokens of a chunk.
        setting: The setting in notation.
        name: The same where room is short: weights by the last part of their name.
        status: ``scored``, ``failed`` or ``waiting``.
        failure: Why it failed; None where it did not.
        n_chunks: Chunks that the numbers rest on.
        n_positions: Positions scored.
        kl_mean: Mean KL, nats.
        kl_mean_interval: Its 95 % interval, nats; None where there is none.
        kl_p99: 99th percentile of KL, nats.
        flip_rate: Share of positions whose top token changed, 0 to 1.
        perplexity_ref: Perplexity of the reference.
        perplexity_delta: Perplexity with the setting minus that of the reference.
        verdict: Tier by the point estimates.
        verdict_shown: The tier, with ``?`` where it is open.
        comparability_key: As of :class:`~scorer.report.setting_row.SettingRow`.
    """

    run: str
    text: str
    chunk_length: int
    setting: str
    name: str
    status: Status
    failure: str | None = None
    n_chunks: int
    n_positions: int | None = None
    kl_mean: float | None = None
    kl_mean_interval: Interval | None = None
    kl_p99: float | None = None
    flip_rate: float | None = None
    perplexity_ref: float | None = None
    perplexity_delta: float | None = None
    verdict: Verdict | None = None
    verdict_shown: str | None = None
    comparability_key: str | None = field(default=None, metadata=OMITTED_IF_NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextVerdict:
    """A setting on one text.

    Attributes:
        text: The text, as :class:`JoinedRun` calls it.
        verdict: The worst tier of its lengths; None where none was scored.
        verdict_shown: The tier, with ``?`` where a length leaves it open; None likewise.
        lengths: Tokens of a chunk, of the lengths that were scored.
    """

    text: str
    verdict: Verdict | None
    verdict_shown: str | None
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedSetting:
    """A setting over all texts and lengths.

    Attributes:
        setting: The setting in notation.
        name: As of :class:`JoinedRow`.
        texts: Its verdict on each text.
        verdict: The worst of them; None where nothing was scored.
        verdict_shown: The tier, with ``?`` where a text or length leaves it open or was not scored.
        macro_kl_mean: Plain mean of the KL means of its rows, nats: every text and length counts
            the same. It judges nothing. None where nothing was scored.
        n_rows: Rows that were scored.
        n_missing: Texts and lengths of the report that it was not scored on.
    """

    setting: str
    name: str
    texts: tuple[TextVerdict, ...]
    verdict: Verdict | None
    verdict_shown: str | None
    macro_kl_mean: float | None
    n_rows: int
    n_missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotScored:
    """A text at a length of which there is no run.

    Attributes:
        text: The text as it was asked for.
        chunk_length: Tokens of a chunk.
        message: Why, in one line.
        hint: What to do about it; "" for nothing.
        exit_code: Exit code of a run that ends so.
    """

    text: str
    chunk_length: int
    message: str
    hint: str = ""
    exit_code: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedReport:
    """Several runs of one model side by side.

    Attributes:
        kind: ``joined``: it is not the report of one run.
        schema: Version of the form.
        model_id: Repo id, name of the folder, or ``demo``.
        model_revision: Commit of the repo; None for a folder.
        runs: The texts and lengths, in the order asked.
        rows: A row for each of them and each setting.
        settings: The settings over all of them.
        not_scored: Texts and lengths that were asked for and have no run.
        verdict_bounds: What the verdicts are given by.
        qfid: Version of qfid that joined them.
    """

    kind: str = "joined"
    schema: int = JOINED_SCHEMA
    model_id: str
    model_revision: str | None
    runs: tuple[JoinedRun, ...]
    rows: tuple[JoinedRow, ...]
    settings: tuple[JoinedSetting, ...]
    not_scored: tuple[NotScored, ...] = ()
    verdict_bounds: Thresholds
    qfid: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts, in the order asked, each once."""
        return tuple(dict.fromkeys(run.text for run in self.runs))

    def row(self, text: str, chunk_length: int, setting: str) -> JoinedRow:
        """The row of a text, length and setting; where several runs have it, the first.

        Raises:
            InputError: There is none.
        """
        for row in self.rows:
            if (row.text, row.chunk_length, row.setting) == (text, chunk_length, setting):
                return row
        raise InputError(
            f"setting `{setting}` was not scored on `{text}` at {chunk_length} tokens",
            f"texts: {', '.join(self.texts)}",
        )

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; infinities and undefined numbers as of a run's report."""
        values: dict[str, Any] = json_values(self, words=True)
        return values

    @classmethod
    def from_json(cls, data: Any) -> JoinedReport:
        """Read what :meth:`to_json` wrote; keys that this version does not know are dropped.

        Raises:
            InputError: A key is missing, a value does not fit, or the form is another.
        """
        found = _READER.read(data)
        if (found.kind, found.schema) != ("joined", JOINED_SCHEMA):
            raise InputError("it is no joined report of this form", "join the runs again")
        return found


_READER = JsonReader(JoinedReport, "a joined report", unknown="drop", words=True)


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
