"""``qfid bench``: what it measures, how it adds up, and what it says when it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from fake_hub_cache import model_files, write_repo
from markdown_cells import cells, unlike_plain

from qfid_tui.cli.commands.bench import _arguments
from scorer.bench.options import SHAPES
from scorer.bench.peak_memory import PeakMemory
from scorer.bench.scoring import main
from scorer.bench.shapes import config_of, random_model
from scorer.bench.shares import HOST, METRICS, QUANTIZED, REFERENCE, SAVING, Clock
from scorer.bench.table import start_to_markdown, weights_to_markdown
from scorer.device.backend import start_backend
from scorer.models.hub_cache import hub_folder

SMALL = ["--shape", "tiny", "--chunk-length", "40", "--max-chunks", "2", "--repeats", "2"]


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def measured(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--format", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("path", ["dequantized", "deployed"])
def test_the_figures_add_up(capsys: pytest.CaptureFixture[str], path: str) -> None:
    found = measured(capsys, *SMALL, "--kv-bits", "8,4", "--path", path)
    assert len(found["settings"]) == 2 and found["path"] == path
    assert (found["chunks"], found["chunk_length"], found["batch"]) == (2, 40, 1)
    bare, scoring = found["bare_s_per_chunk"], found["scoring_s_per_chunk"]
    assert found["ratio_to_bare"] == pytest.approx(scoring / (3 * bare))
    assert found["tokens_per_s"]["bare"] == pytest.approx(39 / bare)
    assert found["tokens_per_s"]["scoring"] == pytest.approx(3 * 39 / scoring)
    assert len(found["ratio_of_each_repeat"]) == 2
    assert set(found["share"]) == {REFERENCE, QUANTIZED, METRICS, SAVING, HOST}
    assert sum(found["share"].values()) == pytest.approx(1)
    assert all(part > 0 for part in found["share"].values())
    assert found["peak_bytes_above_weights"] is None or found["peak_bytes_above_weights"] >= 0
    beside = found["beside_products"]
    floor = beside["pass_flop"] / beside["flop_per_s"]
    assert beside["workers"] >= 1 and beside["pass_flop"] > 0
    assert beside["ratio"] == pytest.approx(beside["pass_s"] / floor)


def test_the_page_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--kv-bits", "8,k8v4", "--batch", "2"]) == 0
    page = capsys.readouterr().out
    assert "# qfid bench: tiny" in page
    assert "2 chunks of 40 tokens, 2 at a time; best of 2; dequantized path: 8, k8v4" in page
    assert cells(page) and unlike_plain(page) == []
    assert "scoring, 3 passes" in page and "scoring ÷ (3 × bare)" in page


def test_a_cached_model(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(
        capsys, "demo", "--chunk-length", "48", "--max-chunks", "1", "--repeats", "1",
        "--kv-bits", "4:32",
    )  # fmt: skip
    assert found["model"] == "demo" and found["chunks"] == 1
    assert found["ratio_to_bare"] > 0


@pytest.mark.slow
def test_sets_of_weights_together_and_in_turns(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "--weights", "8:32,4:32", "--kv-bits", "4:32", "--chunk-length", "48"]
    found = measured(capsys, *words, "--max-chunks", "2", "--repeats", "2")
    settings = [name.removesuffix("~dequantized") for name in found["settings"]]
    assert settings == ["4:32", "w8:32", "w8:32+4:32", "w4:32", "w4:32+4:32"]
    assert found["passes"] == 6 and len(found["ratio_of_each_repeat"]) == 2
    bare, tails = found["bare_s_per_chunk"], found["reference_tails_s_per_chunk"]
    assert 0 < tails < bare
    assert found["ratio_to_bare"] == pytest.approx(found["together_s_per_chunk"] / bare)
    turns = found["in_turns_s_per_chunk"] / (bare + tails)
    assert found["ratio_in_turns"] == pytest.approx(turns)
    assert set(found["loading_s"]) == {"w8:32", "w4:32"} and min(found["loading_s"].values()) > 0
    page = "\n".join(weights_to_markdown(found))
    assert "6 bare forwards" in page and "loading, apart: w8:32" in page
    assert cells(page) and unlike_plain(page) == []


def test_the_start_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A child of its own is timed, once without kernels on disk and once with them."""
    words = ["demo", "--kv-bits", "8", "--chunk-length", "64", "--max-chunks", "1", "--start"]
    found = measured(capsys, *words)
    assert (found["model"], found["settings"]) == ("demo", ["8~dequantized"])
    assert [start["cache"] for start in found["starts"]] == ["empty", "warm"]
    for start in found["starts"]:
        names = [step["name"] for step in start["steps"]]
        assert names == ["hello", "tokenizing", "model", "checking", "planned", "first batch"]
        seconds = [step["seconds"] for step in start["steps"]]
        assert seconds == sorted(seconds) and start["seconds"] == seconds[-1] > 0
    page = "\n".join(start_to_markdown(found))
    assert "# qfid bench --start: demo" in page and "dequantized path: 8" in page
    assert page.count("to the first batch, kernel cache") == 2 and "s model: demo" in page


