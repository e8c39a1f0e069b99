"""The passages in which a setting drifts most, as values, and how they are found in a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scorer.common.errors import QfidError

if TYPE_CHECKING:
    from scorer.report.setting_row import SettingRow
    from scorer.report.tree import Report
    from scorer.runs.run import Run
    from scorer.runs.stored_chunks import StoredChunks
    from scorer.stats.positions import Positions

PER_SETTING = 3
MOST_SETTINGS = 12
"""Settings whose positions are read; the first of :func:`settings_in_turn`."""
BEFORE, AFTER = 32, 16
"""Tokens of a passage around the one that drifts most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageToken:
    """A token of a passage.

    Attributes:
        token: Its id.
        kl: KL where it was predicted, nats; may be +inf.
        flipped: Whether the top token changed there.
        text: What is shown of it, inert; "" where it is not known.
    """

    token: int
    kl: float
    flipped: bool
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a model wanted to say next.

    Attributes:
        token: The id.
        probability: What the model gave it, 0 to 1.
        text: What is shown of it, inert; "" where it is not known.
    """

    token: int
    probability: float
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Tokens that follow each other, around one with a large KL.

    Attributes:
        setting: The setting in notation.
        chunk: Index of the chunk in the text.
        position: Position in the chunk at which the KL is largest.
        worst: Which of the tokens was predicted there.
        tokens: The tokens, those that went through the model with the setting.
        reference: What the reference wanted there.
        quantized: What the quantized model wanted there.
        first: Whether the passage begins with the first scored token of its chunk.
        last: Whether it ends with the last one.
    """

    setting: str
    chunk: int
    position: int
    worst: int
    tokens: tuple[PassageToken, ...]
    reference: Wanted
    quantized: Wanted
    first: bool
    last: bool

    @property
    def kl(self) -> float:
        """The largest KL, nats."""
        return self.tokens[self.worst].kl


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages:
    """The passages of a report.

    Attributes:
        found: Setting to its passages, the largest KL first.
        left_out: Scored settings whose positions were not looked at: there are very many.
        notice: What the reader should know, such as why ids stand for text; mostly "".
    """

    found: dict[str, tuple[Passage, ...]] = field(default_factory=dict)
    left_out: int = 0
    notice: str = ""

    @property
    def ids(self) -> set[int]:
        """The ids of all tokens that are shown."""
        return {
            token
            for passages in self.found.values()
            for passage in passages
            for token in (
                *(each.token for each in passage.tokens),
                passage.reference.token,
                passage.quantized.token,
            )
        }


def settings_in_turn(report: Report) -> list[SettingRow]:
    """The settings with positions of their own: the recommended one, the frontier, the others."""
    best = report.recommendation.setting if report.recommendation else ""
    rows = [row for row in report.settings if row.numbers is not None and row.same_as is None]
    return sorted(rows, key=lambda row: (row.setting != best, not row.on_frontier))


def worst_passages(run: Run, report: Report) -> Passages:
    """Find the passages around the positions of the largest KL, without their text.

    The positions are read chunk by chunk. Where they cannot be read there are no passages, and
    ``notice`` says why.

    Args:
        run: The run.
        report: Its report.
    """
    wanted = settings_in_turn(report)
    found = {}
    try:
        stored = run.read()
        for row in wanted[:MOST_SETTINGS]:
            chunks = stored.get(row.setting)
            if chunks is not None:
                own = chunks.only(set(report.chunks_of(row)))
                found[row.setting] = tuple(_passages(row.setting, own))
    except QfidError as error:
        return Passages(notice=f"The positions of the run cannot be read: {error.message}.")
    return Passages(
        found={setting: passages for setting, passages in found.items() if passages},
        left_out=max(0, len(wanted) - MOST_SETTINGS),
    )


def _passages(setting: str, chunks: StoredChunks) -> Iterable[Passage]:
    best: list[tuple[float, int, int]] = []
    for number, positions in enumerate(chunks.positions()):
        best += [(float(positions.kl[i]), number, i) for i in _peaks(positions)]
        best = sorted(best, key=lambda peak: (-peak[0], peak[1:]))[:PER_SETTING]
    for _, number, at in best:
        position = int(chunks[number][0].position[at])
        # Around it stand tokens of roles that do not count, too.
        whole, _ = chunks[number : number + 1].of_all_roles()[0]
        yield passage_at(setting, whole, whole.position.tolist().index(position))


def _peaks(positions: Positions) -> list[int]:
    """Rows of the largest KL of a chunk, whose passages do not overlap."""
    kl: Sequence[float] = positions.kl.tolist()
    found: list[int] = []
    for i in sorted(range(len(kl)), key=lambda i: (-kl[i], i)):
        if kl[i] <= 0 or len(found) == PER_SETTING:
            break
        if all(abs(i - other) > BEFORE + AFTER for other in found):
            found.append(i)
    return found


def passage_at(setting: str, positions: Positions, at: int) -> Passage:
    """The passage around a row of a chunk's positions, which follow each other."""
    first, end = max(0, at - BEFORE), min(len(positions), at + AFTER + 1)
    flips = positions.flips
    return Passage(
        setting=setting,
        chunk=int(positions.chunk[at]),
        position=int(positions.position[at]),
        worst=at - first,
        tokens=tuple(
            PassageToken(
                token=int(positions.token[i]),
                kl=float(positions.kl[i]),
                flipped=bool(flips[i]),
            )
            for i in range(first, end)
        ),
        reference=_wanted(positions.top_ref[at], positions.top_ref_logprob[at]),
        quantized=_wanted(positions.top_quant[at], positions.top_quant_logprob[at]),
        first=first == 0,
        last=end == len(positions),
    )


def _wanted(token: int, logprob: float) -> Wanted:
    return Wanted(token=int(token), probability=math.exp(min(float(logprob), 0.0)))
