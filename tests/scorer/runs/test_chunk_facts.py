"""Facts of a chunk as JSON: as version 1 wrote them, and nothing of another type."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest
from project import ROOT

from scorer.runs.chunk_facts import ChunkFacts, SmallerPass
from scorer.runs.engagement import Engagement, SideEngagement
from scorer.stats.noise_floor import PerturbedRepeats

SIDE = SideEngagement("3.1", "k", "DequantizedKVCache", 4, 64, 31, None, True)
FULL = ChunkFacts(
    seconds=0.25,
    peak_memory_bytes=1 << 40,
    smaller_pass=SmallerPass(2, 1 << 24),
    engagement=Engagement((SIDE,), 1, (("0", "never filled"),)),
    perturbed=PerturbedRepeats((0.1, 5e-324), (0, 3), ((0.1, 1e-320), (2.0, 1.0))),
)


@pytest.mark.parametrize("facts", [FULL, ChunkFacts()])
def test_facts_come_back_from_their_json(facts: ChunkFacts) -> None:
    text = json.dumps(facts.to_json(), allow_nan=False)
    assert ChunkFacts.from_json(json.loads(text)) == facts


def test_what_is_not_set_is_left_out() -> None:
    assert ChunkFacts(seconds=1.5).to_json() == {"seconds": 1.5, "peak_memory_bytes": 0}
    assert list(FULL.to_json()) == [
        "seconds",
        "peak_memory_bytes",
        "pass",
        "engagement",
        "perturbed_kl_sums",
        "perturbed_flips",
        "perturbed_largest_kl",
    ]


def test_repeats_of_an_earlier_version_are_read() -> None:
    """It kept no more than the sums of KL."""
    found = ChunkFacts.from_json({"perturbed_kl_sums": [0.1, 0.2]})
    assert found.perturbed == PerturbedRepeats(kl_sums=(0.1, 0.2))
    assert ChunkFacts.from_json(found.to_json()) == found


def test_facts_of_a_saved_run_are_read_and_written_as_they_were() -> None:
    saved = (ROOT / "tests" / "golden" / "saved_run" / "positions.arrow").read_bytes()
    with pa.ipc.open_stream(saved) as reader:
        texts = [
            metadata[b"facts"].decode()
            for _, metadata in reader.iter_batches_with_custom_metadata()
        ]
    found = [ChunkFacts.from_json(json.loads(text)) for text in texts]
    assert [json.dumps(facts.to_json()) for facts in found] == texts
    assert sum(facts.engagement is not None for facts in found) == 2


def test_keys_of_a_later_version_are_ignored() -> None:
    later: Any = FULL.to_json() | {"energy_joules": 3}
    later["pass"]["layers"] = 4
    later["engagement"]["sides"][0]["quantizer"] = "affine"
    assert ChunkFacts.from_json(later) == FULL
    assert ChunkFacts.from_json({}) == ChunkFacts()


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "x",
        {"seconds": "1"},
        {"seconds": True},
        {"seconds": None},
        {"seconds": float("inf")},
        {"seconds": 10**400},
        {"peak_memory_bytes": 1.0},
        {"pass": {"tile_bytes": 1}},
        {"pass": [1, 2]},
        {"engagement": {"sides": [], "quantized": 1}},
        {"engagement": {"sides": [{}], "quantized": 1, "skipped": []}},
        {"engagement": {"sides": 3, "quantized": 1, "skipped": []}},
        {"perturbed_kl_sums": 3},
        {"perturbed_kl_sums": ["x"]},
        {"perturbed_flips": [0.5]},
        {"perturbed_largest_kl": [1.0]},
        {"perturbed_largest_kl": [["x"]]},
    ],
)
def test_a_known_key_of_another_type_is_refused(data: Any) -> None:
    with pytest.raises(ValueError):
        ChunkFacts.from_json(data)
