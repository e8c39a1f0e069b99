"""How two runs of the same differ, as values. Pure standard library."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from scorer.common.errors import InputError
from scorer.common.json_values import json_values
from scorer.stats.intervals import Interval, UnitKind

DIFF_SCHEMA = 1
"""Version of the form of a difference as JSON."""
BEYOND, NEITHER = 4, 5
"""Exit codes of ``qfid diff``."""

Outcome = Literal["within", "beyond", "neither"]


@dataclass(frozen=True, slots=True)
class Within:
    """How far two KL means may lie apart.

    Attributes:
        value: The bound: nats, or a share of the KL mean of the first run.
        is_share: Whether it is a share.
    """

    value: float = 0.1
    is_share: bool = True

    @classmethod
    def parse(cls, text: str) -> Within:
        """Read ``10%`` (of the KL mean of the first run) or ``0.001`` (nats).

        Raises:
            InputError: It is neither, or not above 0.
        """
        number = text.strip().removesuffix("%")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise InputError(
                f"`{text}` is no bound of a difference",
                "10% is a share of the first run's KL mean, 0.001 is in nats",
            )
        is_share = number != text.strip()
        return cls(value / 100 if is_share else value, is_share)

    def nats(self, kl_mean: float) -> float:
        """The bound in nats.

        Args:
            kl_mean: That of the first run.
        """
        return self.value * abs(kl_mean) if self.is_share else self.value

    def __str__(self) -> str:
        if self.is_share:
            return f"{100 * self.value:g} % of A's KL mean"
        return f"{self.value:g} nats"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffSide:
    """One of the two runs.

    Attributes:
        run: Its id.
        model_id: Repo id, name of the folder, or ``demo``.
        model_revision: Commit of the repo; None for a folder.
        device: What it was scored on.
        arithmetic: What computed it, in one line.
        n_chunks: Its scored chunks, equal ones counted once.
        looks: After how many chunks it looks whether it is settled; empty where it does not stop
            by itself.
        stopped_at: After how many it stopped, because it was settled; None where it did not.
    """

    run: str
    model_id: str
    model_revision: str | None
    device: str
    arithmetic: str
    n_chunks: int
    looks: tuple[int, ...] = ()
    stopped_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HowDiffers:
    """A condition under which the runs were scored that is not the same.

    Attributes:
        name: What it is.
        a: In the first run; None where it does not say, or there is no such thing.
        b: In the second.
    """

    name: str
    a: str | None
    b: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingDiff:
    """One setting in both runs, on their common chunks.

    Attributes:
        setting: In notation.
        key_a: Comparability key of its row in the first run; None where it is not known.
        key_b: In the second.
        n_chunks: Common chunks.
        n_positions: Their scored positions.
        kl_mean_a: KL mean of the first run over them, nats; may be infinite.
        kl_mean_b: That of the second.
        difference: The second less the first, nats; None where one is infinite.
        interval: Its interval, paired by chunk; those of all settings, and of all looks of runs
            that stop once they are settled, hold together with 95 %. None where there is none.
        confidence: Of this one interval.
        unit: What is taken as independent.
        n_units: How many of those there are; 0 without an interval.
        label: What the interval speaks for where that is not any text of the kind; else "".
        within: How far the means may lie apart, nats.
        outcome: ``within`` where the interval lies within plus and minus that, ``beyond`` where it
            lies beyond, else ``neither``.
        flips_a: Positions whose most likely token differs from the reference's, in the first run.
        flips_b: In the second.
        flips_differ: Positions that flip in one of the runs only.
        top_quant_differs: Positions whose most likely token under the setting differs.
        top_ref_differs: Positions whose most likely token under the reference differs.
        perplexity_ref_a: Perplexity of the reference over the common chunks, in the first run.
        perplexity_ref_b: In the second.
        largest_change: The largest difference of KL of one position, nats.
    """

    setting: str
    key_a: str | None
    key_b: str | None
    n_chunks: int
    n_positions: int
    kl_mean_a: float
    kl_mean_b: float
    difference: float | None
    interval: Interval | None
    confidence: float
    unit: UnitKind
    n_units: int
    label: str = ""
    within: float
    outcome: Outcome
    flips_a: int
    flips_b: int
    flips_differ: int
    top_quant_differs: int
    top_ref_differs: int
    perplexity_ref_a: float
    perplexity_ref_b: float
    largest_change: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiff:
    """Two runs that scored the same, and how far their figures lie apart.

    Attributes:
        schema: Version of this form.
        a: The first run.
        b: The second.
        text: Name of the text.
        corpus_sha256: SHA-256 of the text.
        protocol: Of both.
        chunk_length: Tokens of a chunk.
        how: In what conditions they differ: this is what is compared.
        within: How far two KL means may lie apart.
        settings: The settings of both.
        only_a: Scored settings of the first run that are not compared.
        only_b: Those of the second.
        looks: At how many sets of common chunks the runs may have been compared, where one stops
            once it is settled: which it is depends on what they saw. Else 1.
    """

    schema: int = DIFF_SCHEMA
    a: DiffSide
    b: DiffSide
    text: str
    corpus_sha256: str
    protocol: str
    chunk_length: int
    how: tuple[HowDiffers, ...]
    within: Within
    settings: tuple[SettingDiff, ...]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = field(default=())
    looks: int = 1

    @property
    def exit_code(self) -> int:
        """0 if every setting is within, 4 if any is beyond, else 5."""
        outcomes = {each.outcome for each in self.settings}
        return BEYOND if "beyond" in outcomes else NEITHER if "neither" in outcomes else 0

    def to_json(self) -> dict[str, Any]:
        """The difference as JSON values; ``exit_code`` is among them."""
        values: dict[str, Any] = json_values(self, words=True)
        return values | {"exit_code": self.exit_code}
