"""``qfid bench --ranks``: what it adds up, and a real run of one rank and of two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from markdown_cells import cells

from scorer.bench import ranks
from scorer.bench.ranks import _Run, _write_text, measured_ranks, rank_counts
from scorer.bench.scoring import main
from scorer.bench.table import ranks_to_markdown
from scorer.common.errors import InputError
from scorer.device.backend import start_backend
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings


def test_numbers_of_ranks_are_compared_with_one() -> None:
    assert rank_counts("1, 2,4,2") == [1, 2, 4]
    for text in ("2,4", "", "1,x", "1,0"):
        with pytest.raises(InputError, match="no list of ranks that begins with one"):
            rank_counts(text)


def test_efficiency_is_of_the_fastest_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {1: [(3.0, 8.0), (1.0, 9.0)], 2: [(2.0, 5.0), (2.0, 6.0)]}

    warmed = []

    def run(job: Job, count: int, data: Path, *, whole: bool = False) -> _Run:
        if whole:
            warmed.append((count, job.max_chunks))
            return _Run(90.0, 90.0, 1.0, 0)
        return _Run(*made[count].pop(0), 1.0, 1600 * (count - 1), 2)

    monkeypatch.setattr(ranks, "_run", run)
    job = Job("demo", parse_settings("8"), CorpusSpec("builtin"), max_chunks=16)
    one, two = measured_ranks(job, None, start_backend(), [1, 2], 2)
    assert warmed == [(1, 1), (2, 2)]
    assert (one["efficiency"], one["scoring_s"], one["whole_s"]) == (1.0, 8.0, 10.0)
    assert two["efficiency"] == pytest.approx(8 / (2 * 5))
    assert two["efficiency_with_start"] == pytest.approx(10 / (2 * 7))
    # 14 chunks in 7 seconds, and 12 in 4.
    assert two["efficiency_after_first_batch"] == pytest.approx((12 / 4) / (2 * 14 / 7))
    assert two["gathered_bytes_per_chunk"] == 100
    page = {
        "model": "demo",
        "device": "cpu",
        "device_name": "x",
        "settings": ["8"],
        "chunks": 16,
        "chunk_length": 512,
        "repeats": 2,
        "ranks": [one, two],
    }
    table = [row for row in map(cells, ranks_to_markdown(page)) if row]
    assert table[-1][:6] == ["2", "2.00 s", "1.00 s", "5.00 s", "0.750", "0.800"]


def test_the_text_is_long_enough(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    _write_text(text, 200_000)
    lines = text.read_text("utf-8").splitlines()
    assert len(lines) > 1000 and len(text.read_text("utf-8")) > 2 * 200_000


@pytest.mark.slow
def test_it_measures_real_ranks(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "--ranks", "1,2", "--max-chunks", "6", "--chunk-length", "64"]
    assert main([*words, "--kv-bits", "8", "--repeats", "1", "--format", "json"]) == 0
    one, two = json.loads(capsys.readouterr().out)["ranks"]
    assert one["efficiency"] == 1 and 0 < two["efficiency"] < 2
    # 63 positions, of which the other rank has about half.
    assert 0 < two["gathered_bytes_per_chunk"] < 2 * 63 * 48
