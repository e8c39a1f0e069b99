"""Which rows may be ranked together: what their figures depend on is equal, chunks apart.

A key holds everything that a row's figures depend on beside the setting itself. Only rows without
a difference share a frontier, a rank or a scale. Statements about several of them use the chunks
that they have in common (:func:`common_chunks`). Pure standard library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from scorer.runs.facts import StoredFacts
from scorer.runs.identity import Identity, identity_hash
from scorer.spec.settings.base import Setting

ROW = TypeVar("ROW")

WHAT = ("model files", "model content", "corpus", "tokenizer", "protocol", "chunk length")
"""Conditions that say what was scored; all others say how."""

# Names, which the hash of the files makes needless, and the chunks, which the key holds apart.
_LEFT_OUT = ("model", "model revision", "chunks")
_MIXED = "changes accepted on resume"
ROLES = "roles"
"""The condition that names the roles of a chat text that count, where not all do."""
# A run that lacks one of these does not say: it is of an earlier version.
_EXPECTED = (
    *("model files", "model content", "corpus", "tokenizer", "tokenizer versions", "protocol"),
    *("chunk length", "batch", "kernel", "device", "compute dtype", "arithmetic"),
    *("mlx version", "mlx-lm version"),
)
_EXPECTED_ON_A_CPU = ("BLAS version",)
_EXPECTED_OF_NUMPY = ("NumPy BLAS",)
# Values of these are hashes, which say nothing to a reader.
_WITHOUT_VALUE = {
    "model files": "files of the model",
    "model content": "content of the model's files",
    "corpus": "text",
    "tokenizer": "tokenizer",
    _MIXED: _MIXED,
}
_SHOWN = 30
_DIGEST_LENGTH = 12


def fingerprint_digest(fingerprint: Identity) -> str | None:
    """What a setting's key resolved to, in 12 hexadecimal digits; None for nothing.

    Args:
        fingerprint: As a run stores it: revision and content of a repo or folder.
    """
    return identity_hash(fingerprint)[:_DIGEST_LENGTH] if fingerprint else None


def words_of(name: str) -> str:
    """A condition in words: ``files of the model``."""
    return _WITHOUT_VALUE.get(name, name)


def run_conditions(facts: StoredFacts) -> Identity:
    """What all rows of a run have in common: its identity without the chunks and without names.

    Args:
        facts: What the run has stored.
    """
    found = {name: value for name, value in facts.identity.items() if name not in _LEFT_OUT}
    # What was not known each time that the run went on is not known of all its chunks.
    found |= dict.fromkeys(name for name in facts.unknown if name in found)
    if facts.mixed:
        found[_MIXED] = "; ".join(facts.mixed)
    return found


@dataclass(frozen=True, slots=True)
class ComparabilityKey:
    """What the figures of a row depend on beside the setting.

    Attributes:
        run: Id of the run; rows of one run are under the same conditions.
        conditions: Those of the run, see :func:`run_conditions`; None where they are not known.
        start: First tokens kept at full precision, whose positions are not scored.
        path: ``deployed`` or ``dequantized``.
        chunks: Indices of the chunks that the figures rest on, those left out that repeat another.
        setting: The setting in notation; "" where that is not asked.
        fingerprint: What its own weights resolved to, see :func:`fingerprint_digest`; None where
            the notation says everything, or it is not known.
    """

    run: str
    conditions: Identity | None
    start: int
    path: str
    chunks: frozenset[int]
    setting: str = ""
    fingerprint: str | None = None

    @classmethod
    def of(
        cls,
        setting: Setting,
        chunks: Iterable[int],
        run: str = "",
        conditions: Identity | None = None,
        fingerprint: str | None = None,
    ) -> ComparabilityKey:
        """The key of a row.

        Args:
            setting: Its setting.
            chunks: The chunks that its figures rest on.
            run: Id of its run.
            conditions: Those of the run; None where they are not known.
            fingerprint: What its own weights resolved to.
        """
        chosen = frozenset(chunks)
        return cls(run, conditions, setting.start, setting.path, chosen, setting.key, fingerprint)

    @property
    def digest(self) -> str | None:
        """The key in 12 hexadecimal digits, chunks apart; None where a condition is not known.

        Rows of two runs have equal digests where :meth:`differences` finds none. The fingerprint is
        no part of it: rows of other weights may be ranked.
        """
        known = self.conditions
        if known is None or any(known.get(name) is None for name in (*known, *_expected(known))):
            return None
        text = json.dumps([dict(known), self.start, self.path], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]

    def differences(self, other: ComparabilityKey) -> tuple[str, ...]:
        """In what another row differs from this one, chunks apart; empty where they may be ranked.

        Of two runs, what one of them does not know counts as different. One setting can name other
        weights in each: those of a folder that has changed.

        Returns:
            One part a difference, in words: ``chunk length 256, not 512``, ``text``, ``batch
            unknown``.
        """
        found = []
        if self.run != other.run:
            found += _run_differences(self.conditions, other.conditions)
        if self.start != other.start:
            found.append(f"first {other.start} tokens at full precision, not {self.start}")
        if self.path != other.path:
            found.append(f"{other.path} path, not {self.path}")
        prints = {self.fingerprint, other.fingerprint} - {None}
        if self.setting == other.setting and len(prints) > 1:
            found.append("other weights of that name")
        return tuple(found)


def _expected(conditions: Identity) -> Iterator[str]:
    """The fields that this version records of a run under these conditions."""
    yield from _EXPECTED
    if str(conditions.get("device")).startswith("cpu "):
        yield from _EXPECTED_ON_A_CPU
        if conditions.get("arithmetic") == "numpy":
            yield from _EXPECTED_OF_NUMPY


def _run_differences(these: Identity | None, those: Identity | None) -> list[str]:
    if these is None or those is None:
        return ["conditions unknown"]
    found = []
    for name in dict.fromkeys((*_expected(these), *_expected(those), *these, *those)):
        words = _WITHOUT_VALUE.get(name, name)
        if name == _MIXED:
            # Absent where nothing was mixed.
            if these.get(name) != those.get(name):
                found.append(words)
        elif name == ROLES:
            # Absent where all tokens count.
            ours, theirs = these.get(name) or "all", those.get(name) or "all"
            if ours != theirs:
                found.append(f"scored roles {_shown(theirs)}, not {_shown(ours)}")
        elif these.get(name) is None or those.get(name) is None:
            found.append(f"{words} unknown")
        elif these[name] != those[name]:
            value = name not in _WITHOUT_VALUE
            found.append(
                f"{words} {_shown(those[name])}, not {_shown(these[name])}" if value else words
            )
    return found


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def comparable_groups(
    rows: Sequence[ROW], key_of: Callable[[ROW], ComparabilityKey]
) -> list[list[ROW]]:
    """Split rows into groups that may be ranked, each in the order given.

    Args:
        rows: The rows.
        key_of: Gives the key of a row.
    """
    groups: list[list[ROW]] = []
    for row in rows:
        key = key_of(row)
        for group in groups:
            if not key_of(group[0]).differences(key):
                group.append(row)
                break
        else:
            groups.append([row])
    return groups


def common_chunks(keys: Iterable[ComparabilityKey]) -> frozenset[int]:
    """The chunks that all rows of a group have; what is said about several rows rests on them."""
    sets = [key.chunks for key in keys]
    return frozenset.intersection(*sets) if sets else frozenset()


def precedence(key: ComparabilityKey) -> tuple[bool, int]:
    """Which of several groups one choice is made from: the least.

    What a runtime computes comes before the quantizer alone, and stress, which scores every
    position, before deployment.
    """
    return key.path != "deployed", key.start
