"""``qfid kv``: options into a job, events into a report, exit codes."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from cli_saved_runs import (
    CHUNKS,
    chunk_events,
    chunk_scored,
    failing,
    opening,
    play,
    recording,
    report_of,
    request_of,
    save_run,
    script,
)
from hypothesis import given
from hypothesis import strategies as st
from report_builders import make_facts, random_positions, scored

from qfid_tui.cli import main
from qfid_tui.cli.job_options import job_of
from qfid_tui.cli.parser import Parser
from qfid_tui.cli.report_formats import Delivery
from scorer.report.build import build_report
from scorer.report.commands import kv_command
from scorer.report.formats.markdown import to_markdown
from scorer.report.tree import Report
from scorer.spec.events import Failed, Finished, SettingFailedEvent, Warned
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.kv import BITS, GROUP_SIZES, KVSetting
from scorer.spec.settings.registry import parse_settings


def job(*words: str) -> Job:
    """The job that ``qfid kv`` makes of these words."""
    from qfid_tui.cli.commands import kv

    parser = Parser(prog="qfid")
    kv.add_parser(parser.add_subparsers())
    return job_of(parser.parse_args(["kv", *words]))


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("a/b --kv-bits 8", {"settings": parse_settings("8")}),
        ("a/b --kv-bits 4", {"settings": parse_settings("4")}),
        (
            "a/b --kv-bits 4 --kv-group-size 32",
            {"settings": (KVSetting(4, 4, 32),)},
        ),
        ("a/b --kv-bits 8", {"settings": parse_settings("8")}),
        ("a/b --kv-bits 8 --format json", {"settings": parse_settings("8")}),
        ("a/b", {"settings": parse_settings("8,4")}),
        ("a/b --kv-bits 8,4,2 --quantize-start 9", {"settings": parse_settings("8@9,4@9,2@9")}),
        (
            "a/b --settings 8,4:32,k8v4,4@512 --chunk-length 600 --path dequantized",
            {
                "settings": parse_settings("8,4:32,k8v4,4@512", path="dequantized"),
                "chunk_length": 600,
            },
        ),
        ("a/b --settings 8:64 --kv-group-size 32", {"settings": (KVSetting(8, 8, 64),)}),
        ("a/b --kv-bits 8,4,8", {"settings": parse_settings("8,4")}),
        ("a/b --revision main", {"revision": "main"}),
        ("a/b --model-revision v1", {"revision": "v1"}),
        ("a/b --protocol llama.cpp", {"protocol": "llama.cpp"}),
        ("a/b --chunks spread", {"chunks": "spread"}),
        ("a/b --max-chunks 9", {"chunks": "spread", "max_chunks": 9}),
        ("a/b --max-chunks 9 --chunks first", {"chunks": "first", "max_chunks": 9}),
        (
            "a/b --max-chunks 9 --protocol llama.cpp",
            {"chunks": "first", "max_chunks": 9, "protocol": "llama.cpp"},
        ),
        (
            "a/b --max-chunks 9 --format mqf-json --kv-bits 4",
            {"chunks": "first", "max_chunks": 9, "settings": parse_settings("4")},
        ),
        (
            "a/b --max-chunks 9 --format mqf-json --kv-bits 4 --chunks spread",
            {"chunks": "spread", "max_chunks": 9, "settings": parse_settings("4")},
        ),
        ("a/b --kernel mlx-lm --control", {"kernel": "mlx-lm", "control": True}),
        ("a/b --noise-floor 16 --batch-size 2", {"noise_floor": 16, "batch": 2}),
        # Consent is no part of a job.
        ("a/b --batch 2 --allow-custom-code", {"batch": 2}),
        ("a/b --force", {"force": True}),
        ("a/b --corpus builtin", {"corpus": CorpusSpec("builtin")}),
        ("demo", {"model": "demo", "corpus": CorpusSpec("builtin")}),
        ("demo --corpus wikitext2", {"model": "demo", "corpus": CorpusSpec("wikitext2")}),
        ("a/b --corpus /t/notes.md", {"corpus": CorpusSpec("/t/notes.md")}),
    ],
)
def test_options_make_the_job(words: str, changes: dict[str, Any]) -> None:
    plain = Job("a/b", parse_settings("8,4"))
    assert job(*words.split()) == dataclasses.replace(plain, **changes)


SETTINGS = st.builds(
    KVSetting,
    st.sampled_from(BITS),
    st.sampled_from((*BITS, 16)),
    st.sampled_from(GROUP_SIZES),
    st.integers(0, 100),
    st.sampled_from(("deployed", "dequantized")),
)


@given(
    st.builds(
        Job,
        model=st.sampled_from(("a/b", "demo", "./kv", "/m/a folder")),
        settings=st.lists(SETTINGS, min_size=1, max_size=4, unique=True).map(tuple),
        corpus=st.sampled_from(("wikitext2", "builtin", "/t/a text.md")).map(CorpusSpec),
        revision=st.sampled_from((None, "main", "0" * 40)),
        protocol=st.sampled_from(("mqf", "llama.cpp")),
        chunk_length=st.integers(102, 4096),
        chunks=st.sampled_from(("first", "spread")),
        max_chunks=st.none() | st.integers(1, 10**6),
        kernel=st.sampled_from(("auto", "mlx-lm")),
        control=st.booleans(),
        noise_floor=st.sampled_from((0, 4, 16)),
        batch=st.none() | st.integers(1, 64),
        force=st.booleans(),
    )
)
def test_the_command_a_report_prints_asks_for_the_same_job(asked: Job) -> None:
    words = shlex.split(kv_command(asked))
    assert words[:2] == ["qfid", "kv"]
    assert job(*words[2:]) == asked


def test_a_relative_corpus_is_named_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert job("a/b", "--corpus", "n.md").corpus.source == str(tmp_path / "n.md")
    assert job("a/b", "--corpus", "./builtin").corpus.source == str(tmp_path / "builtin")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert job("a/b", "--corpus", "~/n.md").corpus.source == str(tmp_path / "n.md")


def test_a_whole_run_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = save_run()
    path = script(tmp_path / "s", recording(run))
    play(monkeypatch, path)
    assert main(["kv", "demo", "--kv-bits", "8,4", "--max-chunks", str(CHUNKS)]) == 0
    out, err = capfd.readouterr()
    assert (
        out
        == to_markdown(Report.from_json(report_of(run)))
        == (run.path / "report.md").read_text("utf-8")
    )
    assert f"saved as run {run.id}" in err
    assert "1 of 4 chunks scored" in err and "4 of 4 chunks scored" in err
    asked = Job(
        "demo", parse_settings("8,4"), CorpusSpec("builtin"), chunks="spread", max_chunks=CHUNKS
    )
    assert Job.from_json(request_of(path)) == asked
    assert "run" not in request_of(path)


@pytest.mark.parametrize("format", ["md", "html", "json", "csv", "positions"])
def test_a_saved_run_prints_the_same_report_again(
    format: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = save_run()
    play(monkeypatch, script(tmp_path / "s", recording(run)))
    assert main(["kv", "demo", "--format", format]) == 0
    first, _ = capfd.readouterr()
    assert main(["report", run.id, "--format", format]) == 0
    again, err = capfd.readouterr()
    assert first == again != ""
    assert err == ""
    lines = first.splitlines()
    if format == "json":
        assert [row["setting"] for row in json.loads(first)["settings"]] == ["8", "4"]
    elif format == "csv":
        assert len(lines) == 3 and lines[1].split(",")[2] == "8"
    elif format == "positions":
        assert len(lines) == 1 + 2 * CHUNKS * 15
        assert {line.split(",")[0] for line in lines[1:]} == {"8", "4"}


def test_positions_of_a_setting_computed_as_another_are_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = save_run("8")
    report = report_of(run)
    twin = {**report["settings"][0], "setting": "8~dequantized", "same_as": "8"}
    report["settings"].append(twin)
    play(monkeypatch, script(tmp_path / "s", opening(run), Finished(report)))
    assert main(["kv", "demo", "--format", "positions"]) == 0
    rows = [line.split(",", 1) for line in capfd.readouterr().out.splitlines()[1:]]
    by_setting = {name: [r for n, r in rows if n == name] for name, _ in rows}
    assert list(by_setting) == ["8", "8~dequantized"]
    assert by_setting["8"] == by_setting["8~dequantized"]


@pytest.mark.parametrize(
    ("tier", "code", "named"),
    [("good", 4, ["`4` (bad)"]), ("marginal", 4, ["`4` (bad)"])],
)
def test_a_setting_under_the_gate_is_named(
    tier: str,
    code: int,
    named: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    play(monkeypatch, script(tmp_path / "s", recording(save_run())))
    assert main(["kv", "demo", "--fail-under", tier]) == code
    out, err = capfd.readouterr()
    assert out.startswith("# KV-fidelity")
    assert f"worse than --fail-under {tier}: {', '.join(named)}\n" in err


def test_a_stopped_run_says_how_many_chunks_each_figure_rests_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = save_run(chunks={"8": CHUNKS, "4": 2})
    end = Finished(report_of(run), complete=False)
    play(monkeypatch, script(tmp_path / "s", opening(run), end))
    assert main(["kv", "demo"]) == 130
    out, err = capfd.readouterr()
    said = f"settings are reported on 2 to {CHUNKS} of {CHUNKS} chunks, frontiers on those in "
    assert f"interrupted: {said}common (2)\n" in err
    assert f"covers 2 to {CHUNKS} of {CHUNKS} chunks, each setting its own" in out


def test_an_open_verdict_that_passes_the_gate_ends_with_0_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, script(tmp_path / "s", recording(save_run("8"))))
    assert main(["kv", "demo", "--kv-bits", "8", "--fail-under", "good"]) == 0
    said = "--fail-under good is passed by point estimates alone: open is `8` (good?)\n"
    assert said in capfd.readouterr().err


def test_a_settled_verdict_that_passes_the_gate_says_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    job = Job("m", (KVSetting(8, 8),), chunk_length=512)
    facts = make_facts("8", job=job, chunk_length=512, n_chunks=80)
    positions = random_positions(n_chunks=80, n_depth=511, scale=1e-4, flip_rate=0.0)
    report = build_report(facts, [scored("8", positions)])
    assert report.settings[0].numbers is not None and not report.settings[0].numbers.is_open
    options = {"format": None, "output": None, "only": None, "confident": False}
    delivery = Delivery(argparse.Namespace(**options, fail_under="good"))
    assert delivery.exit_code(report) == 0
    assert capfd.readouterr().err == ""


def test_a_failed_setting_ends_with_1_and_the_others_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = save_run("8", finished=False)
    run.mark_failed("8", "SettingFailed", "not finite", "report it")
    told = SettingFailedEvent("8", "SettingFailed", "not finite\x1b[2J", "report it")
    events = [*opening(run), *chunk_events(run, 2), told, Finished(report_of(run))]
    play(monkeypatch, script(tmp_path / "s", events))
    assert main(["kv", "demo", "--kv-bits", "8"]) == 1
    out, err = capfd.readouterr()
    assert "setting `8` failed: not finite␛[2J\nhint: report it\n" in err
    assert "not finite" in out


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_failed_run_ends_with_its_own_code(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = save_run(chunks=2, finished=False)
    play(monkeypatch, script(tmp_path / "s", failing(run, "out of it", code), f"!exit {code}"))
    assert main(["kv", "demo"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert "error: out of it\nhint: do something\n" in err
    assert (f"`qfid resume {run.id}` scores the rest" in err) == (code != 2)


def test_a_failure_before_the_run_began_names_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, script(tmp_path / "s", opening(), Failed("WillNotFit", "too big", "", 3)))
    assert main(["kv", "demo"]) == 3
    err = capfd.readouterr().err
    assert err.endswith("error: too big\n")


def test_warnings_are_said_with_their_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    warned = Warned("run `x` is unfinished", "`qfid resume x` goes on with it")
    play(monkeypatch, script(tmp_path / "s", warned, recording(save_run())))
    assert main(["kv", "demo"]) == 0
    err = capfd.readouterr().err
    assert "warning: run `x` is unfinished\nhint: `qfid resume x` goes on with it\n" in err


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("!abort", "was ended by SIGABRT"),
        ("!exit 1", "ended with code 1"),
        ("!exit 0", "ended with code 0"),
        ("not json at all", "ended with code 0"),
    ],
)
def test_a_child_that_dies_is_one_clear_line_and_the_way_on(
    last: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = save_run(chunks=1, finished=False)
    parts = [*opening(run), *chunk_events(run, 1)]
    play(monkeypatch, script(tmp_path / "s", *parts, "!say \x1b[31mcommand buffer", last))
    assert main(["kv", "demo"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[-2:] == [
        f"error: the scorer {words} without a report; its last line: ␛[31mcommand buffer",
        f"hint: what was scored is saved: `qfid resume {run.id}` continues",
    ]
    assert "Traceback" not in err


def test_a_child_that_dies_before_its_run_says_that_nothing_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, script(tmp_path / "s", "!abort"))
    assert main(["kv", "demo"]) == 1
    assert capfd.readouterr().err.splitlines() == [
        "error: the scorer was ended by SIGABRT without a report",
        "hint: `qfid doctor` examines this machine; nothing was saved",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "OMP: Error #34: System unable to allocate necessary resources for OMP thread:",
        "OpenBLAS blas_thread_init: pthread_create failed for thread 1 of 2",
    ],
)
def test_a_child_whose_library_could_start_no_thread_is_told_with_the_limit(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, script(tmp_path / "s", f"!say {line}", "!say the end", "!abort"))
    assert main(["kv", "demo"]) == 1
    assert "`ulimit -u`" in capfd.readouterr().err.splitlines()[-1]


def test_infinite_drift_is_shown_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = save_run("8")
    events = [*opening(run), chunk_scored("8", 0, float("inf")), Finished(report_of(run))]
    play(monkeypatch, script(tmp_path / "s", events))
    assert main(["kv", "demo", "--kv-bits", "8"]) == 0
    assert "KL mean 8: inf" in capfd.readouterr().err
