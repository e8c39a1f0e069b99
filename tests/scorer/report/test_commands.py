"""The commands a report prints: read back by a shell and by the command line's own parser."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfid_tui.cli import main
from qfid_tui.cli.commands import kv
from qfid_tui.cli.job_options import job_of
from qfid_tui.cli.parser import Parser
from scorer.common.inert_text import inert
from scorer.report.commands import generate_command, kv_command, run_command, shell_word
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.kv import BITS, GROUP_SIZES, KVSetting
from scorer.spec.settings.registry import parse_settings


def parsed(words: list[str]) -> argparse.Namespace:
    """What ``qfid`` makes of these words, its own name first."""
    parser = Parser(prog="qfid")
    kv.add_parser(parser.add_subparsers())
    assert words[0] == "qfid"
    return parser.parse_args(words[1:])


SETTINGS = st.builds(
    KVSetting,
    st.sampled_from(BITS),
    st.sampled_from((*BITS, 16)),
    st.sampled_from(GROUP_SIZES),
    st.sampled_from((0, 1, 64)),
    st.sampled_from(("deployed", "dequantized")),
)
# What a file name or a repo id on a POSIX system can hold, quotes and blanks included.
NAMES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FFF), min_size=1, max_size=20)
SHOWN_NAMES = NAMES.filter(lambda name: inert(name) == name)
JOBS = st.builds(
    Job,
    model=SHOWN_NAMES | st.sampled_from(["demo", "org/model", "./kv", "-x", "--help"]),
    settings=st.lists(SETTINGS, min_size=1, max_size=4, unique=True).map(tuple),
    corpus=st.builds(
        CorpusSpec,
        st.sampled_from(["wikitext2", "builtin"])
        | SHOWN_NAMES.map(lambda name: "/texts/" + name.replace("/", "") + ".txt"),
    ),
    revision=st.none() | st.sampled_from(["main", "-v1", "a" * 40]),
    protocol=st.sampled_from(("mqf", "llama.cpp")),
    chunk_length=st.sampled_from((128, 512, 2048)),
    chunks=st.sampled_from(("first", "spread", "random:9")),
    max_chunks=st.none() | st.integers(1, 900),
    kernel=st.sampled_from(("auto", "mlx-lm")),
    control=st.booleans(),
    noise_floor=st.sampled_from((0, 4, 16)),
    batch=st.none() | st.integers(1, 8),
    force=st.booleans(),
)


@given(JOBS, st.booleans())
def test_the_command_asks_for_the_same_job(job: Job, until_settled: bool) -> None:
    if until_settled and job.chunks.startswith("random:"):
        job = dataclasses.replace(job, until_settled=True)
    assert job_of(parsed(shlex.split(kv_command(job)))) == job


@given(JOBS)
def test_the_revision_found_replaces_the_one_asked_for(job: Job) -> None:
    commit = "0123456789abcdef" * 2
    found = job_of(parsed(shlex.split(kv_command(job, commit))))
    assert found == dataclasses.replace(job, revision=commit)


def test_defaults_are_left_out() -> None:
    assert kv_command(Job("org/model", (KVSetting(8, 8), KVSetting(8, 4)))) == (
        "qfid kv org/model --settings 8,k8v4"
    )
    # Which chunks is said wherever not all are taken.
    some = Job("org/model", (KVSetting(8, 8),), max_chunks=4)
    assert kv_command(some) == "qfid kv org/model --settings 8 --chunks first --max-chunks 4"
    # The demo's own text is the built-in one: another has to be named.
    demo = Job("demo", (KVSetting(4, 4),))
    assert kv_command(demo) == "qfid kv demo --settings 4 --corpus wikitext2"
    builtin = dataclasses.replace(demo, corpus=CorpusSpec("builtin"))
    assert kv_command(builtin) == "qfid kv demo --settings 4"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("org/model-4bit", "org/model-4bit"),
        ("my model", "'my model'"),
        ("$(reboot)", "'$(reboot)'"),
        ("it's", "'it'\"'\"'s'"),
        ("", "''"),
        ("a\nb", "$'a\\x0ab'"),
        ("a'\\\x1b", "$'a\\'\\\\\\x1b'"),
        ("\u202e", "$'\\xe2\\x80\\xae'"),
        ("\udcff", "$'\\xff'"),
    ],
)
def test_shell_word(text: str, word: str) -> None:
    assert shell_word(text) == word


@given(st.lists(st.text(st.characters(codec=None), max_size=20), max_size=4))
def test_shell_words_are_inert(texts: list[str]) -> None:
    for text in texts:
        assert inert(shell_word(text)) == shell_word(text)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash to read the words")
def test_a_shell_reads_the_words_back() -> None:
    # Every ASCII character but NUL, which no argument can hold, and marks of several bytes.
    texts = [chr(c) for c in range(1, 0x80)]
    texts += [
        "a\n\n",
        "\x1b[31m0",
        "\x7f7",
        "‮\u202eabc",
        "\u2028f",
        "漢字 'ü'",
        "\udcff1",
        "\ufeffA",
    ]
    texts.append("".join(texts))
    script = "printf '%s\\0' " + " ".join(map(shell_word, texts))
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    found = done.stdout.split(b"\0")[:-1]
    assert [word.decode("utf-8", "surrogateescape") for word in found] == texts


@pytest.mark.parametrize(
    ("model", "setting", "line"),
    [
        (
            "org/model",
            "8",
            "mlx_lm.generate --model org/model --kv-bits 8 --kv-group-size 64 "
            "--quantized-kv-start 0 --prompt …",
        ),
        (
            "./my model",
            "4:32@512",
            "mlx_lm.generate --model './my model' --kv-bits 4 --kv-group-size 32 "
            "--quantized-kv-start 512 --prompt …",
        ),
        ("org/model", "k8v4", None),
        ("demo", "8", None),
    ],
)
def test_generate_command(model: str, setting: str, line: str | None) -> None:
    assert generate_command(model, KVSetting.parse(setting)) == line


def asked_by(command: str, monkeypatch: pytest.MonkeyPatch) -> Job:
    """The job that a command line would score."""
    found: list[Job] = []

    def keep(job: Job, *_: Any) -> int:
        found.append(job)
        return 0

    monkeypatch.setattr("qfid_tui.cli.scoring.score_new", keep)
    words = shlex.split(command)
    assert words[0] == "qfid" and main(words[1:]) == 0
    return found[0]


WEIGHTS_JOB = Job(
    "org/model",
    parse_settings("8,w4,w4:32+k8v4,w=org/model-4bit@1a2b3c,wmxfp8+4@256,w=/a%20b+8"),
    chunks="spread",
    max_chunks=4,
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"one_at_a_time": True, "revision": "a" * 40},
        {"settings": parse_settings("8"), "one_at_a_time": True},
        {"settings": parse_settings("8"), "deployment": DeploymentSpec()},
        {"deployment": DeploymentSpec(16 * 10**9, 32 << 10)},
        {"deployment": DeploymentSpec(8 << 30, 1000, 2, "cuda", 64), "control": True},
        {"deployment": DeploymentSpec(device="cpu"), "batch": 2, "kernel": "mlx-lm"},
    ],
)
def test_a_run_with_weights_is_asked_for_by_weights(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = dataclasses.replace(WEIGHTS_JOB, **changes)
    command = run_command(job)
    assert command.startswith("qfid weights org/model --settings ")
    assert asked_by(command, monkeypatch) == job


def test_a_search_for_what_fits_is_asked_for_by_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(
        "demo",
        parse_settings("w8+8,w4+4"),
        corpus=CorpusSpec("builtin"),
        chunks="spread",
        max_chunks=8,
        deployment=DeploymentSpec(9 * 10**6, 2048),
        drop_beaten=True,
    )
    command = run_command(job)
    assert command == (
        "qfid fit demo --settings w8+8,w4+4 --memory 9MB --context 2k --chunks spread "
        "--max-chunks 8"
    )
    assert asked_by(command, monkeypatch) == job


def test_a_run_about_the_cache_alone_is_asked_for_by_kv() -> None:
    job = Job("org/model", parse_settings("8,k8v4"))
    assert run_command(job) == kv_command(job) == "qfid kv org/model --settings 8,k8v4"
