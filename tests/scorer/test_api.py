"""``measure_kv_fidelity``: numbers of one setting or of several, or an exception."""

from __future__ import annotations

import inspect
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NoReturn

import mlx.core as mx
import pytest
from measured import measure
from project import ROOT
from tiny_runs import Small, edit_weights, finished

from scorer import api, measure_kv_fidelity
from scorer.common.errors import (
    CorpusNotCached,
    InputError,
    Interrupted,
    ModelNotCached,
    QfidError,
    SettingFailed,
    WillNotFit,
)
from scorer.runs.listing import list_runs
from scorer.score import failure
from scorer.spec.events import Event, Failed
from scorer.spec.job import Job
from scorer.spec.ranks import Host, Ranks
from scorer.spec.settings.kv import KVSetting

# Two chunks of a random model are few, and far from any text.
pytestmark = pytest.mark.filterwarnings("ignore::scorer.common.warning_categories.ReportWarning")


def test_one_call_gives_the_figures_of_one_setting(small: Small) -> None:
    report = measure(small, kv_bits=8)
    (row,) = finished(small.score("8")).report["settings"]
    assert report.setting == "8" and report.verdict == row["verdict"]
    assert report.kl.mean == row["kl"]["mean"] > 0
    assert (report.kl.median, report.kl.p99, report.kl.max) == (
        row["kl"]["median"],
        row["kl"]["p99"],
        row["kl"]["max"],
    )
    assert report.flip_rate == row["flip_rate"]
    assert (report.n_chunks, report.n_positions) == (2, 62)
    assert report.perplexity_delta == pytest.approx(report.perplexity_quant - report.perplexity_ref)
    assert report.to_json()["kv_bytes_per_token"] == row["kv_bytes_per_token"]


def test_the_builtin_model_brings_its_text() -> None:
    report = measure_kv_fidelity("demo", kv_bits=8, chunk_length=64, max_chunks=2)
    assert report.to_json()["corpus"]["name"] == "builtin"
    assert 0 < report.kl.mean < 0.01 and report.verdict in ("good", "marginal", "bad")
    assert math.isfinite(report.perplexity_ref)


def test_the_run_is_saved(small: Small) -> None:
    measure(small, kv_bits=8)
    (run,) = list_runs()
    assert run.state == "finished" and run.settings == ("8",)


def test_every_option_reaches_the_job(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Job] = []

    class Asked(Exception):
        pass

    def remember(job: Job, allow_custom_code: bool, on_event: object, **more: object) -> None:
        assert allow_custom_code and on_event is print and more == {"ranks": 1, "shard": None}
        asked.append(job)
        raise Asked

    monkeypatch.setattr(api, "run_job", remember)
    options: dict[str, Any] = {
        "kernel": "mlx-lm",
        "control": True,
        "corpus": "text.md",
        "protocol": "llama.cpp",
        "chunk_length": 64,
        "chunks": "spread",
        "max_chunks": 3,
        "revision": "v1",
        "allow_custom_code": True,
        "force": True,
    }
    with pytest.raises(Asked):
        measure_kv_fidelity(
            "a/b",
            kv_bits=4,
            kv_group_size=32,
            quantize_start=9,
            path="dequantized",
            on_event=print,
            **options,
        )
    (job,) = asked
    assert job.settings == (KVSetting(4, 4, 32, 9, "dequantized"),)
    assert (job.model, job.corpus.source) == ("a/b", "text.md")
    del options["corpus"]
    # Consent is no part of a job.
    assert {name: getattr(job, name) for name in options} == options | {"allow_custom_code": False}
    taken = {"model", "kv_bits", "kv_group_size", "setting", "settings", "quantize_start", "path"}
    taken |= {"corpus", "on_event", "ranks", "shard", "until_settled"}
    assert set(inspect.signature(measure_kv_fidelity).parameters) == taken | set(options)


@pytest.mark.parametrize(
    ("options", "chunks"),
    [
        ({}, "first"),
        ({"until_settled": True}, "random:1"),
        ({"until_settled": True, "max_chunks": 3, "protocol": "llama.cpp"}, "random:1"),
        ({"max_chunks": 3}, "spread"),
        ({"max_chunks": 3, "chunks": "first"}, "first"),
        ({"max_chunks": 3, "protocol": "llama.cpp"}, "first"),
        ({"max_chunks": 3, "protocol": "llama.cpp", "chunks": "spread"}, "spread"),
    ],
)
def test_some_of_the_chunks_are_spread_over_the_text(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], chunks: str
) -> None:
    def told(job: Job, *_: object, **more: object) -> NoReturn:
        raise LookupError(job.chunks)

    monkeypatch.setattr(api, "run_job", told)
    with pytest.raises(LookupError, match=chunks):
        measure_kv_fidelity("a/b", kv_bits=8, **options)


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"kv_bits": 4}, "4"),
        ({"setting": "k8v4"}, "k8v4"),
        ({"setting": "4", "kv_group_size": 32, "quantize_start": 7}, "4:32@7"),
        ({"setting": KVSetting(16, 4)}, "k16v4"),
        ({"setting": "4~dequantized"}, "4~dequantized"),
    ],
)
def test_a_setting_is_a_width_a_notation_or_a_value(
    small: Small, options: dict[str, Any], setting: str
) -> None:
    assert measure(small, **options).setting == setting


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, InputError, "give one of `kv_bits`, `setting` and `settings`"),
        ({"kv_bits": 8, "setting": "8"}, InputError, "give one of `kv_bits`"),
        ({"kv_bits": 8, "settings": ["8"]}, InputError, "give one of `kv_bits`"),
        ({"setting": "8", "settings": ["4"]}, InputError, "give one of `kv_bits`"),
        ({"settings": []}, InputError, "the job has no setting"),
        ({"settings": ""}, InputError, "no setting was given"),
        ({"settings": ["8", "8:64"]}, InputError, "setting `8` is named twice"),
        ({"settings": ["8", "7"]}, InputError, "`7` bits for the key side"),
        ({"kv_bits": 7}, InputError, "`7` bits for the key side"),
        ({"kv_bits": 8, "kv_group_size": 128}, InputError, "does not divide the head dimension"),
        ({"kv_bits": 8, "corpus": "nowhere.txt"}, InputError, "there is no file `nowhere.txt`"),
        ({"kv_bits": 8, "chunk_length": 1}, InputError, "leaves no token to predict"),
        ({"kv_bits": 8, "quantize_start": 31}, InputError, "leaves no position to score"),
        ({"kv_bits": 8, "revision": "v1"}, InputError, "a local folder has no revision `v1`"),
        ({"kv_bits": 8, "corpus": "wikitext2"}, CorpusNotCached, "WikiText-2"),
    ],
)
def test_a_wrong_input_raises(
    small: Small, options: dict[str, Any], error: type[QfidError], message: str
) -> None:
    with pytest.raises(error) as caught:
        measure(small, **options)
    assert type(caught.value) is error
    assert message in caught.value.message and caught.value.exit_code == 2
    assert list_runs() == []


