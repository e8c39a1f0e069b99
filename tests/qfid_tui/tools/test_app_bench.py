"""The benchmark runs, on runs that are too short for its figures to mean anything."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from cli_saved_runs import save_run

from qfid_tui.process.recording import read_recording
from qfid_tui.state.token_view import read_token_view
from qfid_tui.tools.bench import command as bench
from qfid_tui.tools.bench import in_process, in_terminal, made_up_run
from qfid_tui.tools.bench.many_runs import copy_run, many_runs
from scorer.runs.listing import list_runs, runs_folder
from scorer.spec.events import ChunkScored, Failed, parse_line


def test_a_made_up_recording_is_a_whole_run(tmp_path: Path) -> None:
    made_up_run.record(tmp_path / "r.jsonl", 5, every=0.5, progress=True)
    recording = read_recording(tmp_path / "r.jsonl")
    events = [parse_line(line) for _, line in recording.lines]
    assert None not in events and isinstance(events[-1], Failed)
    chunks = [event for event in events if isinstance(event, ChunkScored)]
    assert len(chunks) == 5 * len(made_up_run.SETTINGS)
    assert [at for at, _ in recording.lines[:3]] == [0.0, 0.5, 1.0]
    wanted = {str(setting) for setting in made_up_run.choices(5).ticked_settings()}
    assert wanted == set(made_up_run.SETTINGS)


@pytest.mark.slow
def test_a_replay_is_timed_from_its_first_event_to_its_last(tmp_path: Path) -> None:
    found = in_process.replay(tmp_path, 300, 1)
    assert 0 < found.cpu and 0 < found.total < math.inf
    assert found.keys == 0 or found.latency > 0


def test_made_up_tokens_can_be_inspected() -> None:
    view = read_token_view(made_up_run.save_tokens_run(chunks=2, length=64))
    assert len(view.ids) == 128 and view.settings == ("4",) and not view.notice


def test_the_first_paint_is_seen(tmp_path: Path) -> None:
    ours, empty = in_terminal.first_paint(tmp_path, 1)
    assert ours > 0 and empty > 0


def test_the_table_says_what_misses_its_target(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        bench.Figure("a", 1.0, 2.0, "s"),
        bench.Figure("b", 3.0, 2.0, "s"),
        bench.Figure("c", 1, None, ""),
    ]
    monkeypatch.setattr(bench, "_PARTS", {"part": lambda folder, rounds: iter(rows)})
    assert bench.main(["--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [row["met"] for row in found] == [True, False, None]
    monkeypatch.setattr(bench, "_PARTS", {"part": lambda folder, rounds: iter(rows[:1])})
    assert bench.main([]) == 0
    # Once, also where both streams are one pipe.
    told = "".join(capsys.readouterr())
    assert told.count("| a | 1 s | ≤ 2 s | met |") == 1


def test_copied_runs_are_whole_runs_with_dates_of_their_own() -> None:
    run = save_run("8,4")
    ids = copy_run(run.path, runs_folder(), 70)
    found = {info.id: info for info in list_runs()}
    assert len(set(ids)) == 70 and found.keys() == {run.id, *ids}
    copies = [found[one] for one in ids]
    assert {info.state for info in copies} == {"finished"}
    assert [info.created for info in copies] == sorted({info.created for info in copies})
    assert copies[-1].created.startswith("2026-01-01T01:09")


@pytest.mark.slow
def test_many_runs_are_listed_nearly_as_fast_as_none(tmp_path: Path) -> None:
    found = many_runs(tmp_path, 3)
    # The target is 2; other work on this machine falls on one of the two more than on the other.
    assert found.listed < 3 * found.listed_none
    assert max(found.history, found.history_whole, found.quit) < 6 * found.listed_none
    assert found.listed < found.listed_first / 3
