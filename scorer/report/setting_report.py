"""One setting's report as an object, for callers in Python. Pure standard library."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from scorer.common.errors import InputError, SettingFailed
from scorer.spec.thresholds import Verdict


@dataclass(frozen=True, slots=True)
class KLReport:
    """KL(reference ‖ quantized) over all positions, nats.

    Attributes:
        mean: Mean.
        median: Median.
        p99: 99th percentile.
        max: Largest value.
    """

    mean: float
    median: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class SettingReport:
    """What a KV setting costs; everything else is in :meth:`to_json`.

    Attributes:
        setting: The setting in notation.
        kl: KL in nats.
        flip_rate: Share of positions whose top token changed, 0 to 1.
        verdict: ``good``, ``marginal`` or ``bad``, by the point estimates.
        perplexity_ref: Perplexity of the reference.
        perplexity_quant: Perplexity with the quantized cache.
        perplexity_delta: Quantized minus reference.
        n_chunks: Chunks scored.
        n_positions: Positions scored.
        warnings: What to know before quoting a number.
    """

    setting: str
    kl: KLReport
    flip_rate: float
    verdict: Verdict
    perplexity_ref: float
    perplexity_quant: float
    perplexity_delta: float
    n_chunks: int
    n_positions: int
    warnings: tuple[str, ...]
    _row: Mapping[str, Any] = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The setting's object of the report, with mlx-quant-fidelity's keys and ours."""
        return dict(self._row)

    @classmethod
    def from_report(cls, report: Mapping[str, Any], setting: str | None = None) -> SettingReport:
        """Take one setting out of a report.

        Args:
            report: The report as JSON values.
            setting: Notation of the setting; None where the report has only one.

        Raises:
            InputError: The report has no such setting, or several and none is named.
            SettingFailed: The setting gave no numbers.
        """
        rows = {row["setting"]: row for row in report["settings"]}
        if setting is None and len(rows) == 1:
            setting = next(iter(rows))
        if setting is None or setting not in rows:
            wanted = "no setting is named" if setting is None else f"no setting `{setting}`"
            names = ", ".join(f"`{name}`" for name in rows)
            raise InputError(f"{wanted} in a report of {names}", "name one of them")
        row = rows[setting]
        if row["status"] != "scored":
            failure = row["failure"] or {}
            message = failure.get("message") or f"setting `{setting}` has no scored chunk yet"
            raise SettingFailed(message, failure.get("hint", ""))
        return cls(
            setting=setting,
            kl=KLReport(**{name: _float(value) for name, value in row["kl"].items()}),
            flip_rate=row["flip_rate"],
            verdict=cast(Verdict, row["verdict"]),
            perplexity_ref=_float(row["perplexity_ref"]),
            perplexity_quant=_float(row["perplexity_quant"]),
            perplexity_delta=_float(row["perplexity_delta"]),
            n_chunks=row["n_chunks"],
            n_positions=row["n_positions"],
            warnings=tuple(row["warnings"]),
            _row=row,
        )


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)
