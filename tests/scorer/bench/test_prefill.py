"""The predicted peak of a prompt against the peak of mlx-lm's own prefill, on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_models import REPO, use_real_cache

from scorer.bench.prefill import cached_prompted, main, measure, random_prompted
from scorer.device.backend import running_backend
from scorer.spec.settings.kv import KVSetting

PROMPTS = [(1025, 512), (2049, 2048)]
SETTINGS = [None, KVSetting.parse("8")]


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFID_DEVICE", "cpu")


@pytest.mark.parametrize("kv", [None, KVSetting.parse("8:32")])
def test_a_short_prompt_is_near_its_prediction(kv: KVSetting | None) -> None:
    # Fast operations leave the queue of MLX shorter than it may be, so a peak can be far lower.
    with running_backend() as backend:
        found = measure(random_prompted("tiny", backend), backend, 513, 256, kv)
    predicted = found.predicted.total - found.predicted.weights
    assert 0.85 <= predicted / found.above <= 1.6


@pytest.mark.slow
@pytest.mark.parametrize("kv", SETTINGS)
@pytest.mark.parametrize(("tokens", "step"), PROMPTS)
def test_the_peak_of_a_random_model(tokens: int, step: int, kv: KVSetting | None) -> None:
    with running_backend() as backend:
        found = measure(random_prompted("tiny", backend), backend, tokens, step, kv)
    predicted = found.predicted.total - found.predicted.weights
    assert abs(predicted / found.above - 1) <= 0.1


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("kv", SETTINGS)
@pytest.mark.parametrize(("tokens", "step"), PROMPTS)
def test_the_peak_of_smollm2_in_float32(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tokens: int,
    step: int,
    kv: KVSetting | None,
) -> None:
    use_real_cache(monkeypatch, tmp_path, f"{REPO}-fp32")
    with running_backend() as backend:
        prompted = cached_prompted(f"{REPO}-fp32")
        assert prompted.shape.element_bytes == 4
        found = measure(prompted, backend, tokens, step, kv)
    predicted = found.predicted.total - found.predicted.weights
    assert abs(predicted / found.above - 1) <= 0.1


def test_the_table_has_a_row_for_each_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["--shape", "tiny", "--prompts", "65:64,33:64", "--kv", "16", "--repeats", "1"]) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1:4] for line in lines[3:]] == [
        ["      65 ", "    64 ", "     16 "],
        ["      33 ", "    64 ", "     16 "],
    ]


def test_a_prompt_that_is_no_number_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--shape", "tiny", "--prompts", "many:64"]) == 2
    assert "--prompts `many` is not a number of tokens" in capsys.readouterr().err
