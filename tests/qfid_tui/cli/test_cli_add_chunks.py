"""A larger `--max-chunks` goes on with the saved run, a smaller one reports what it has."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from child_in_process import answered
from tiny_runs import Small, finished, numbers, stopped

from qfid_tui.cli import main, scoring, several
from scorer.runs.identity import identity_hash
from scorer.runs.listing import Run, list_runs, newest_unfinished
from scorer.spec.events import Event

Capture = pytest.CaptureFixture[str]


class ChildHere:
    """The child process of a command, in this one."""

    killed, log = False, ()

    def __init__(self, request: dict[str, Any]) -> None:
        self._found, self._code = answered(request)

    def __enter__(self) -> ChildHere:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def events(self) -> list[Event]:
        return self._found

    def close(self) -> int:
        return self._code


class Command:
    """`qfid` with a small model, in this process."""

    def __init__(self, small: Small, capfd: Capture) -> None:
        self._small, self._capfd = small, capfd
        self.text = small.text
        self.err = ""

    def __call__(self, command: str, *words: str, code: int = 0) -> str:
        # A second --corpus would be another text.
        own = [] if "--corpus" in words else ["--corpus", str(self._small.text)]
        text = [*own, "--chunk-length", "128"]
        model = [str(self._small.model), *text] if command in ("kv", "weights") else []
        assert main([command, *model, *words]) == code, self._capfd.readouterr()
        out, self.err = self._capfd.readouterr()
        return out

    def report(self, command: str, *words: str) -> Any:
        return numbers(json.loads(self(command, *words, "--format", "json")))


@pytest.fixture
def qfid(small: Small, capfd: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """On a text of eleven chunks: some tests score all of them."""
    monkeypatch.setattr(scoring, "ScorerProcess", ChildHere)
    text = tmp_path / "text.txt"
    text.write_bytes(small.text.read_bytes()[: 11 * 128 + 1])
    return Command(Small(small.model, text), capfd)


def assert_whole(run: Run) -> None:
    """Every chunk of the text is scored."""
    facts = run.facts
    assert facts.run is not None and facts.chunks is not None
    assert len(facts.chunks) == facts.run.corpus.total_chunks and run.whole and run.finished


def test_a_larger_number_goes_on_with_the_saved_run(qfid: Command) -> None:
    qfid("kv", "--kv-bits", "8,4", "--max-chunks", "2")
    (before,) = list_runs()
    report = qfid.report("kv", "--kv-bits", "8,4", "--max-chunks", "5")
    (after,) = list_runs()
    assert after.id == before.id and after.state == "finished"
    assert (before.chunks_done, after.chunks_done, after.chunks_planned) == (4, 10, 10)
    said = f"run `{before.id}` has 2 of these 5 chunks: 3 are added to it"
    assert said in qfid.err.splitlines()
    assert "3 of 3 chunks added and scored" in qfid.err
    anew = qfid.report("kv", "--kv-bits", "8,4", "--max-chunks", "5", "--anew")
    assert anew == report and len(list_runs()) == 2


def test_every_chunk_is_added_where_no_number_is_given(qfid: Command) -> None:
    """Without a number the order is another by default, and does not matter."""
    qfid("kv", "--kv-bits", "8", "--max-chunks", "2")
    qfid("kv", "--kv-bits", "8")
    (info,) = list_runs()
    assert_whole(Run(info.path))


def test_a_smaller_number_reports_the_first_chunks_and_scores_nothing(qfid: Command) -> None:
    fewer = qfid.report("kv", "--kv-bits", "8,4", "--max-chunks", "2")
    (first,) = list_runs()
    Run(first.path).delete()
    qfid("kv", "--kv-bits", "8,4", "--max-chunks", "5")
    (info,) = list_runs()
    stored = Run(info.path).positions_path.read_bytes()
    assert qfid.report("kv", "--kv-bits", "8,4", "--max-chunks", "2") == fewer
    line = f"run `{info.id}` has 5 chunks: this is the report of its first 2, and nothing is scored"
    assert line in qfid.err
    assert qfid.report("resume", info.id, "--max-chunks", "2") == fewer
    assert line in qfid.err
    (after,) = list_runs()
    assert after.id == info.id and Run(info.path).positions_path.read_bytes() == stored
    # The run is what it was.
    assert len(qfid.report("report", info.id)["run"]["chunks"]) == 5


def test_the_same_number_is_scored_again_and_the_saved_run_is_named(qfid: Command) -> None:
    qfid("kv", "--kv-bits", "8", "--max-chunks", "2")
    (info,) = list_runs()
    qfid("kv", "--kv-bits", "8", "--max-chunks", "2")
    assert f"run `{info.id}` has these 2 chunks: `qfid report {info.id}` prints" in qfid.err
    assert len(list_runs()) == 2


def test_the_same_run_until_settled_is_named_or_goes_on(qfid: Command) -> None:
    words = ("kv", "--kv-bits", "8", "--until-settled", "--max-chunks", "3")
    qfid(*words)
    (info,) = list_runs()
    qfid(*words)
    assert f"run `{info.id}` of the same job has ended: `qfid report {info.id}` prints" in qfid.err
    assert len(list_runs()) == 2
    job = dataclasses.replace(Run(info.path).job, max_chunks=4)
    assert not finished(stopped(job, after=1)).complete
    begun = newest_unfinished()
    assert begun is not None
    qfid(*words[:-1], "4")
    assert f"run `{begun.id}` of these 4 chunks is unfinished: only what it lacks" in qfid.err
    assert len(list_runs()) == 3 and newest_unfinished() is None
    # Another number of chunks is another run: the looks belong to it.
    qfid(*words[:-1], "2")
    assert "are added" not in qfid.err and len(list_runs()) == 4


def test_a_finished_run_until_settled_looks_once_and_says_so(qfid: Command) -> None:
    qfid("kv", "--kv-bits", "8", "--chunks", "random:1", "--max-chunks", "3")
    (info,) = list_runs()
    out = qfid("resume", info.id, "--until-settled")
    assert "all its chunks are scored: it looks once, at the last of the looks" in qfid.err
    assert qfid.err.count("look 1 of 1 at 3 chunks") == 1 and "all 3 chunks are scored" in out
    assert "were needed" not in out


def test_an_unfinished_run_goes_on_by_the_same_command(qfid: Command) -> None:
    """As after a Ctrl-C while chunks were added."""
    qfid("kv", "--kv-bits", "8,4", "--max-chunks", "2")
    (info,) = list_runs()
    run = Run(info.path)
    job = dataclasses.replace(run.job, max_chunks=4)
    assert not finished(stopped(job, after=1, run=run.id)).complete
    report = qfid.report("kv", "--kv-bits", "8,4", "--max-chunks", "4")
    assert f"run `{run.id}` of these 4 chunks is unfinished: only what it lacks" in qfid.err
    assert [row["n_chunks"] for row in report["settings"]] == [4, 4]
    assert len(list_runs()) == 1 and Run(info.path).finished


def test_of_several_runs_the_one_that_lacks_least_goes_on(qfid: Command) -> None:
    qfid("kv", "--kv-bits", "8", "--max-chunks", "2")
    qfid("kv", "--kv-bits", "8", "--max-chunks", "3", "--anew")
    (three, two) = list_runs()
    # A newer one is to have more, and lacks nearly all of them.
    stopped(dataclasses.replace(Run(two.path).job, max_chunks=9), after=1)
    assert len(list_runs()) == 3
    qfid("kv", "--kv-bits", "8", "--max-chunks", "5")
    assert f"run `{three.id}` has 3 of these 5 chunks" in qfid.err
    qfid("kv", "--kv-bits", "8", "--max-chunks", "2")
    # The run of two has these, and that of five has them too.
    assert f"run `{three.id}` has 5 chunks: this is the report of its first 2" in qfid.err
    assert len(list_runs()) == 3


@pytest.mark.parametrize(
    "other",
    [("--kv-bits", "8"), ("--chunks", "first"), ("--control",), ("--protocol", "llama.cpp")],
)
def test_another_job_is_a_run_of_its_own(qfid: Command, other: tuple[str, ...]) -> None:
    qfid("kv", "--kv-bits", "8,4", "--max-chunks", "2")
    words = other if other[0] == "--kv-bits" else ("--kv-bits", "8,4", *other)
    qfid("kv", *words, "--max-chunks", "4")
    assert len(list_runs()) == 2 and "added" not in qfid.err


def other_conditions(run: Run) -> None:
    path = run.path / "job.json"
    data = json.loads(path.read_text())
    data["facts"]["identity"]["mlx version"] = "0.1.2"
    data["identity"] = identity_hash(data["facts"]["identity"])
    path.write_text(json.dumps(data))


def test_a_run_of_other_conditions_stays_alone(qfid: Command) -> None:
    """It was not named: the command is no mistake, and scores anew."""
    qfid("kv", "--kv-bits", "8", "--max-chunks", "2")
    (info,) = list_runs()
    other_conditions(Run(info.path))
    report = qfid.report("kv", "--kv-bits", "8", "--max-chunks", "4")
    assert "was scored under other conditions: mlx version (`0.1.2`" in qfid.err
    assert "this is a run of its own" in qfid.err
    assert len(list_runs()) == 2 and len(report["run"]["chunks"]) == 4
    assert len(Run(info.path).facts.chunks or ()) == 2
    # Named, it is refused.
    qfid("resume", info.id, "--max-chunks", "4", code=2)
    assert "--accept-changes" in qfid.err


def test_resume_adds_chunks_and_settings(qfid: Command) -> None:
    qfid("kv", "--kv-bits", "8", "--max-chunks", "2")
    (info,) = list_runs()
    report = qfid.report("resume", info.id, "--max-chunks", "4", "--settings", "4")
    assert [row["n_chunks"] for row in report["settings"]] == [4, 4]
    assert "has 2 of these 4 chunks: 2 are added to it" in qfid.err
    qfid("resume", info.id, "--max-chunks", "all")
    assert_whole(Run(info.path))
    qfid("resume", info.id, "--max-chunks", "10000")
    assert "is complete: nothing is left to score" in qfid.err
    assert newest_unfinished() is None


@pytest.mark.parametrize("number", ["0", "-3", "x"])
def test_a_number_that_is_none_is_refused(qfid: Command, number: str) -> None:
    qfid("kv", "--kv-bits", "8", "--max-chunks", "2")
    (info,) = list_runs()
    if number == "x":
        with pytest.raises(SystemExit):
            main(["resume", info.id, "--max-chunks", number])
        return
    qfid("resume", info.id, f"--max-chunks={number}", code=2)
    assert "chunks score nothing" in qfid.err


def test_a_dry_run_says_what_is_missing(qfid: Command) -> None:
    qfid("kv", "--kv-bits", "8,4", "--max-chunks", "2")
    (info,) = list_runs()
    out = qfid("kv", "--kv-bits", "8,4", "--max-chunks", "5", "--dry-run")
    assert f"run `{info.id}` has 2 of these 5 chunks: 3 are added to it" in out
    assert "forward passes: 9, 3 for each of 3 chunks" in out
    out = qfid("kv", "--kv-bits", "8,4", "--max-chunks", "1", "--dry-run")
    assert "has 2 chunks, and so all of these 1: nothing is missing" in out
    assert "run" not in qfid("kv", "--kv-bits", "8,4", "--max-chunks", "2", "--dry-run").split()[0]
    assert len(list_runs()) == 1


def test_weights_too(qfid: Command) -> None:
    words = ["--bits", "8,4", "--kv", "4"]
    qfid("weights", *words, "--max-chunks", "1")
    qfid("weights", *words, "--max-chunks", "3", "--one-at-a-time")
    (info,) = list_runs()
    assert info.state == "finished" and "2 are added to it" in qfid.err
    rows = qfid.report("report", info.id)["settings"]
    assert {row["n_chunks"] for row in rows} == {3}


def test_a_text_from_standard_input_is_never_looked_for(
    qfid: Command, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in ("1", "2"):
        with small.text.open() as file:
            monkeypatch.setattr("sys.stdin", file)
            qfid("kv", "--corpus", "-", "--kv-bits", "8", "--max-chunks", number)
    assert len(list_runs()) == 2


def test_of_several_texts_those_that_have_ended_are_scored_again_all_or_none(
    qfid: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The check of the texts has tests of its own.
    monkeypatch.setattr(several, "_checked", lambda jobs, *_: list(jobs))
    other = tmp_path / "other.txt"
    other.write_text(" ".join(f"word {i}" for i in range(600)))
    words = ("kv", "--kv-bits", "8", "--max-chunks", "2")
    qfid(*words)
    (first,) = list_runs()
    both = (*words, "--corpus", f"{qfid.text},{other}")
    report = json.loads(qfid(*both, "--format", "json"))
    # One of the two is new, so the other is taken as it is.
    assert f"run `{first.id}` has these 2 chunks: nothing of it is scored again" in qfid.err
    assert len(list_runs()) == 2 and len(report["runs"]) == 2
    # Both have ended: both are measured anew, as one text would be.
    qfid(*both)
    assert qfid.err.count("they are scored again in a run of their own") == 2
    assert len(list_runs()) == 4
    # Of a larger number some texts have no more chunks.
    facts = [Run(each.path).facts.run for each in list_runs()]
    total, most = sorted({each.corpus.total_chunks for each in facts if each is not None})
    assert total and total < most
    qfid(*both[:4], str(total), *both[5:])
    qfid(*both[:4], str(total + 1), *both[5:])
    assert "nothing of it is scored again" in qfid.err and "is added to it" in qfid.err
    assert len(list_runs()) == 4
