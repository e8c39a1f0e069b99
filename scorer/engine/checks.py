"""Checks of a run's stored positions before its report is made."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scorer.common.errors import OtherConditions, SettingFailed
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import WeightsSource, cache_of, weights_of
from scorer.stats.positions import Positions

if TYPE_CHECKING:
    from scorer.report.from_run import Batches
    from scorer.runs.chunk_facts import ChunkFacts
    from scorer.text.chunks import ChunkedCorpus


def check_drift(
    stored: Batches, unquantized: Collection[WeightsSource] = ()
) -> dict[str, SettingFailed]:
    """Find settings whose quantization cannot have engaged.

    A drift of exactly zero everywhere means that nothing was quantized. Two settings that ask for
    different computations and give the same KL in every bit mean that one of them was not done.

    Args:
        stored: The run's batches by the setting they are stored under.
        unquantized: Weights that may be the reference's own to the last bit, as those of a GGUF
            file in float16 are: they count as the reference's.

    Returns:
        Setting in notation to its failure.
    """
    failures: dict[str, SettingFailed] = {}
    for name, batches in stored.items():
        if _is_reference(name, unquantized):
            continue
        if batches and not any(p.kl.any() or p.flips.any() for p, _ in batches):
            failures[name] = SettingFailed(
                f"setting `{name}`: quantization did not engage: the drift is exactly zero "
                f"at all {sum(len(p) for p, _ in batches)} positions",
                "this is no perfect score; please report the model and the command",
            )
    for one, other in itertools.combinations(sorted(stored), 2):
        if not {one, other} & failures.keys() and _differ(one, other, unquantized):
            if _same_kl(stored[one], stored[other]):
                for name, twin in ((one, other), (other, one)):
                    failures[name] = SettingFailed(
                        f"setting `{name}` gives the same KL as `{twin}` in every bit: one of "
                        "them did not engage",
                        "neither figure can be trusted; please report the model and the command",
                    )
    return failures


def check_tokens(run: str, stored: Batches, corpus: ChunkedCorpus) -> None:
    """Check that a saved run was scored on the tokens that the text has now.

    The same files may become other tokens under another version of a library or of this package.

    Args:
        run: Id of the run.
        stored: Its batches by the setting they are stored under.
        corpus: The chunks as they are now.

    Raises:
        OtherConditions: A chunk has other tokens.
    """
    rows = {chunk: row for row, chunk in enumerate(corpus.indices)}
    for batches in stored.values():
        for positions, _ in batches:
            chunk = int(positions.chunk[0])
            if chunk not in rows:
                continue
            now = corpus.ids[rows[chunk], positions.position + 1]
            if not np.array_equal(positions.token, now):
                raise OtherConditions(
                    f"run `{run}` was scored on other tokens: its text is cut otherwise now, first "
                    f"in chunk {chunk}",
                    "score anew with `qfid kv`, or mix the two with --accept-changes",
                )


def _is_reference(name: str, unquantized: Collection[WeightsSource]) -> bool:
    setting = parse_setting(name)
    return cache_of(setting) is None and weights_of(setting) in unquantized


def _differ(one: str, other: str, unquantized: Collection[WeightsSource]) -> bool:
    """Whether two settings ask for different functions.

    Paths to the same function are set aside, and so are weights of two sources: a repo can hold
    what is made of the reference.
    """
    a, b = (parse_setting(name).control() for name in (one, other))
    if any(weights_of(setting) in unquantized for setting in (a, b)):
        return cache_of(a) != cache_of(b)
    if weights_of(a) is not None and weights_of(b) is not None:
        return cache_of(a) != cache_of(b)
    return a != b


def _same_kl(
    one: Sequence[tuple[Positions, ChunkFacts]], other: Sequence[tuple[Positions, ChunkFacts]]
) -> bool:
    """Whether KL is equal in every bit on all chunks that both have, in ascending order.

    Stops at the first difference: no more is read of the two.
    """
    others = (positions for positions, _ in other)
    found, theirs = False, next(others, None)
    for own, _ in one:
        while theirs is not None and theirs.chunk[0] < own.chunk[0]:
            theirs = next(others, None)
        if theirs is not None and theirs.chunk[0] == own.chunk[0]:
            if not np.array_equal(own.kl, theirs.kl):
                return False
            found = True
    return found
