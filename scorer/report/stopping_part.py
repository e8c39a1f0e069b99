"""What a report says of a run that stops once it is settled. Pure standard library."""

from __future__ import annotations

from dataclasses import dataclass

from scorer.spec.thresholds import Metric
from scorer.stats.intervals import CONFIDENCE, Interval, UnitKind
from scorer.stats.stopping import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedSetting:
    """One setting at the look that a report rests on.

    Attributes:
        setting: In notation.
        standing: ``settled good`` where every interval lies within its bound of ``good``,
            ``settled worse`` where any lies beyond, else ``not settled``.
        open: Metrics that keep it from being settled.
        kl_mean: Its interval, nats; None where there is none, as of the next two.
        kl_p99: Nats.
        flip_rate: 0 to 1.
    """

    setting: str
    standing: Standing
    open: tuple[Metric, ...] = ()
    kl_mean: Interval | None = None
    kl_p99: Interval | None = None
    flip_rate: Interval | None = None

    def interval(self, metric: Metric) -> Interval | None:
        """The interval of one metric."""
        found: Interval | None = getattr(self, metric)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingPart:
    """The looks of a run that stops once it is settled, and what the last one says.

    All intervals of all settings, metrics and looks hold together with 95 % confidence
    (Bonferroni), so also those of the look at which the run stopped.

    Attributes:
        looks: After how many chunks the run looks; the last is all that it may score.
        look: How many of them are over; 0 before the first.
        n_chunks: Chunks of that look, in the order in which they were scored; 0 before the first.
        stopped: Every setting that did not fail is settled at that look, and the run ended there.
        order: The order of the chunks: ``random:SEED``.
        joint_confidence: 0.95, of all intervals together.
        confidence: Of each single one.
        unit: What is taken as independent.
        n_units: How many of those the look has.
        n_documents: Documents that its chunks are known to cover.
        label: What the intervals speak for where that is not any text of the kind; else "".
        settings: One each for the settings that the look has; empty before the first.
    """

    looks: tuple[int, ...]
    look: int
    n_chunks: int
    stopped: bool
    order: str
    joint_confidence: float = CONFIDENCE
    confidence: float
    unit: UnitKind
    n_units: int = 0
    n_documents: int = 0
    label: str = ""
    settings: tuple[StoppedSetting, ...] = ()

    @property
    def most_chunks(self) -> int:
        """All chunks that the run may score."""
        return self.looks[-1]

    def of(self, setting: str) -> StoppedSetting | None:
        """What the look says of a setting; None where it says nothing."""
        return next((found for found in self.settings if found.setting == setting), None)
