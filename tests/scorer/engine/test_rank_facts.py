"""What ranks must have in common."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tiny_runs import Small

from scorer.device.backend import start_backend
from scorer.engine.preparation import Preparation
from scorer.engine.rank_facts import difference, facts_of


@pytest.fixture
def facts(small: Small) -> dict[str, Any]:
    backend = start_backend()
    preparation = Preparation(small.job("8,w8:32"), backend, None)
    for _ in preparation.steps():
        pass
    prepared = preparation.result
    assert prepared is not None
    found = facts_of(prepared, backend, hashed=True)
    prepared.release()
    preparation.close()
    made: dict[str, Any] = json.loads(json.dumps(found))
    return made


def test_equal_ranks_differ_in_nothing(facts: dict[str, Any]) -> None:
    assert facts["identity"]["model content"] and facts["versions"]["mlx"]
    # Passes of another size are agreed on, not refused.
    other = facts | {"size": [7, 7]}
    assert difference(facts, other) == []
    # Files that are the same are hashed by rank 0 alone.
    unhashed = facts | {"identity": facts["identity"] | {"model content": None}}
    assert difference(facts, unhashed) == []
    elsewhere = unhashed | {"host": "elsewhere"}
    assert len(difference(facts, elsewhere)) == 1


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("versions", {"mlx": "0.1"}, "mlx (`0.1`, rank 0 has"),
        ("identity", {"model": "other"}, "model (`other`, rank 0 has"),
        ("identity", {"BLAS": "another"}, "BLAS (`another`, rank 0 has"),
        ("identity", {"corpus": "0"}, "corpus (`0`, rank 0 has"),
        ("identity", {"new": 3}, "new (`3`, rank 0 has `None`)"),
        ("stamps", {"model.safetensors": [1, 2, 3]}, "model content (`None`, rank 0 has"),
    ],
)
def test_a_difference_is_named(
    facts: dict[str, Any], part: str, change: dict[str, Any], words: str
) -> None:
    other = facts | {part: facts[part] | change}
    if part == "stamps":
        other["identity"] = facts["identity"] | {"model content": None}
    (found,) = difference(facts, other)
    assert found.startswith(words)


def test_other_kernels_are_a_difference(facts: dict[str, Any]) -> None:
    other = facts | {"arithmetic": ["codes" for _ in facts["arithmetic"]]}
    assert difference(facts, other) == ["other kernels for the settings"]
