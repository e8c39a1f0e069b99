"""Roles in runs: what is stored with a cell is whose each of its positions is."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from positions_files import positions

from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.grid import CellKey
from scorer.runs.positions_file import PositionsWriter
from scorer.runs.role_runs import counted_positions, counted_rows, roles_at, runs_of
from scorer.runs.stored_chunks import stored_chunks

NAMES = ("template", "user", "assistant")


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.sets(st.sampled_from(NAMES)))
def test_runs_are_the_roles_of_the_positions(codes: list[int], counted: set[str]) -> None:
    runs = runs_of(np.array(codes, np.uint8), NAMES)
    assert roles_at(runs, len(codes)) == [NAMES[code] for code in codes]
    assert all(a[0] != b[0] for a, b in itertools.pairwise(runs))
    facts = ChunkFacts(roles=runs)
    assert ChunkFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
    kept = [c for c in codes if not counted or NAMES[c] in counted]
    assert counted_rows(runs, counted, len(codes)) == len(kept)


def test_a_file_keeps_them_and_gives_those_that_count(tmp_path: Path) -> None:
    path = tmp_path / "positions.arrow"
    whole = positions(3, 9, 1)
    n = len(whole)
    runs = (("user", 2), ("assistant", n - 3), ("user", 1))
    with PositionsWriter(path) as writer:
        writer.append(CellKey("8", 3), whole, ChunkFacts(roles=runs))
        writer.append(CellKey("8", 4), positions(4, 9, 2), ChunkFacts(roles=(("user", n),)))
        writer.append(CellKey("4", 4), positions(4, 9, 3), ChunkFacts(roles=(("user", n),)))
    stored = stored_chunks(path, ("assistant",))
    assert list(stored) == ["8"]
    chunks = stored["8"]
    assert chunks.chunks == [3] and chunks.sizes == [n - 3]
    (own,) = chunks.positions()
    assert own.position.tolist() == whole.position[2:-1].tolist()
    assert len(chunks.columns()) == n - 3
    assert list(chunks.roles()) == [["assistant"] * (n - 3)]
    assert chunks.of_all_roles().sizes == [n]
    assert list(chunks.of_all_roles().roles()) == [
        ["user"] * 2 + ["assistant"] * (n - 3) + ["user"]
    ]
    assert stored_chunks(path)["8"].sizes == [n, n]
    assert chunks[:1].only({3}).without({9}).sizes == [n - 3]


def test_a_run_of_an_earlier_version_knows_of_no_roles(tmp_path: Path) -> None:
    path = tmp_path / "positions.arrow"
    with PositionsWriter(path) as writer:
        writer.append(CellKey("8", 0), positions(0, 9, 1), ChunkFacts())
    (chunks,) = stored_chunks(path).values()
    assert not chunks.has_roles
    assert set(next(chunks.roles())) == {""}
    whole = positions(0, 9, 1)
    assert counted_positions(whole, (), ()) is whole


@pytest.mark.parametrize("roles", [[["a"]], [["a", 0]], [[1, 2]], [["a", 1.5]], "ab", 7])
def test_roles_of_another_form_are_no_facts(roles: object) -> None:
    with pytest.raises(ValueError, match="another type"):
        ChunkFacts.from_json({"roles": roles})
