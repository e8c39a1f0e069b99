"""Runs side by side: what may be ranked, and what differs."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
from cli_saved_runs import save_run
from hypothesis import given
from hypothesis import strategies as st

from qfid_tui.pictures.scale import log_axis
from qfid_tui.state.compared_runs import (
    ComparedGroup,
    ComparedRow,
    ComparedRun,
    ComparedRuns,
    grouped,
    read_compared,
)
from qfid_tui.state.setting_results import Figures
from qfid_tui.words.compared_runs import _heading, compared_lines
from scorer.report.formats.inline import columns
from scorer.runs.comparability import ComparabilityKey
from scorer.stats.summary_values import ChunkSums

IDENTITY = {"model files": "aaaa", "corpus": "cccc", "batch": 1}


def made_row(
    kl: list[float], *, run: int = 0, name: str = "8", path: str = "deployed", first: int = 0
) -> ComparedRow:
    """A setting with the KL means of its chunks, 10 positions each."""
    chunks = tuple(range(first, first + len(kl)))
    mean = math.fsum(kl) / len(kl)
    figures = Figures(len(kl), mean, None, mean, 0.0, 1.0, 0.0, "good", False, None, (), True)
    sums = ChunkSums(
        chunks, (10,) * len(kl), tuple(10 * value for value in kl), (0,) * len(kl), (0.0,) * len(kl)
    )
    key = ComparabilityKey("one run", None, 0, path, frozenset(chunks))
    return ComparedRow(run, name, figures, 0.5, key, sums, {})


def test_rows_told_apart_have_ranks_and_equal_ones_share_theirs() -> None:
    low = [0.010, 0.011, 0.010, 0.012, 0.011, 0.010]
    (group,) = grouped(
        [
            made_row([value + 0.5 + i / 100 for i, value in enumerate(low)], name="2"),
            made_row(low, name="8"),
            made_row(low, name="6"),
        ]
    )
    assert [row.name for row in group.rows] == ["8", "6", "2"]
    assert group.ranks == (1, 1, 3) and group.common == 6 and not group.differs


def test_order_rests_on_the_common_chunks() -> None:
    # On chunks 2 and 3 "b" drifts less, although its own mean is higher.
    a = made_row([0.0, 0.0, 0.4, 0.5], name="a")
    b = made_row([0.2, 0.3, 9.0, 9.0], name="b", first=2)
    (group,) = grouped([a, b])
    assert [row.name for row in group.rows] == ["b", "a"] and group.common == 2
    assert b.kl_on(frozenset({2, 3})) == pytest.approx(0.25)
    assert math.isnan(a.kl_on(frozenset({7})))


def test_nothing_is_ranked_without_an_interval() -> None:
    assert grouped([made_row([0.1]), made_row([0.2])])[0].ranks == (None, None)
    assert grouped([made_row([0.1, 0.2])])[0].ranks == (None,)
    infinite = made_row([math.inf, 0.2, 0.1])
    (group,) = grouped([infinite, made_row([0.1, 0.2, 0.1])])
    assert group.ranks == (None, None) and group.rows[1] is infinite


def test_unlike_rows_stand_apart_and_say_what_differs() -> None:
    groups = grouped([made_row([0.1, 0.2]), made_row([0.1, 0.2], path="dequantized")])
    assert [group.differs for group in groups] == [(), ("dequantized path, not deployed",)]


def test_a_difference_below_the_noise_floor_is_no_rank() -> None:
    low = [0.010, 0.011, 0.010, 0.012, 0.011, 0.010]
    high = [value + 0.001 + i / 1e5 for i, value in enumerate(low)]
    assert grouped([made_row(low), made_row(high)])[0].ranks == (1, 2)
    noisy = dataclasses.replace(made_row(high), noise=1.0)
    assert grouped([made_row(low), noisy])[0].ranks == (1, 1)


def test_two_models_are_read_in_groups_of_their_own() -> None:
    eight = save_run(identity={**IDENTITY, "model files": "bbbb"}, job={"model": "org/w-8bit"})
    four = save_run(identity=IDENTITY, job={"model": "org/w-4bit"})
    compared = read_compared([eight.id, four.id, "20200101-000000-gone-0000"])
    assert [run.model for run in compared.runs] == ["org/w-8bit", "org/w-4bit", ""]
    assert "there is no run" in compared.runs[2].fault
    first, second = compared.groups
    assert {row.run for row in first.rows} == {0} and {row.run for row in second.rows} == {1}
    assert "files of the model" in second.differs


def test_a_run_without_a_report_has_what_is_scored_so_far() -> None:
    part = save_run("8,4", chunks=2, finished=False)
    empty = save_run("8", chunks=0, finished=False)
    compared = read_compared([part.id, empty.id])
    (group,) = compared.groups
    assert [(row.name, row.figures.chunks) for row in group.rows] == [("8", 2), ("4", 2)]
    assert not compared.runs[0].fault and compared.runs[1].fault


@pytest.mark.parametrize("width", [40, 76, 136, 200])
def test_the_lines_fit_and_name_what_differs(width: int) -> None:
    eight = save_run(identity={**IDENTITY, "model files": "bbbb"}, job={"model": "org/w-8bit"})
    four = save_run(identity=IDENTITY, job={"model": "org/w-4bit"})
    lines = [
        "".join(text for text, _ in line)
        for line in compared_lines(read_compared([eight.id, four.id]), width)
    ]
    text = "\n".join(lines)
    for word in ("run 1", "w-8bit", "run 2", "w-4bit", "unlike A:", "files of the model", "good?"):
        assert word in text
    assert "share no rank and no scale" in " ".join(text.split())
    if width >= 76:
        assert max(map(columns, lines)) <= width


def test_intervals_of_a_run_that_stops_once_settled_are_named() -> None:
    rows = [made_row([0.1, 0.2]), made_row([0.1, 0.2], run=1)]
    runs = tuple(ComparedRun(f"r{i}", "demo", "built-in text") for i in range(2))
    for stopped, said in (((False, False), ""), ((False, True), "Run 2 stops once settled: its")):
        group = ComparedGroup(
            tuple(
                dataclasses.replace(row, simultaneous=stops)
                for row, stops in zip(rows, stopped, strict=True)
            ),
            (None, None),
            2,
            (),
        )
        text = " ".join(
            text for line in compared_lines(ComparedRuns(runs, (group,)), 140) for text, _ in line
        )
        assert said in text and ("stops once" in text) == bool(said)


def test_verdicts_by_the_bounds_of_weights_are_named_beside_others() -> None:
    rows = [made_row([0.1, 0.2]), made_row([0.1, 0.2], run=1)]
    runs = tuple(ComparedRun(f"r{i}", "demo", "built-in text") for i in range(2))
    for which in ((False, False), (False, True), (True, True)):
        of = tuple(
            dataclasses.replace(row, by_weights=own) for row, own in zip(rows, which, strict=True)
        )
        compared = ComparedRuns(runs, (ComparedGroup(of, (None, None), 2, ()),))
        text = " ".join(text for line in compared_lines(compared, 140) for text, _ in line)
        assert ("Run 2 has weights" in text) == (which == (False, True))


@given(st.lists(st.floats(1e-9, 50), min_size=2, max_size=6))
def test_the_heading_names_the_ends_of_the_bars(means: list[float]) -> None:
    axis = log_axis(means, 2)
    said = _heading(ComparedGroup((), (), 3, ()), 0, axis)
    low, high = re.search(r"log bars (\S+) to (\S+) nats", said).groups()  # type: ignore[union-attr]
    assert float(low) == pytest.approx(axis.low) and float(high) == pytest.approx(axis.high)
    assert all(float(low) <= mean * 1.001 and mean <= float(high) * 1.001 for mean in means)
