"""``qfid weights``, ``qfid fit`` and ``qfid resume`` with more settings: what is asked for."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from gguf_files import converted
from tiny_runs import Small

from qfid_tui.cli import main
from qfid_tui.cli.foreign_options import _OF_COMMAND, hint_for
from scorer.spec.events import ChunkScored
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings

Capture = pytest.CaptureFixture[str]


def asked_to_add(job: str, **options: str) -> list[str]:
    from qfid_tui.cli.commands.resume import _added

    names = ("bits", "kv", "weights", "settings")
    args = argparse.Namespace(**{**dict.fromkeys(names), **options})
    return [setting.key for setting in _added(args, Job("m", parse_settings(job)))]


@pytest.mark.parametrize(
    ("job", "options", "added"),
    [
        # A new row goes with every KV setting of the run, a new column with all its weights.
        ("8,w4,w4+8", {"bits": "6"}, ["w6", "w6+8"]),
        ("8,w4,w4+8", {"kv": "4"}, ["4", "w4+4"]),
        ("8,w4,w4+8", {"kv": "8"}, []),
        ("8,w4,w4+8", {"bits": "6", "kv": "4"}, ["4", "w6", "w6+8", "w6+4", "w4+4"]),
        ("8", {"settings": "w6,8,k8v4"}, ["w6", "k8v4"]),
        ("w4", {"weights": "org/name@main"}, ["w=org/name@main"]),
        ("w4", {}, []),
    ],
)
def test_a_run_is_extended_by_rows_and_columns(
    job: str, options: dict[str, str], added: list[str]
) -> None:
    assert asked_to_add(job, **options) == added


@pytest.mark.parametrize(
    ("word", "command", "said"),
    [
        ("--bits", "kv", "qfid weights"),
        ("--kv-bits", "weights", "--kv 8,4"),
        ("--kv-bits=8", "fit", "--kv 8,4"),
        ("--until-settled", "fit", "qfid weights"),
        ("--quant-revision", "weights", "org/name@revision"),
        ("--reference-revision", "weights", "--revision"),
        ("--corpus", "resume", "keeps its text"),
    ],
)
def test_an_option_of_another_command_says_what_to_write(
    word: str, command: str, said: str
) -> None:
    found = hint_for([word], command)
    assert found is not None and said in found


@pytest.mark.parametrize("command", sorted(_OF_COMMAND))
def test_no_option_that_a_command_takes_is_said_to_be_of_another(
    command: str, capfd: Capture
) -> None:
    with contextlib.suppress(SystemExit):
        main([command, "--help"])
    taken = set(re.findall(r"^  (--[a-z-]+)", capfd.readouterr().out, re.MULTILINE))
    assert "--format" in taken and not taken & set(_OF_COMMAND[command])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["weights", "demo", "gone.GGUF", "--dry-run"], "/gone.GGUF`"),
        (["compare", "weights", "a", "b"], "`qfid weights REF QUANT` compares weights"),
        (["fit", "demo"], "--memory is missing"),
        (["weights", "demo", "demo"], "`demo` names no quantized copy"),
        (["resume", "RUN", "--kv-group-size", "32"], "--kv 4:32"),
        (["weights", "demo", "--bits", "7"], "`7` bits is not a width"),
    ],
)
def test_what_cannot_be_scored_is_refused(words: list[str], said: str, capfd: Capture) -> None:
    try:
        code = main(words)
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 2 and said in capfd.readouterr().err


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A device whose answer is known, so that no child is started."""
    found = {
        "device": "cpu",
        "memory_total": 16 << 30,
        "memory_free": 12 << 30,
        "seconds": 0.01,
        "flop": 10**9,
    }
    monkeypatch.setattr("qfid_tui.cli.dry_run._machine", lambda _: found)
    return found


def dry(capfd: Capture, *words: str, code: int = 0) -> str:
    assert main([*words, "--dry-run"]) == code
    return capfd.readouterr().out


def test_a_dry_run_says_what_would_be_scored(
    small: Small, machine: dict[str, Any], capfd: Capture
) -> None:
    words = ("--corpus", str(small.text), "--chunk-length", "32", "--max-chunks", "3")
    grid = ("weights", str(small.model), "--bits", "8:32,4:32", "--kv", "8", *words)
    said = dry(capfd, *grid)
    # The reference and five settings on three chunks.
    assert "5 settings" in said and "forward passes: 18, 6 for each of 3 chunks" in said
    assert "weights loaded together" in said and "timed just now (100 GFLOP/s)" in said
    assert "in turns" in (turns := dry(capfd, *grid, "--one-at-a-time"))
    assert "for the reference's states" in turns
    # A control of each cache, and four perturbed repeats of everything.
    said = dry(capfd, "kv", str(small.model), *words, "--control", "--noise-floor", "4")
    assert "forward passes: 75, 25 for each" in said


