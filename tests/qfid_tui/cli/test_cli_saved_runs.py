"""``qfid runs``, ``qfid report`` and ``qfid resume``."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from cli_saved_runs import (
    chunk_events,
    opening,
    play,
    recording,
    report_of,
    request_of,
    save_run,
    script,
)

from qfid_tui.cli import main
from qfid_tui.words.run_rows import RunFilter, RunRow, all_about, cells
from scorer.common.errors import ModelNotCached
from scorer.report.formats.inline import digits
from scorer.report.formats.markdown import to_markdown
from scorer.report.tree import Report
from scorer.runs import listing as runs
from scorer.spec.events import Finished
from scorer.spec.job import CorpusSpec, Job

Capture = pytest.CaptureFixture[str]


def test_no_runs_yet_says_how_to_make_one(capfd: Capture) -> None:
    assert main(["runs"]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("no run is saved in `") and "`qfid kv demo` makes one" in err
    assert main(["runs", "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out) == []


def test_runs_are_listed_with_what_is_done(capfd: Capture) -> None:
    whole = save_run()
    part = save_run("8", chunks=2, finished=False)
    broken = runs.runs_folder() / "20200101-000000-\x1b[31mbroken"
    broken.mkdir()
    assert main(["runs"]) == 0
    out, err = capfd.readouterr()
    head, *lines = out.splitlines()
    assert head.split()[:6] == ["run", "state", "scored", "model", "text", "length"]
    assert head.endswith("setting: KL mean (nats), verdict")
    found = {line.split()[0]: line.split(maxsplit=6)[1:] for line in lines[:2]}
    numbers = [row.numbers for row in Report.from_json(whole.report()).settings]
    results = ", ".join(
        f"{name}: {digits(own.kl.mean, significant=3)} {own.verdict_shown}"
        for name, own in zip(("8", "4"), numbers, strict=True)
        if own is not None
    )
    length = str(whole.job.chunk_length)
    assert found == {
        whole.id: ["finished", "8/8", "demo", "wikitext2", length, results],
        part.id: ["unfinished", "2/4", "demo", "wikitext2", length, "8"],
    }
    assert "␛[31mbroken" in lines[2] and "`job.json`" in lines[2]
    assert "\x1b" not in out and err == ""
    assert main(["runs", "--format", "json"]) == 0
    rows = json.loads(capfd.readouterr().out)
    assert [result["setting"] for result in rows[0]["results"] + rows[1]["results"]] == ["8", "4"]
    assert {row["id"]: row["chunks_done"] for row in rows} == {
        whole.id: 8,
        part.id: 2,
        broken.name: 0,
    }


def test_lists_say_which_roles_of_a_chat_count(capfd: Capture) -> None:
    chats = {"corpus": CorpusSpec("/x/chats.jsonl"), "roles": ("assistant", "tool")}
    run = save_run("8", job=chats, chunks=0, finished=False)
    assert main(["runs"]) == 0
    assert " /x/chats.jsonl, only assistant, tool " in capfd.readouterr().out
    assert main(["runs", "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out)[0]["roles"] == ["assistant", "tool"]
    info = runs.Run(run.path).info()
    row = RunRow(info, None, False)
    assert cells(row, [("text", 40)]) == ["chats.jsonl, only assistant, tool"]
    assert dict(all_about(row))["text"] == "/x/chats.jsonl, only assistant, tool"
    assert RunFilter().matching([info], "only assistant") == [info]


def test_runs_are_deleted_when_told_so(capfd: Capture) -> None:
    kept, gone = save_run(), save_run("8")
    assert main(["runs", "--delete", gone.id]) == 2
    assert capfd.readouterr().err.splitlines() == [
        f"error: nobody can be asked whether to delete `{gone.id}`",
        "hint: add --yes",
    ]
    # One that does not exist: none is deleted.
    assert main(["runs", "--delete", gone.id, "2031", "--yes"]) == 2
    assert gone.path.exists()
    assert main(["runs", "--delete", gone.id, gone.id[:-1], "--yes"]) == 0
    assert not gone.path.exists() and kept.path.exists()


@pytest.mark.parametrize(("answer", "deleted"), [("y\n", True), ("\n", False), ("", False)])
def test_a_terminal_is_asked_before_a_run_is_deleted(
    answer: str, deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = save_run()
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert main(["runs", "--delete", run.id]) == 0
    assert run.path.exists() is not deleted


def test_the_newest_run_is_reported_where_none_is_named(capfd: Capture) -> None:
    save_run("8")
    newest = save_run("4")
    assert main(["report", "--format", "json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["settings"][0]["setting"] == "4"
    assert err == f"the newest run: `{newest.id}`\n"


def test_a_report_is_found_by_the_beginning_of_its_id(capfd: Capture) -> None:
    run = save_run()
    assert main(["report", run.id[:-1]]) == 0
    assert capfd.readouterr().out == (run.path / "report.md").read_text("utf-8")


@pytest.mark.parametrize("content", [None, "", "{}", "[1", '{"settings": 3}'])
def test_a_lost_or_damaged_report_is_made_again(content: str | None, capfd: Capture) -> None:
    run = save_run()
    expected = to_markdown(Report.from_json(report_of(run)))
    if content is None:
        (run.path / "report.json").unlink()
    else:
        (run.path / "report.json").write_text(content)
    assert main(["report", run.id]) == 0
    assert capfd.readouterr().out == expected


def test_a_stored_report_that_positions_have_outgrown_is_not_printed(capfd: Capture) -> None:
    run = save_run(chunks=1)
    stored = (run.path / "report.md").read_text("utf-8")
    other = save_run(chunks=3, finished=False)
    (run.path / "positions.arrow").write_bytes((other.path / "positions.arrow").read_bytes())
    assert main(["report", run.id]) == 0
    out, err = capfd.readouterr()
    assert "covers 1 of 4 chunks" in stored and "covers 3 of 4 chunks" in out
    assert f"`qfid resume {run.id}` scores the rest" in err


def test_a_report_of_nothing_is_one_error(capfd: Capture) -> None:
    run = save_run(chunks=0, finished=False)
    assert main(["report", run.id]) == 1
    out, err = capfd.readouterr()
    assert (out, len(err.splitlines())) == ("", 2)
    assert "holds no scored chunk yet" in err


@pytest.mark.parametrize("command", ["report", "resume"])
def test_an_unknown_run_ends_with_2(command: str, capfd: Capture) -> None:
    save_run()
    assert main([command, "nonsense\x1b[2J"]) == 2
    out, err = capfd.readouterr()
    assert (out, len(err.splitlines())) == ("", 2)
    assert "there is no run `nonsense␛[2J`" in err


def test_the_gate_holds_for_saved_reports_too(capfd: Capture) -> None:
    run = save_run()
    assert main(["report", run.id, "--fail-under", "good"]) == 4
    assert "`4` (bad)" in capfd.readouterr().err
    assert main(["resume", run.id, "--fail-under", "good"]) == 4
    assert "nothing is left to score" in capfd.readouterr().err


def test_without_an_unfinished_run_resume_ends_with_2(capfd: Capture) -> None:
    save_run()
    assert main(["resume"]) == 2
    assert (
        capfd.readouterr().err == "error: no run is unfinished\nhint: `qfid runs` lists them all\n"
    )


def test_the_newest_unfinished_run_is_resumed_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    run = save_run(chunks=1, finished=False)
    save_run()
    path = script(tmp_path / "s", recording(save_run()))
    play(monkeypatch, path)
    assert main(["resume", "--format", "json"]) == 0
    out, err = capfd.readouterr()
    assert err.startswith(f"resuming run `{run.id}`: demo, settings 8, 4\n")
    assert json.loads(out)["settings"][0]["setting"] == "8"
    asked = request_of(path)
    assert (asked.pop("run"), asked.pop("accept_changes")) == (run.id, False)
    assert Job.from_json(asked) == run.job


def test_changes_are_accepted_on_demand_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = save_run(chunks=1, finished=False)
    path = script(tmp_path / "s", opening(run), Finished(report_of(run)))
    play(monkeypatch, path)
    assert main(["resume", run.id, "--accept-changes"]) == 0
    assert request_of(path)["accept_changes"] is True


@pytest.mark.parametrize("words", [(), ("--allow-custom-code",)])
def test_consent_is_given_with_the_command_and_stored_nowhere(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = save_run(chunks=1, finished=False)
    stored = (run.path / "job.json").read_text()
    (run.path / "job.json").write_text(
        stored.replace('"allow_custom_code": false', '"allow_custom_code": true')
    )
    path = script(tmp_path / "s", opening(run), Finished(report_of(run)))
    play(monkeypatch, path)
    assert main(["resume", run.id, *words]) == 0
    assert request_of(path)["allow_custom_code"] is bool(words)


def test_what_is_scored_already_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    import dataclasses

    run = save_run(chunks=3, finished=False)
    *before, planned = opening(run)
    half = dataclasses.replace(planned, done={"8": 3, "4": 3})  # type: ignore[call-arg]
    last = chunk_events(run)[-5:]
    play(monkeypatch, script(tmp_path / "s", before, half, last, Finished(report_of(run))))
    assert main(["resume", run.id]) == 0
    err = capfd.readouterr().err
    assert "6 of 8 scored already" in err
    assert "4 of 4 chunks scored" in err and "1 of 4" not in err and "2 of 4" not in err


def test_a_run_that_is_being_written_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    run = save_run(chunks=1, finished=False)
    play(monkeypatch, tmp_path / "never")
    with run.open_writer():
        assert main(["resume", run.id]) == 2
    assert "is being written by process" in capfd.readouterr().err
    assert not (tmp_path / "never.request").exists()


def test_a_finished_run_is_only_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    run = save_run()
    play(monkeypatch, tmp_path / "never")
    assert main(["resume", run.id]) == 0
    out, err = capfd.readouterr()
    assert out == (run.path / "report.md").read_text("utf-8")
    assert err == f"run `{run.id}` is complete: nothing is left to score\n"


def test_a_failed_setting_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = save_run()
    run.mark_failed("4", "SettingFailed", "not finite")
    path = script(tmp_path / "s", recording(save_run()))
    play(monkeypatch, path)
    assert main(["resume", run.id]) == 0
    assert request_of(path)["run"] == run.id


class Cache:
    """Stands in for the cache: which revision of ``a/b`` it gives."""

    def __init__(self, *commits: str) -> None:
        self.commits = list(commits)
        self.pulled: list[tuple[str, str | None]] = []

    def resolve_model(
        self, model: str, revision: str | None = None, *, allow_custom_code: bool = False
    ) -> object:
        found = [c for c in self.commits if revision in (None, c)]
        if not found:
            raise ModelNotCached(f"`{model}` is not here", f"qfid pull {model}", model, revision)
        return type("Info", (), {"revision": found[-1], "path": Path("/cache"), "name": model})

    def pull(self, repo: str, revision: str | None, *_: object, **__: object) -> Path:
        self.pulled.append((repo, revision))
        self.commits.append(revision or "new")
        return Path("/cache")


@pytest.mark.parametrize(
    ("cached", "words", "revision", "pulled"),
    [
        (["old"], [], None, []),
        (["old", "new"], [], "old", []),
        (["old", "new"], ["--accept-changes"], None, []),
        ([], ["--pull"], "old", [("a/b", "old")]),
        (["new"], ["--pull"], "old", [("a/b", "old")]),
    ],
)
def test_a_run_goes_on_with_the_commit_it_began_with(
    cached: list[str],
    words: list[str],
    revision: str | None,
    pulled: list[tuple[str, str | None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = Cache(*cached)
    monkeypatch.setattr("scorer.models.resolve.resolve_model", cache.resolve_model)
    monkeypatch.setattr("scorer.download.pull.pull", cache.pull)
    identity = {"model": "a/b", "model revision": "old"}
    run = save_run(chunks=1, finished=False, identity=identity, job={"model": "a/b"})
    path = script(tmp_path / "s", opening(run), Finished(report_of(run)))
    play(monkeypatch, path)
    assert main(["resume", run.id, *words]) == 0
    assert request_of(path)["revision"] == revision
    assert cache.pulled == pulled


def test_a_gone_model_is_named_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    identity = {"model": "a/b", "model revision": "c" * 40}
    run = save_run(chunks=1, finished=False, identity=identity, job={"model": "a/b"})
    play(monkeypatch, tmp_path / "never")
    assert main(["resume", run.id]) == 2
    err = capfd.readouterr().err.splitlines()
    assert err[-1] == f"hint: qfid pull a/b --revision {'c' * 40}"


def flip_a_byte(run: runs.Run) -> None:
    data = bytearray(run.positions_path.read_bytes())
    data[-100] ^= 0x10
    run.positions_path.write_bytes(data)


def test_a_complete_run_that_was_damaged_since_is_scored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    run = save_run()
    path = script(tmp_path / "s", opening(run), Finished(report_of(run)))
    flip_a_byte(run)
    play(monkeypatch, path)
    assert main(["resume", run.id]) == 0
    assert request_of(path)["run"] == run.id
    assert "nothing is left" not in capfd.readouterr().err


def test_positions_of_a_damaged_run_are_not_exported_as_if_they_were_all(capfd: Capture) -> None:
    run = save_run()
    flip_a_byte(run)
    assert main(["report", run.id, "--format", "positions"]) == 1
    out, err = capfd.readouterr()
    assert out == "" and err.splitlines() == [
        f"error: the positions of run `{run.id}` are damaged: 3 of 4 chunks of setting `4` are "
        "intact",
        f"hint: `qfid resume {run.id}` scores the others again",
    ]
