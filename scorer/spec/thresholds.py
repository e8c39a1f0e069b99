"""Bounds of the verdicts: the largest KL and flips that still reach a tier.

Source: mlx-quant-fidelity 0.10.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "marginal", "bad"]


Metric = Literal["kl_mean", "kl_p99", "flip_rate"]


TIERS: tuple[Verdict, ...] = ("bad", "marginal", "good")


METRICS: tuple[Metric, ...] = ("kl_mean", "kl_p99", "flip_rate")


METRIC_WORDS: dict[Metric, str] = {"kl_mean": "KL mean", "kl_p99": "p99", "flip_rate": "flips"}
"""The metrics in a word or two."""


def metrics_words(metrics: Sequence[Metric]) -> str:
    """Metrics in words: ``KL mean, p99 and flips``; "" for none."""
    words = [METRIC_WORDS[metric] for metric in metrics]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Largest values that still reach a tier; all three must hold.

    Attributes:
        kl_mean: Mean KL, nats.
        kl_p99: 99th percentile of KL, nats.
        flip_rate: Share of positions whose top token changed, 0 to 1.
    """

    kl_mean: float
    kl_p99: float
    flip_rate: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Bounds of the two upper tiers; what misses ``marginal`` is bad.

    Attributes:
        good: Those of ``good``.
        marginal: Those of ``marginal``.
    """

    good: Bounds
    marginal: Bounds


KV = Thresholds(good=Bounds(0.01, 0.10, 0.01), marginal=Bounds(0.10, 1.00, 0.05))


WEIGHTS = Thresholds(good=Bounds(0.01, 0.10, 0.05), marginal=Bounds(0.20, 1.50, 0.25))
