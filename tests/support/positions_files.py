"""Positions files of small random batches: what is appended, and what is found in a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from scorer.runs.chunk_facts import ChunkFacts, SmallerPass
from scorer.runs.grid import CellKey
from scorer.runs.positions_file import PositionsWriter, read_positions
from scorer.stats.noise_floor import PerturbedRepeats
from scorer.stats.positions import Positions

BATCHES = [CellKey("8", 0), CellKey("k8v4:32@1~dequantized", 0), CellKey("8", 7)]
FACTS = ChunkFacts(
    seconds=0.5,
    peak_memory_bytes=7,
    smaller_pass=SmallerPass(1, 1 << 24),
    perturbed=PerturbedRepeats((0.1, 1e300), (0, 3), ((0.1, 1e-320), (2.0, 1.0))),
)


def positions(chunk: int, rows: int = 3, seed: int = 0) -> Positions:
    random = np.random.default_rng((chunk, rows, seed))

    def ints() -> np.ndarray:
        return random.integers(0, 49152, rows, dtype=np.int32)

    return Positions(
        chunk=np.full(rows, chunk, np.int32),
        position=np.arange(rows, dtype=np.int32),
        token=ints(),
        kl=random.random(rows),
        nll_ref=random.random(rows),
        nll_quant=random.random(rows),
        top_ref=ints(),
        top_ref_logprob=-random.random(rows),
        top_quant=ints(),
        top_quant_logprob=-random.random(rows),
    )


def same(a: Positions, b: Positions) -> bool:
    return all(
        getattr(a, field.name).dtype == getattr(b, field.name).dtype
        and np.array_equal(getattr(a, field.name), getattr(b, field.name))
        for field in dataclasses.fields(Positions)
    )


def three_batches(folder: Path) -> Path:
    """A stream of three small batches."""
    path = folder / "positions.arrow"
    with PositionsWriter(path) as writer:
        for key in BATCHES:
            assert writer.append(key, positions(key.chunk), FACTS)
    return path


def keys(path: Path) -> list[CellKey]:
    """The cells of a file, in file order."""
    return [chunk.key for chunk in read_positions(path)]
