"""Chunks of equal tokens: scored, stored, and counted once in every statistic."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tiny_runs import LENGTH, Small, cells, finished, planned, stopped

from scorer.report.from_run import finished_report
from scorer.runs.listing import find_run
from scorer.score import score
from scorer.spec.events import ChunkScored
from scorer.spec.job import CorpusSpec, Job
from scorer.stats.quantiles import quantile


@pytest.fixture
def job(small: Small, tmp_path: Any) -> Job:
    """Six chunks of which three are the first and two the second."""
    pieces = ["the quick brown fox jumps over a", "lazy dog, and a lazy cat too: 12"]
    other = "something else of its own here!!"
    assert {len(piece) for piece in (*pieces, other)} == {LENGTH}
    text = tmp_path / "repeating.txt"
    text.write_text("".join(pieces[i] for i in (0, 1, 0)) + other + pieces[0] + pieces[1])
    return small.job("8,4", corpus=CorpusSpec(str(text)), max_chunks=None, batch=1)


def test_equal_chunks_count_once_in_every_statistic(small: Small, job: Job) -> None:
    events = list(score(job))
    assert len(cells(events)) == 2 * 6
    assert planned(events).equal_chunks == {2: 0, 4: 0, 5: 1}
    report = finished(events).report
    assert report["run"]["chunks"] == [0, 1, 3]
    assert report["run"]["complete"] is True and report["run"]["chunks_planned"] == 3
    (warning,) = (w for w in report["run"]["warnings"] if "equal chunks" in w)
    assert warning == "3 of 6 chunks repeat the tokens of another: equal chunks count once"
    stored = find_run(planned(events).run).read()
    for row in report["settings"]:
        kl = [p.kl for p, _ in stored[row["setting"]] if int(p.chunk[0]) in (0, 1, 3)]
        assert row["n_chunks"] == row["intervals"]["n_units"] == 3
        assert row["n_positions"] == 3 * (LENGTH - 1)
        assert row["kl"]["mean"] == pytest.approx(sum(k.sum() for k in kl) / row["n_positions"])
        assert row["corpus"]["n_tokens"] == 3 * LENGTH


def test_one_text_over_and_over_leaves_every_verdict_open(small: Small, tmp_path: Any) -> None:
    text = tmp_path / "same.txt"
    text.write_text("\n" * (LENGTH * 8) + "a")
    corpus = CorpusSpec(str(text))
    report = finished(small.score("8,4", corpus=corpus, max_chunks=None)).report
    for row in report["settings"]:
        assert row["n_chunks"] == 1
        assert row["verdict_shown"] == f"{row['verdict']}?"


@pytest.mark.parametrize("stop", [None, 3])
def test_the_live_p99_is_that_of_the_report(job: Job, stop: int | None) -> None:
    """Also where a part was scored by an earlier process, and chunks repeat."""
    if stop is None:
        events = list(score(job))
    else:
        events = list(score(job, run=planned(stopped(job, stop)).run))
    last = {e.setting: e for e in events if isinstance(e, ChunkScored)}
    for row in finished(events).report["settings"]:
        event = last[row["setting"]]
        assert event.kl_p99_so_far == row["kl"]["p99"]
        assert event.positions_so_far == row["n_positions"]
    first = next(e for e in events if isinstance(e, ChunkScored))
    if stop is None:
        stored = find_run(planned(events).run).read()[first.setting]
        assert first.kl_p99_so_far == quantile(stored[0][0].kl, 0.99)


def test_facts_that_do_not_say_drop_nothing(job: Job) -> None:
    run = find_run(planned(list(score(job))).run)
    assert run.facts.run is not None and run.facts.run.equal_chunks == {2: 0, 4: 0, 5: 1}
    path = run.path / "job.json"
    data = json.loads(path.read_text("utf-8"))
    del data["facts"]["run"]["equal_chunks"]
    path.write_text(json.dumps(data), "utf-8")
    assert finished_report(find_run(run.id)).run.chunks == (0, 1, 2, 3, 4, 5)
