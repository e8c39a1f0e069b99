"""A real model on a real text: SmolLM2 with 4-bit weights on WikiText-2."""

from __future__ import annotations

import hashlib
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from real_models import REPO, use_real_cache
from tiny_runs import finished, planned

from scorer.runs.listing import find_run
from scorer.score import score
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings
from scorer.text.wikitext import read_wikitext2

pytestmark = pytest.mark.real

MODEL = f"{REPO}-4bit"
SETTINGS = ("8", "4", "3", "2")
# 30 layers, 3 heads of 64: codes, and a 16-bit scale and bias per group of 64.
BYTES = {"8": 12_240, "4": 6_480, "3": 5_040, "2": 3_600}
REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"
WIKI_TEST_RAW = "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The events of one run of two chunks, and the run."""
    with pytest.MonkeyPatch.context() as patch:
        use_real_cache(patch, tmp_path_factory.mktemp("real"), MODEL)
        job = Job(MODEL, parse_settings(",".join(SETTINGS)), max_chunks=2)
        events = list(score(job))
        assert finished(events).complete
        return events, find_run(planned(events).run)


def test_drift_rises_as_bits_fall(run: Any) -> None:
    rows = finished(run[0]).report["settings"]
    assert [row["setting"] for row in rows] == list(SETTINGS)
    means = [row["kl"]["mean"] for row in rows]
    # A factor of several from each width to the next, far above what rounding moves.
    assert all(b > 3 * a for a, b in itertools.pairwise(means)) and means[0] > 0
    flips = [row["flip_rate"] for row in rows]
    assert flips == sorted(flips)
    assert [row["verdict"] for row in rows][2:] == ["bad", "bad"]
    for row in rows:
        assert row["kl"]["median"] < row["kl"]["p99"] < row["kl"]["max"] < math.inf
        assert 5 < row["perplexity_ref"] < 100


def test_the_corpus_is_the_one_defined(run: Any) -> None:
    report = finished(run[0]).report
    corpus = report["run"]["corpus"]
    assert corpus["dataset_revision"] == REVISION and corpus["bos_policy"] == "none"
    assert (corpus["total_chunks"], corpus["n_tokens"]) == (595, 2 * 512)
    assert (corpus["name"], corpus["split"]) == ("wikitext-2-raw", "test")
    for row in report["settings"]:
        assert (row["n_chunks"], row["n_positions"]) == (2, 2 * 511)
        assert row["kv_bytes_per_token"] == BYTES[row["setting"]]
        assert row["kv_bytes_per_token_16bit"] == 23_040
        assert (row["kv_layers_quantized"], row["kv_layers_total"]) == (30, 30)
    assert report["reference"]["weight_bits"] == 4


def test_the_texts_of_both_protocols_are_byte_for_byte_known(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_real_cache(monkeypatch, tmp_path, MODEL)
    raw = read_wikitext2("llama.cpp")
    assert len(raw.text.encode()) == 1_290_590 and raw.sha256 == WIKI_TEST_RAW
    ours = read_wikitext2("mqf")
    assert ours.sha256 == finished(run[0]).report["run"]["corpus"]["sha256"]
    assert ours.sha256 == hashlib.sha256(ours.text.encode()).hexdigest() != raw.sha256
    assert len(ours.documents) == 60


def test_every_position_is_stored(run: Any) -> None:
    events, saved = run
    stored = saved.read()
    assert set(stored) == set(SETTINGS)
    for batches in stored.values():
        assert [int(positions.chunk[0]) for positions, _ in batches] == [0, 1]
        for positions, _ in batches:
            assert positions.position.tolist() == list(range(511))
            assert positions.token.min() >= 0 and positions.token.max() < 49_152
            assert (positions.kl > -1e-7).all()
    references = [[p.nll_ref.tolist() for p, _ in batches] for batches in stored.values()]
    assert all(reference == references[0] for reference in references)
    assert saved.report() == finished(events).report