def test_a_model_that_is_not_cached_says_which() -> None:
    with pytest.raises(ModelNotCached) as caught:
        measure_kv_fidelity("nobody/nothing", kv_bits=8, revision="v1")
    assert (caught.value.repo, caught.value.revision) == ("nobody/nothing", "v1")
    assert caught.value.hint == "qfid pull nobody/nothing --revision v1"


def test_a_failed_setting_raises(small: Small, tmp_path: Path) -> None:
    model = shutil.copytree(small.model, tmp_path / "tiny-llama")

    def no_output(weights: dict[str, Any]) -> None:
        for name, value in weights.items():
            if "o_proj" in name:
                weights[name] = mx.zeros_like(value)

    edit_weights(model, no_output)
    with pytest.raises(SettingFailed) as caught:
        measure(Small(model, small.text), kv_bits=8)
    assert "quantization did not engage" in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    "error",
    [
        InputError("m", "h"),
        CorpusNotCached("m", "h"),
        WillNotFit("m", "h"),
        SettingFailed("m", "h"),
        Interrupted("m", "h"),
        QfidError("m", "h"),
        ModelNotCached("m", "h", "a/b", None),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_failure_comes_back_as_the_exception_it_was(
    error: QfidError, monkeypatch: pytest.MonkeyPatch, small: Small
) -> None:
    def score(job: Job) -> Generator[Event, None, None]:
        yield failure(error)

    monkeypatch.setattr("scorer.score.score", score)
    with pytest.raises(QfidError) as caught:
        measure(small, kv_bits=8)
    assert type(caught.value) is type(error)
    assert (caught.value.message, caught.value.hint) == ("m", "h")
    assert caught.value.exit_code == error.exit_code


def test_an_error_of_a_newer_kind_keeps_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, small: Small
) -> None:
    unheard = Failed("Unheard", "m", exit_code=3)
    monkeypatch.setattr("scorer.score.score", lambda job: (event for event in [unheard]))
    with pytest.raises(QfidError) as caught:
        measure(small, kv_bits=8)
    assert type(caught.value) is QfidError and caught.value.exit_code == 3


GONE = """
import os, sys
from scorer import measure_kv_fidelity
from scorer.common.errors import InputError
os.chdir(sys.argv[1])
os.rmdir(sys.argv[1])
try:
    measure_kv_fidelity("demo", kv_bits=8, max_chunks=1, chunk_length=32)
except InputError as error:
    print(error.message)
"""


def test_a_deleted_working_directory_is_an_error_and_not_the_end_of_the_process(
    tmp_path: Path,
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", GONE, str(gone)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "the working directory has been deleted\n", done.stderr


def test_ranks_reach_the_child(
    small: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    requests: list[dict[str, Any]] = []

    def remember(request: dict[str, Any]) -> Iterator[Event]:
        requests.append(request)
        yield Failed("InputError", "no further", "", 2)

    monkeypatch.setattr("scorer.child.apart._in_child", remember)
    hosts = tmp_path / "hosts.json"
    hosts.write_text('[{"ssh": "127.0.0.1"}, {"ssh": "b", "ips": ["10.0.0.2"]}]')
    for ranks in (2, hosts):
        with pytest.raises(InputError, match="no further"):
            measure_kv_fidelity(small.model, kv_bits=8, corpus=small.text, ranks=ranks)
    assert [Ranks.from_json(r["ranks"]).hosts for r in requests] == [
        (Host(), Host()),
        (Host(), Host("b", ("10.0.0.2",))),
    ]
    with pytest.raises(InputError, match="no further"):
        measure_kv_fidelity(small.model, kv_bits=8, corpus=small.text, ranks=2, shard="tensor")
    assert requests[-1]["ranks"]["shard"] == "tensor"
    with pytest.raises(InputError, match="splits a model over ranks, and there is one"):
        measure_kv_fidelity(small.model, kv_bits=8, corpus=small.text, shard="tensor")
    with pytest.raises(InputError, match="`0` ranks cannot share a run"):
        measure_kv_fidelity(small.model, kv_bits=8, corpus=small.text, ranks=0)
