"""Reports of one model on several texts and lengths, set side by side.

A row for each text, length and setting. Rows of different texts or lengths are never ranked,
paired or drawn on one frontier. A setting has a verdict on each text, the worst of its lengths, and
one over all, the worst of its texts. The average over texts is shown and judges nothing. Pure
standard library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scorer.common.errors import InputError, QfidError
from scorer.common.json_reader import JsonReader
from scorer.common.json_values import OMITTED, OMITTED_IF_NONE, json_values
from scorer.report.setting_row import Status
from scorer.spec.thresholds import Thresholds, Verdict
from scorer.stats.intervals import Interval

JOINED_SCHEMA = 1
"""Version of the form; raised where a key goes or gets another meaning."""


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
        simultaneous: The interval is that of a run that stops once it is settled: it holds together
            with those of the run's other settings, criteria and looks.
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
    simultaneous: bool = field(default=False, metadata=OMITTED)
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

    @classmethod
    def of(cls, text: str, chunk_length: int, error: QfidError) -> NotScored:
        """A text that an error keeps from being scored."""
        return cls(
            text=text,
            chunk_length=chunk_length,
            message=error.message,
            hint=error.hint,
            exit_code=error.exit_code,
        )


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