@pytest.mark.slow
def test_a_shape_is_started_from_a_folder_with_a_tokenizer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--shape", "wide-vocabulary", "--kv-bits", "8", "--chunk-length", "32"]
    found = measured(capsys, *words, "--max-chunks", "1", "--start")
    assert found["model"] == "wide-vocabulary"
    assert all(start["steps"][-1]["name"] == "first batch" for start in found["starts"])


def test_a_start_that_fails_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    # The demo's tokenizer has more tokens than this shape.
    assert main([*SMALL, "--kv-bits", "8", "--start"]) != 0
    assert "is beyond the model's 512 embedding rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*SMALL, "--kv-bits", "7"], "7"),
        ([*SMALL, "--kv-bits", "8:128"], "does not divide the head dimension 64"),
        ([*SMALL, "--repeats", "0"], "at least 1"),
        (["org/absent"], "org/absent"),
        ([*SMALL, "--weights", "4"], "a stored model"),
        (["demo", "--weights", "7"], "7"),
    ],
)
def test_what_cannot_be_measured(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and said in err
    assert len(err.splitlines()) <= 2


def test_the_command_is_a_process_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qfid_tui.cli", "bench", *SMALL, "--kv-bits", "8", "--format=json"],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["settings"] == ["8~dequantized"]


def test_options_reach_the_process_as_they_were_given() -> None:
    import argparse

    from scorer.bench.options import add_options

    parser = argparse.ArgumentParser()
    add_options(parser)
    for words in (
        ["org/model", "--batch", "3", "--path", "deployed"],
        ["--", "-odd"],
        ["demo", "--start"],
        ["demo", "--weights", "8,4:32", "--kv-bits", "4"],
        ["--report"],
        ["--report", "30", "--kv-bits", "8"],
        ["--shape", "llama-1b", "--kv-bits", "8,k8v4", "--repeats", "5", "--format", "json"],
    ):
        args = parser.parse_args(words)
        assert parser.parse_args(_arguments(args)) == args


def test_a_broken_model_is_an_error_of_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    write_repo(hub_folder(), "org/broken", {**model_files(), "model.safetensors": b"no"})
    assert main(["org/broken"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_a_config(shape: str) -> None:
    config = config_of(shape)
    assert config["hidden_size"] % config["num_attention_heads"] == 0
    assert config["hidden_size"] // config["num_attention_heads"] == 64


def test_random_models_repeat_and_differ_by_seed() -> None:
    backend = start_backend()
    tokens = mx.array([[3, 1, 4, 1]])
    made = [np.array(random_model("tiny", backend, seed)(tokens)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(made[0], made[1])
    assert np.abs(made[0] - made[2]).max() > 0.1
    assert np.isfinite(made[0]).all() and made[0].std() > 0.1


def test_memory_above_the_start_is_seen() -> None:
    peak = PeakMemory("cpu")
    peak.reset()
    held = np.ones(40 << 20, np.uint8)
    peak.note()
    assert peak.above is not None and peak.above >= held.nbytes
    before = peak.above
    peak.note()
    assert peak.above >= before


def test_shares_never_sum_to_more_than_the_whole() -> None:
    clock = Clock()
    clock.seconds.update({REFERENCE: 1.0, QUANTIZED: 2.0, METRICS: 0.5, SAVING: 0.5})
    assert clock.shares(5.0) == {
        REFERENCE: 0.2, QUANTIZED: 0.4, METRICS: 0.1, SAVING: 0.1, HOST: pytest.approx(0.2)
    }  # fmt: skip
