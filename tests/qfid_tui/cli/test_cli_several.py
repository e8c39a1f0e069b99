"""``qfid kv`` on several texts and lengths: a run each, and one report of all."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_saved_runs import failing, play, recording, save_run, script

from qfid_tui.cli import main, several
from qfid_tui.cli.text_options import texts_at_lengths
from scorer.runs.listing import list_runs


class Children:
    """Plays a script for each run, and answers the check of the texts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self._monkeypatch, self._folder = monkeypatch, tmp_path
        self._real = several._score
        self.faults: dict[tuple[str, int], dict[str, Any]] = {}
        self.scored: list[tuple[str, int]] = []
        self.interrupted: tuple[str, int] | None = None
        self.failing: dict[tuple[str, int], tuple[str, int]] = {}
        monkeypatch.setattr(several, "_score", self._score)
        monkeypatch.setattr(several.subprocess, "run", self._check)

    def _check(self, command: list[str], *, input: str, **_: Any) -> Any:
        assert command[-1] == "--texts"
        jobs = json.loads(input)["jobs"]
        texts = [
            self.faults.get((Path(job["corpus"]).name, job["chunk_length"]))
            or {"corpus": job["corpus"]}
            for job in jobs
        ]
        return subprocess.CompletedProcess(command, 0, json.dumps({"texts": texts}) + "\n", "")

    def _score(self, job: Any, *rest: Any, **options: Any) -> int:
        key = (Path(job.corpus.source).name, job.chunk_length)
        self.scored.append(key)
        path = self._folder / f"{len(self.scored)}.script"
        if key == self.interrupted:
            corpus = {"corpus": job.corpus, "chunk_length": 16}
            events = recording(save_run("8", job=corpus, chunks=2, finished=False), 2)
        elif key in self.failing:
            message, code = self.failing[key]
            events = failing(None, message, code, "WillNotFit")
        else:
            corpus = {"corpus": job.corpus, "chunk_length": 16}
            events = recording(save_run("8", job=corpus))
        play(self._monkeypatch, script(path, events))
        return self._real(job, *rest, **options)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Children:
    return Children(monkeypatch, tmp_path)


def test_each_text_and_length_is_a_run_and_the_report_joins_them(
    children: Children, capfd: pytest.CaptureFixture[str]
) -> None:
    words = "kv demo --kv-bits 8 --corpus builtin,code --chunk-length 16,32 --format json"
    assert main(words.split()) == 0
    out, err = capfd.readouterr()
    report = json.loads(out)
    assert report["kind"] == "joined" and len(report["runs"]) == 4
    assert children.scored == [("builtin", 16), ("builtin", 32), ("code", 16), ("code", 32)]
    assert len(list(list_runs())) == 4
    assert "run 3 of 4: code text, chunks of 16 tokens" in err
    assert {run["run"] for run in report["runs"]} == {info.id for info in list_runs()}


def test_one_that_cannot_be_scored_costs_the_others_nothing(
    children: Children, capfd: pytest.CaptureFixture[str]
) -> None:
    fault = {"error": "InputError", "message": "it is too short", "hint": "more", "exit_code": 2}
    children.faults = {("gone.md", length): fault for length in (16, 32)}
    children.failing = {("builtin", 32): ("out of memory", 3)}
    words = "kv demo --kv-bits 8 --corpus gone.md --corpus builtin --chunk-length 16,32"
    assert main(words.split()) == 2
    out, err = capfd.readouterr()
    assert children.scored == [("builtin", 16), ("builtin", 32)]
    # Before anything is scored, and once.
    assert err.count("not scored: `gone.md`: it is too short") == 1
    assert err.index("it is too short") < err.index("run 1 of 2")
    assert out.count("not scored: `gone.md` at") == 2
    assert "`built-in text` at 32 tokens: out of memory" in out


def test_the_worst_exit_code_counts(children: Children) -> None:
    children.failing = {("builtin", 32): ("out of memory", 3)}
    words = "kv demo --kv-bits 8 --corpus builtin --chunk-length 16,32".split()
    assert main(words) == 3
    children.failing = {("builtin", 32): ("broken", 1), ("builtin", 16): ("no", 3)}
    assert main(words) == 1


def test_an_interrupted_run_ends_the_turns_and_what_is_scored_is_joined(
    children: Children, capfd: pytest.CaptureFixture[str]
) -> None:
    children.interrupted = ("builtin", 16)
    words = "kv demo --kv-bits 8 --corpus builtin,code --chunk-length 16 --format json"
    assert main(words.split()) == 130
    out, err = capfd.readouterr()
    report = json.loads(out)
    assert children.scored == [("builtin", 16)] and "not begun: code text" in err
    assert [each["text"] for each in report["not_scored"]] == ["code text"]
    assert not report["runs"][0]["complete"]
    assert report["settings"][0]["verdict_shown"].endswith("?")


