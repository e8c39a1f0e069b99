"""Where chunks and positions of a run stand, live and reopened."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
from begun_comparisons import begun, job
from cli_saved_runs import (
    CHUNKS,
    chunk_scored,
    opening,
    report_of,
    save_run,
)
from hypothesis import given
from hypothesis import strategies as st

from qfid_tui.state.chart_points import depth_spans
from qfid_tui.state.choices import Choices
from qfid_tui.state.saved_comparison import open_comparison, saved_chunks
from qfid_tui.state.setting_results import SettingResult
from qfid_tui.state.table_rows import table_rows
from scorer.spec.events import (
    Finished,
)
from scorer.stats.depth import depth_edges


def test_kl_by_position_grows_with_the_chunks_and_ends_as_the_reports() -> None:
    run = save_run()
    comparison = begun()
    for event in opening(run):
        comparison.add(event)
    rows = {row.name: row for row in table_rows(Choices(), comparison, None)}
    assert depth_spans(comparison, rows["8"]) == []
    for event in saved_chunks(run):
        comparison.add(event)
    live = {name: depth_spans(comparison, rows[name]) for name in ("8", "4")}
    comparison.add(Finished(report_of(run)))
    for name, spans in live.items():
        final = depth_spans(comparison, rows[name])
        assert [span[:2] for span in spans] == [span[:2] for span in final] and len(spans) == 8
        for (*_, got), (*_, expected) in zip(spans, final, strict=True):
            assert got == pytest.approx(expected, rel=1e-12)


def test_a_chunk_of_another_length_has_no_part_in_the_spans() -> None:
    result = SettingResult("8")
    result.add(dataclasses.replace(chunk_scored("8", 0, 0.1), kl_by_depth=[1.5] * 8))
    for chunk, change in enumerate(
        ({"positions": 7}, {"kl_by_depth": [1.0]}, {"kl_by_depth": []}), start=1
    ):
        event = dataclasses.replace(
            chunk_scored("8", chunk, 0.1), **{"kl_by_depth": [9.0] * 8, **change}
        )
        result.add(event)
    assert [span[:2] for span in result.depth] == list(pairwise(depth_edges(15)))
    assert result.depth[0][2] == 1.5 / 1 and result.depth[1][2] == 1.5 / 2


@given(st.integers(0, 5000))
def test_spans_cover_a_chunk(positions: int) -> None:
    edges = depth_edges(positions)
    assert edges[0] == 0 and edges[-1] == positions and len(edges) == min(8, positions) + 1
    sizes = [end - start for start, end in pairwise(edges)]
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_chunks_stand_in_the_order_of_the_text_with_gaps_live_and_reopened() -> None:
    run = save_run("8", finished=False, chunks=0)
    comparison = begun("8")
    for event in opening(run):
        comparison.add(event)
    for chunk, kl in ((2, 0.3), (0, 0.1)):
        comparison.add(chunk_scored("8", chunk, kl))
        assert comparison.settings["8"].in_text[0][chunk] == kl
    [row] = [row for row in table_rows(Choices(), comparison, None) if row.name == "8"]
    assert row.in_text == ([0.1, None, 0.3, None], [0.0, None, 0.0, None])
    assert comparison.settings["8"].kl == [0.3, 0.1]

    saved = save_run("8", finished=False, chunks=3)
    reopened = open_comparison(saved.id)
    kl, flips = reopened.settings["8"].in_text
    assert kl[:3] == reopened.settings["8"].kl and kl[3] is None
    assert len(flips) == CHUNKS and flips[3] is None


def test_more_planned_chunks_are_more_places() -> None:
    run = save_run("8", finished=False, chunks=0)
    comparison = begun("8")
    told = opening(run)
    for event in [*told, chunk_scored("8", 2, 0.3)]:
        comparison.add(event)
    comparison.begin(job("8"))
    comparison.add(dataclasses.replace(told[-1], chunks=[0, 1, 2, 3, 9], done={"8": 1}))  # type: ignore[call-arg]
    assert comparison.settings["8"].in_text[0] == [None, None, 0.3, None, None]
