"""A run that compares weights as an object, for callers in Python. Pure standard library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scorer.report.deployment_part import DeploymentPart
from scorer.report.setting_report import SettingReport
from scorer.report.tree import Report
from scorer.report.weights_parts import GridPart, InteractionPart


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What sets of weights cost, alone and with KV settings; everything is in :meth:`to_json`.

    It iterates over its settings, in the order of the report, and ``found["w4+8"]`` is one of them.

    Attributes:
        run_id: Id of the saved run.
        settings: Each setting's report, by notation.
    """

    run_id: str
    settings: dict[str, SettingReport]
    _report: Report = field(repr=False, compare=False)

    @property
    def grid(self) -> GridPart | None:
        """Which setting stands where: weights down, KV settings across."""
        return self._report.grid

    @property
    def interactions(self) -> tuple[InteractionPart, ...]:
        """What weights and KV cache do together, for each pair whose two parts were scored too."""
        return self._report.interactions

    @property
    def deployment(self) -> DeploymentPart | None:
        """Total bytes of every setting, what fits, and what to run."""
        return self._report.deployment

    def to_json(self) -> dict[str, Any]:
        """The whole report as JSON values."""
        return self._report.to_json()

    def __getitem__(self, setting: str) -> SettingReport:
        return self.settings[setting]

    def __iter__(self) -> Iterator[SettingReport]:
        return iter(self.settings.values())

    def __len__(self) -> int:
        return len(self.settings)
