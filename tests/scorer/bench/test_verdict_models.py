"""Models of the study of the verdict: trained, written, and scored, the smallest of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model

from scorer.bench.verdicts import __main__ as command
from scorer.bench.verdicts.attention import attention_facts
from scorer.bench.verdicts.models import PLANS, byte_ids, new_model, save_model
from scorer.bench.verdicts.names import STUDIED
from scorer.bench.verdicts.scoring import REFERENCE, SETTINGS, answers_of
from scorer.bench.verdicts.training import rate_share
from scorer.bench.verdicts.windows import WINDOW, Asked
from scorer.demo.tokenizer import train_tokenizer
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings

TINY = PLANS["tiny-qwen2"]


def test_there_are_a_hundred_cells_and_more() -> None:
    settings = parse_settings(SETTINGS)
    assert len(set(settings)) * len(STUDIED) >= 120
    assert set(STUDIED) <= set(PLANS)


@pytest.mark.parametrize("name", STUDIED)
def test_heads_and_rows_have_whole_groups(name: str) -> None:
    config = PLANS[name].config
    head = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    assert (
        head % 64 == 0 and config["hidden_size"] % 64 == 0 and config["intermediate_size"] % 64 == 0
    )


def test_a_token_is_a_byte() -> None:
    ids = byte_ids()
    text = '^K a1:b2?\n{"x":"y"}.'
    encoded = train_tokenizer("", 257).encode(text).ids
    assert encoded == ids[[ord(each) for each in text]].tolist()
    assert len(set(ids.tolist())) == 128 and ids.min() > 0


@pytest.mark.parametrize("name", ["tiny", "tiny-qwen2", "tiny-gemma3"])
def test_a_written_model_is_the_model(name: str, tmp_path: Path) -> None:
    plan = PLANS[name]
    model = new_model(plan)
    save_model(plan, model, tmp_path)
    read, _ = load_model(tmp_path)
    ids = mx.array(np.random.default_rng(0).integers(1, 200, (1, 20)))
    found, expected = np.array(read(ids)), np.array(model(ids))
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert all(v.dtype == mx.float16 for _, v in tree_flatten(read.parameters()))


def test_loud_keys_are_loud(tmp_path: Path) -> None:
    ids = mx.array(np.random.default_rng(0).integers(1, 200, (2, 40)))
    assert attention_facts(new_model(TINY), ids)["loud_keys"] > 10
    quiet = attention_facts(new_model(PLANS["tiny"]), ids)
    assert quiet["loud_keys"] < 10
    # Nothing is learned: a query of the second half spreads its attention over 21 to 40 tokens.
    assert 1 / 40 < quiet["sink"] < 1 / 20
    assert quiet["sink"] <= quiet["sink_of_layer"] < 1 / 10


def test_the_rate_rises_and_falls() -> None:
    shares = [rate_share(each / 100) for each in range(101)]
    assert max(shares) <= 1.0 and shares[5] > 0.95 and shares[0] < 0.05
    assert shares[5:] == sorted(shares[5:], reverse=True) and shares[-1] == pytest.approx(0.02)


def test_answers_are_those_of_the_likeliest_tokens(tmp_path: Path) -> None:
    """Against the model called directly, which repeats its last token: often rightly."""
    made = new_model(TINY)
    # Head and embeddings are one, so that what is embedded strongly is what comes out.
    made.model.embed_tokens.weight *= 14
    model = tmp_path / "model"
    save_model(TINY, made, model)
    rng = np.random.default_rng(3)
    text = "".join(letter * int(rng.integers(1, 6)) for letter in "ab" * 1000)
    corpus = tmp_path / "text.txt"
    corpus.write_text(text[: 3 * WINDOW])
    items = [
        Asked("copy", window, first, first + length)
        for window in range(3)
        for first in range(1, WINDOW - 4, 7)
        for length in (1, 3)
    ]
    job = Job(
        model=str(model),
        settings=parse_settings("8,2,w2"),
        corpus=CorpusSpec(str(corpus)),
        chunk_length=WINDOW,
        batch=2,
    )
    found = answers_of(job, items)
    assert set(found) == {REFERENCE, "8", "2", "w2"}
    direct, _ = load_model(model)
    assert 0.1 < np.mean(found[REFERENCE]) < 0.9
    ids = byte_ids()[np.frombuffer(text[: 3 * WINDOW].encode(), np.uint8)].reshape(3, WINDOW)
    for key in (REFERENCE, "w2"):
        if key == "w2":
            nn.quantize(direct, group_size=64, bits=2)
        top = np.array(mx.argmax(direct(mx.array(ids[:, :-1])), axis=-1))
        expected = [
            all(
                top[item.window, at - 1] == ids[item.window, at]
                for at in range(item.first, item.end)
            )
            for item in items
        ]
        assert np.mean(found[key] == expected) > 0.995, key
    assert np.mean(found["w2"] != found[REFERENCE]) > 0.01


@pytest.mark.slow
def test_a_whole_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {
        "--out": tmp_path,
        "--items": 12,
        "--chunks": 4,
        "--windows": 64,
        "--batch": 2,
        "--score-batch": 4,
        "--dtype": "float32",
        "--processes": 1,
        "--settings": "8,2,w4,w2+4",
        "--models": "tiny-qwen2,tiny-gemma3",
        "--steps": 3,
        "--seconds": 60,
    }
    given = [str(each) for pair in options.items() for each in pair]
    for step in ("text", "all", "report"):
        assert command.main([step, *given]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["cells"]) == 8
    assert "8 cells: 2 small models" in capsys.readouterr().out
    # What is there is not made again.
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*/*")}
    assert command.main(["all", *given]) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*/*")} == times


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report"], "holds no model that is scored"),
        (["score", "--models", "tiny,"], "holds no trained model of: tiny"),
        (["train", "--models", "bogus"], "`bogus` is no model of the study; there are llama-5m"),
        (["score", "--settings", "zz"], "`zz`"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "make_held_out", lambda *args: None)
    assert command.main([*arguments, "--out", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ") and said in shown.err
    assert shown.err.count("\n") == 1 and shown.out == ""
    assert not list(tmp_path.iterdir())


def test_a_file_where_the_folder_should_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert command.main(["text", "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("option", ["--items=0", "--steps=-1", "--seconds=nan", "--dtype=no"])
def test_numbers_that_make_nothing_are_refused(option: str) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["text", "--out", "nowhere", option])
    assert caught.value.code == 2


def test_all_ends_as_the_step_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "make_held_out", lambda *args: None)

    def fails(*args: object, **options: object) -> None:
        raise command.subprocess.CalledProcessError(3, "train")

    monkeypatch.setattr(command.subprocess, "run", fails)
    assert command.main(["all", "--out", str(tmp_path)]) == 3