def test_a_length_that_a_setting_cannot_have_leaves_the_others(children: Children) -> None:
    words = "kv demo --kv-bits 8 --quantize-start 20 --corpus builtin --chunk-length 16,32"
    assert main(words.split()) == 2
    assert children.scored == [("builtin", 32)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("kv demo --corpus builtin,code --format card", "--format card holds one run"),
        ("kv demo --corpus builtin,code --output x.parquet", "--format parquet holds one run"),
        ("kv demo --corpus builtin,code --format parquet", "--format parquet holds one run"),
        ("weights demo --bits 8 --corpus builtin,code --format parquet", "parquet holds one run"),
        ("fit demo --memory 9MB --corpus builtin,code", "takes one text at one length"),
        ("kv demo --chunk-length 16,x", "`x` is not a number of tokens"),
        ("kv demo --corpus ,", "--corpus names no text"),
        ("kv demo --corpus hf:org/name", "names no column of a data set"),
        ("report a b --memory 4GB", "is asked of one run"),
        ("report a --joined-schema", "the same for every run"),
    ],
)
def test_what_several_texts_cannot_have_is_refused_in_one_line(
    children: Children, words: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    err = capfd.readouterr().err
    assert message in err and err.count("\n") <= 2
    assert not children.scored


def test_saved_runs_are_joined_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    one, two = save_run("8,4"), save_run("8")
    assert main(["report", one.id, two.id, "--format", "csv"]) == 0
    assert capfd.readouterr().out.count("\n") == 4
    assert main(["report", one.id, two.id, "--fail-under", "good"]) == 4
    assert f"that is in run `{one.id}`" in capfd.readouterr().err


def test_of_joined_runs_one_beyond_a_bound_counts_before_an_open_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from qfid_tui.cli.report_formats import Delivery

    one, two = save_run("8,4"), save_run("8")
    for codes, code in (((4, 5), 4), ((5, 4), 4), ((0, 5), 5), ((0, 0), 0)):
        left = iter(codes)
        monkeypatch.setattr(Delivery, "exit_code", lambda *_, left=left: next(left))
        words = ["report", one.id, two.id, "--fail-under", "good", "--confident"]
        assert main(words) == code, codes
    capfd.readouterr()


def test_a_dry_run_of_several_leaves_out_what_cannot_be_scored(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from qfid_tui.cli import dry_run
    from scorer.common.errors import InputError

    asked: list[str] = []

    def planned(job: Any, args: Any) -> int:
        asked.append(Path(job.corpus.source).name)
        if asked[-1] == "gone.md":
            raise InputError("there is no file `gone.md`", "name another")
        return 3 if asked[-1] == "code" else 0

    monkeypatch.setattr(dry_run, "print_dry_run", planned)
    assert main("kv demo --corpus gone.md --corpus builtin,code --dry-run".split()) == 2
    assert asked == ["gone.md", "builtin", "code"]
    out, err = capfd.readouterr()
    assert [line.partition(",")[0] for line in out.splitlines()] == [
        "gone.md",
        "built-in text",
        "code text",
    ]
    assert "there is no file `gone.md`" in err and err.count("\n") == 2
    # Plain text has no roles, which the job says before anything is looked at.
    asked.clear()
    words = "kv demo --roles user --corpus builtin,chat.jsonl --dry-run --chunk-length 16"
    assert main(words.split()) == 2 and asked == ["chat.jsonl"]
    assert main("kv demo --corpus builtin,code --dry-run".split()) == 3


def test_the_schema_of_joined_reports_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--joined-schema"]) == 0
    assert json.loads(capfd.readouterr().out)["$id"] == "urn:qfid:joined:1"


def test_files_with_commas_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import argparse

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b.md").write_text("x")

    def wanted(*corpus: str, length: str = "512") -> list[tuple[str, int]]:
        args = argparse.Namespace(corpus=list(corpus) or None, chunk_length=length, model="x")
        return texts_at_lengths(args)

    path = str(tmp_path / "a,b.md")
    assert wanted("a,b.md") == [(path, 512)]
    assert wanted("a\\,b.md,code") == [(path, 512), ("code", 512)]
    assert wanted("a,b.md", "-") == [(path, 512), ("-", 512)]
    assert wanted("code,code", length="16,32") == [("code", 16), ("code", 32)]
    assert wanted() == [("wikitext2", 512)]