def test_a_dry_run_that_does_not_fit_says_so(
    small: Small, machine: dict[str, Any], capfd: Capture
) -> None:
    machine["memory_free"] = 1 << 20
    said = dry(capfd, "kv", str(small.model), "--corpus", str(small.text), code=3)
    assert "it does not fit" in said


def test_a_dry_run_of_fit_leaves_out_what_cannot_fit(
    small: Small, machine: dict[str, Any], capfd: Capture
) -> None:
    options = ("--bits", "8:32", "--corpus", str(small.text), "--chunk-length", "32")
    said = dry(capfd, "fit", str(small.model), "--memory", "1GB", *options)
    assert "all fit in 1.00 GB" in said and "dropped on the way" in said
    words = ["fit", str(small.model), "--memory", "1MB", *options, "--dry-run"]
    assert main(words) == 3
    assert "nothing fits in 1.0 MB" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--path", "dequantized"], "`8~dequantized` cannot be what to run"),
        (["--settings", "w4,w4+8~dequantized"], "`w4+8~dequantized` cannot be what to run"),
        (["--quantize-start", "32"], "`8@32` is scored on other positions"),
    ],
)
def test_fit_refuses_what_cannot_be_its_answer(
    small: Small, options: list[str], said: str, capfd: Capture
) -> None:
    assert main(["fit", str(small.model), "--memory", "1GB", "--context", "1k", *options]) == 2
    error = capfd.readouterr().err
    assert said in error and error.count("hint: ") == 1


def test_a_timed_product_says_what_it_was_of(capfd: Capture) -> None:
    import sys

    from scorer.child.rate import time_product

    assert time_product(sys.stdout, ["31", "64", "64"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["flop"] == 2 * 31 * 64 * 64 and found["seconds"] > 0


def test_an_added_setting_is_all_that_is_scored(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    from tiny_runs import planned, resumed

    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path))
    run = planned(small.score("8,w8:32,w8:32+8")).run
    seen: list[Job] = []
    monkeypatch.setattr("qfid_tui.cli.scoring.score", lambda job, *_, **__: seen.append(job) or 0)
    assert main(["resume", run, "--bits", "4:32"]) == 0
    assert [one.key for one in seen[0].settings[3:]] == ["w4:32", "w4:32+8"]
    events = resumed(seen[0], run)
    scored = {event.setting for event in events if isinstance(event, ChunkScored)}
    assert scored == {"w4:32", "w4:32+8"}


def test_a_gguf_file_is_found_by_its_path(
    small: Small,
    machine: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Capture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.gguf").touch()
    for words in (["--settings", "w=./empty.gguf"], ["empty.gguf"]):
        assert main(["weights", "demo", *words]) == 2
        assert "`empty.gguf` is no GGUF file" in capfd.readouterr().err
    assert main(["kv", "empty.gguf"]) == 2
    assert "cannot be the model that others are compared with" in capfd.readouterr().err
    monkeypatch.setattr("scorer.fit.dry_run.require_gguf_package", lambda: None)
    converted(small.model, "F16").write(tmp_path / "a,b.gguf")
    words = (str(small.model), "a,b.gguf", "--kv", "8", "--corpus", str(small.text))
    said = dry(capfd, "weights", *words)
    assert f"8, w={tmp_path}/a%2Cb.gguf, w={tmp_path}/a%2Cb.gguf+8\n" in said
    assert "weights loaded together" in said
    capfd.readouterr()
    assert main(["weights", "demo", "a,b.gguf", "--dry-run"]) == 2
    assert "`a,b.gguf` is not `demo`: its `hidden_size` is `128`" in capfd.readouterr().err


def test_a_dry_run_refuses_what_scoring_would_refuse(
    small: Small, machine: dict[str, Any], capfd: Capture
) -> None:
    words = ["weights", str(small.model), str(small.model), "--corpus", str(small.text)]
    assert main([*words, "--dry-run"]) == 2
    assert "is the reference itself" in capfd.readouterr().err


def test_the_expected_time_rests_on_a_run_on_the_same_device(
    small: Small, machine: dict[str, Any], capfd: Capture
) -> None:
    words = ("kv", str(small.model), "--corpus", str(small.text), "--chunk-length", "32")
    words = (*words, "--kv-bits", "8", "--kv-group-size", "32", "--max-chunks", "2")
    assert main(list(words)) == 0
    assert "at the rate of run" in dry(capfd, *words)
    assert "timed just now" in dry(capfd, *words, "--kernel", "mlx-lm")
    machine["device"] = "cuda"
    assert "timed just now" in dry(capfd, *words)
