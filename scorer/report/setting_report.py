"""One setting's report as an object, for callers in Python. Pure standard library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scorer.common.errors import InputError, SettingFailed
from scorer.common.json_values import json_values
from scorer.report.setting_row import Intervals, SettingRow
from scorer.report.tree import Report
from scorer.spec.thresholds import Verdict
from scorer.stats.summary_values import KLSummary


@dataclass(frozen=True, slots=True)
class SettingReport:
    """What a KV setting costs; everything else is in :meth:`to_json`.

    Attributes:
        setting: The setting in notation.
        run_id: Id of the saved run, for ``qfid report``, ``qfid resume`` and
            :func:`scorer.read_positions`.
        kl: KL in nats.
        flip_rate: Share of positions whose top token changed, 0 to 1.
        verdict: ``good``, ``marginal`` or ``bad``, by the point estimates.
        verdict_shown: The same with ``?`` where it is open: more chunks could change it.
        perplexity_ref: Perplexity of the reference.
        perplexity_quant: Perplexity with the quantized cache.
        perplexity_delta: Quantized minus reference.
        intervals: 95 % intervals of these numbers, and what they rest on: ``.kl_mean.low`` and
            ``.high``, ``.kl_p99``, ``.flip_rate``, ``.perplexity_delta``; None where there is none.
        n_chunks: Chunks scored.
        n_positions: Positions scored.
        warnings: What to know before quoting a number.
    """

    setting: str
    run_id: str
    kl: KLSummary
    flip_rate: float
    verdict: Verdict
    verdict_shown: str
    perplexity_ref: float
    perplexity_quant: float
    perplexity_delta: float
    intervals: Intervals
    n_chunks: int
    n_positions: int
    warnings: tuple[str, ...]
    _row: SettingRow = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The setting's object of the report, with mlx-quant-fidelity's keys and ours."""
        values: dict[str, Any] = json_values(self._row, words=True)
        return values

    @classmethod
    def from_report(cls, report: Report, run_id: str, setting: str | None = None) -> SettingReport:
        """Take one setting out of a report.

        Args:
            report: The report.
            run_id: Id of its run.
            setting: Notation of the setting; None where the report has only one.

        Raises:
            InputError: The report has no such setting, or several and none is named.
            SettingFailed: The setting gave no numbers.
        """
        rows = {row.setting: row for row in report.settings}
        if setting is None and len(rows) == 1:
            setting = next(iter(rows))
        if setting is None or setting not in rows:
            wanted = "no setting is named" if setting is None else f"no setting `{setting}`"
            names = ", ".join(f"`{name}`" for name in rows)
            raise InputError(f"{wanted} in a report of {names}", "name one of them")
        row = rows[setting]
        numbers, failure = row.numbers, row.failure
        if failure is not None:
            raise SettingFailed(failure.message, failure.hint)
        if numbers is None:
            raise SettingFailed(f"setting `{setting}` has no scored chunk yet")
        return cls(
            setting=setting,
            run_id=run_id,
            kl=numbers.kl,
            flip_rate=numbers.flip_rate,
            verdict=numbers.verdict,
            verdict_shown=numbers.verdict_shown,
            perplexity_ref=numbers.perplexity_ref,
            perplexity_quant=numbers.perplexity_quant,
            perplexity_delta=numbers.perplexity_delta,
            intervals=numbers.intervals,
            n_chunks=row.n_chunks,
            n_positions=numbers.n_positions,
            warnings=row.warnings,
            _row=row,
        )
