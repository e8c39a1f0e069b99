"""A run that stops once it is settled, as the app and the command line see it."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import pytest
from workbench_states import workbench

from qfid_tui.cli.command_line import _app_parser, _names
from qfid_tui.state.choices import CHUNKS, Choices
from qfid_tui.state.choices_from_arguments import with_arguments
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.progress import RunProgress
from qfid_tui.state.run_options import OPTIONS, put
from qfid_tui.words.progress import look_text, planned_text, where_text
from qfid_tui.words.run_lines import run_lines, stopped_text
from scorer.report.stopping_part import StoppedSetting, StoppingPart
from scorer.spec.events import ChunkScored, Event, Looked, Planned
from scorer.spec.job import SETTLED_ORDER

LOOKS = [3, 5, 8]
BY_NAME = {option.field: option for option in OPTIONS}


def planned(**changes: Any) -> Planned:
    values: dict[str, Any] = {
        "run": "r",
        "run_path": "/r",
        "model": "demo",
        "settings": ["8", "4"],
        "chunks": list(range(8)),
        "done": {"8": 0, "4": 0},
        "positions_per_chunk": {"8": 100, "4": 100},
        "kv_bytes_per_token": {"8": 2.0, "4": 1.0},
        "kv_bytes_per_token_16bit": 4.0,
        "batch": 1,
        "arithmetic": "cpu",
        "looks": LOOKS,
    }
    return Planned(**{**values, **changes})


def chunk(setting: str, index: int) -> ChunkScored:
    return ChunkScored(setting, index, 100, 0.002 + index / 1e4, 0.1, 0.02, 1, 300, 301, 0.1)


def look(number: int, **changes: Any) -> Looked:
    values: dict[str, Any] = {
        "look": number,
        "looks": LOOKS,
        "standings": {"8": "not settled", "4": "settled worse"},
        "open": {"8": ["kl_p99", "flip_rate"]},
        "intervals": {
            "8": {"kl_mean": [0.001, 0.009], "flip_rate": [0.001, 0.03]},
            "4": {"kl_mean": [0.02, 0.03]},
        },
        "stops": False,
    }
    return Looked(**{**values, **changes})


def scored(upto: int, first: int = 0) -> list[Event]:
    return [chunk(name, index) for index in range(first, upto) for name in ("8", "4")]


def test_progress_is_counted_to_the_next_look() -> None:
    run = RunProgress(clock=lambda: 0.0)
    for event in (planned(), *scored(2)):
        run.add(event)
    assert where_text(run) == "chunk 3 of 3 (look 1 of 3)"
    for event in (*scored(3, 2), look(1)):
        run.add(event)
    assert where_text(run) == "chunk 4 of 5 (look 2 of 3)"
    assert run.fraction == pytest.approx(3 / 5)
    for event in (*scored(5, 3), look(2, stops=True, open={})):
        run.add(event)
    assert where_text(run) == "chunk 5 of 5 (look 3 of 3)" and run.fraction == 1
    assert run.seconds_left in (None, 0)


def test_a_run_that_goes_on_counts_from_where_it_is() -> None:
    run = RunProgress(clock=lambda: 0.0)
    run.add(planned(done={"8": 4, "4": 3}))
    assert run.chunks == 5 and run.complete == 3
    run.add(planned(done={"8": 8, "4": 8}))
    assert run.chunks == 8


def test_a_setting_that_is_added_is_counted_to_the_look_that_the_others_are_at() -> None:
    run = RunProgress(clock=lambda: 0.0)
    run.add(planned(done={"8": 5, "4": 0}))
    assert where_text(run) == "chunk 1 of 5 (look 2 of 3)" and run.fraction < 1
    # The last look was at 3, and is looked at again with the added one.
    run.add(planned(done={"8": 4, "4": 0}))
    assert run.chunks == 3


def test_looks_in_words() -> None:
    assert "scoring 8, 4 on at most 8 chunks, until settled (3 looks, at 3, 5, 8 chunks)" in (
        planned_text(planned())
    )
    assert look_text(look(1)) == "look 1 of 3 at 3 chunks: 8 open on p99 and flips"
    assert look_text(look(2, stops=True, open={})) == (
        "look 2 of 3 at 5 chunks: every setting is settled"
    )


def test_only_intervals_of_looks_are_shown_while_a_run_goes_on() -> None:
    comparison = Comparison(Choices(model="demo", ticked=(8, 4)).job())
    for event in (planned(), *scored(3)):
        comparison.add(event)
    figures = comparison.figures("8")
    assert figures is not None and figures.kl_interval is None
    assert {lack.why for lack in figures.without_interval} == {"no look"}
    comparison.add(look(1))
    figures = comparison.figures("8")
    assert figures is not None and figures.kl_interval is not None
    assert (figures.kl_interval.low, figures.kl_interval.high) == (0.001, 0.009)
    assert figures.shown_verdict == "good?"


def test_the_run_panel_says_what_the_last_look_found() -> None:
    comparison = Comparison(Choices(model="demo", ticked=(8, 4)).job())
    for event in (planned(), *scored(3), look(1)):
        comparison.add(event)
    lines = [
        "".join(text for text, _ in line) for line in run_lines(workbench(comparison=comparison))
    ]
    assert "· look 1 of 3 at 3 chunks: 8 open on p99 and flips" in lines


PART = StoppingPart(
    looks=(3, 5, 8),
    look=2,
    n_chunks=5,
    stopped=True,
    order="random:1",
    confidence=0.99,
    unit="chunk",
    settings=(StoppedSetting(setting="8", standing="settled good"),),
)


def test_an_ended_run_says_how_many_chunks_were_needed() -> None:
    assert stopped_text(PART) == "settled: 5 of 8 chunks were needed (look 2 of 3)"
    last = dataclasses.replace(PART, look=3, n_chunks=8)
    assert stopped_text(last) == "8 chunks scored, settled at the last look (look 3 of 3)"
    one = StoppedSetting(setting="8", standing="not settled", open=("kl_mean",))
    part = dataclasses.replace(PART, look=3, n_chunks=8, stopped=False, settings=(one,))
    assert stopped_text(part) == "8 chunks scored, 8 not settled"


def test_the_option_chooses_a_random_order_of_all_chunks_and_gives_both_back() -> None:
    before = Choices(model="demo")
    on = put(before, BY_NAME["until_settled"], True)
    assert (on.chunks, on.max_chunks) == (SETTLED_ORDER, None)
    assert on.job().until_settled
    off = put(on, BY_NAME["until_settled"], False)
    assert (off.chunks, off.max_chunks, off.until_settled) == ("spread", CHUNKS, False)
    # No other order may stop by what it sees.
    assert not put(on, BY_NAME["chunks"], "first").until_settled
    llama = put(on, BY_NAME["protocol"], "llama.cpp")
    assert llama.until_settled and llama.chunks == SETTLED_ORDER
    assert Choices().of_job(on.job()).until_settled


def arguments(*words: str) -> argparse.Namespace:
    parser = _app_parser()
    return parser.parse_args(words, argparse.Namespace(**dict.fromkeys(_names(parser))))


def test_the_app_is_started_with_it() -> None:
    choices = with_arguments(Choices(), arguments("demo", "--until-settled"))
    assert (choices.until_settled, choices.chunks, choices.max_chunks) == (True, "random:1", None)
    again = with_arguments(choices, arguments("demo", "--chunks", "spread"))
    assert not again.until_settled and again.chunks == "spread"
    capped = with_arguments(
        Choices(), arguments("demo", "--until-settled", "--max-chunks=90", "--chunks=random:7")
    )
    assert (capped.chunks, capped.max_chunks, capped.until_settled) == ("random:7", 90, True)
