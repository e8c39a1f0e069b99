"""The demo model: what it is, how well it predicts, and that its measurement means something."""

from __future__ import annotations

import hashlib
import json
import platform
import warnings
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models import llama

from scorer.demo import demo_model_path
from scorer.demo.corpus import CORPUS_FILE, builtin_documents
from scorer.demo.perplexity import chunked, model_perplexity, unigram_perplexity
from scorer.demo.text import Collected, collect, held_out_documents
from scorer.demo.train import CONFIG, Recipe, make
from scorer.text.tokens.tokenizer_file import load_tokenizer_file


@pytest.fixture(scope="module")
def documents() -> list[tuple[str, str]]:
    return list(builtin_documents())


def _model(folder: Path) -> llama.Model:
    config = json.loads((folder / "config.json").read_text())
    model = llama.Model(llama.ModelArgs.from_dict(config))
    weights = mx.load(str(folder / "model.safetensors"))
    model.load_weights([(name, value.astype(mx.float32)) for name, value in weights.items()])
    return model


def test_ships_within_its_size_in_16_bit() -> None:
    folder = demo_model_path()
    assert (folder / "model.safetensors").stat().st_size <= 6_000_000
    weights = mx.load(str(folder / "model.safetensors"))
    assert {value.dtype for value in weights.values()} == {mx.float16}
    config = json.loads((folder / "config.json").read_text())
    assert config == CONFIG, "the script no longer makes the model that is shipped"
    assert config["head_dim"] == 64
    assert config["num_attention_heads"] > config["num_key_value_heads"] > 1


@pytest.mark.slow
def test_predicts_held_out_text_far_better_than_token_counts(
    documents: list[tuple[str, str]],
) -> None:
    folder = demo_model_path()
    tokenizer = load_tokenizer_file(folder)
    held_out = "\n\n".join(body for _, body in documents)
    tokens = np.array(tokenizer.encode(held_out), dtype=np.int32)
    chunks = chunked(tokens, 256)[::16]
    assert model_perplexity(_model(folder), chunks) < unigram_perplexity(chunked(tokens, 256)) / 6


def test_the_corpus_does_not_depend_on_the_python_that_reads_it() -> None:
    content = CORPUS_FILE.read_bytes()
    digest = "522011ef60de94264405139b27da7525a3a27c69e1e202d96d866ab794944231"
    assert hashlib.sha256(content).hexdigest() == digest, "every figure of the demo changes"
    assert (
        f"CPython {json.loads(content)['python']}" in (demo_model_path() / "README.md").read_text()
    )


def test_reading_the_corpus_sets_no_warning_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the filters are those of all threads")

    for name in ("catch_warnings", "simplefilter", "filterwarnings"):
        monkeypatch.setattr(warnings, name, refused)
    assert len(builtin_documents.__wrapped__()) == 34


@pytest.mark.skipif(
    platform.python_version() != json.loads(CORPUS_FILE.read_bytes())["python"],
    reason="another Python has other documentation",
)
def test_the_corpus_is_what_the_script_makes(documents: list[tuple[str, str]]) -> None:
    assert held_out_documents() == documents


@pytest.mark.slow
def test_nothing_held_out_was_trained_on() -> None:
    text = collect()
    trained = {" ".join(part.split()) for part in text.training.split("\n\n")}
    for name, body in text.documents:
        paragraphs = [" ".join(part.split()) for part in body.split("\n\n")]
        shared = [part for part in paragraphs if len(part) >= 60 and part in trained]
        assert not shared, (name, shared[0])


def test_any_text_survives_the_tokenizer() -> None:
    tokenizer = load_tokenizer_file(demo_model_path())
    for sample in ("def f(x):\n\treturn x", "naïve — 你好 🙂", "  spaces   kept\n\n\n", "\x00\x1b"):
        assert tokenizer.decode(tokenizer.encode(sample)) == sample


@pytest.mark.slow
def test_the_script_makes_a_model_that_loads(
    tmp_path: Path, documents: list[tuple[str, str]]
) -> None:
    config = CONFIG | {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 400,
    }
    small = Collected("3", "\n\n".join(body for _, body in documents)[:40_000], documents[:2])
    make(tmp_path / "made", small, Recipe(steps=4, tokens=1024), config, "by hand")
    model = _model(tmp_path / "made")
    logits = model(mx.array([[1, 2, 3]]))
    assert logits.shape == (1, 3, 400)
    assert bool(mx.isfinite(logits).all())
    assert "by hand" in (tmp_path / "made" / "README.md").read_text()
    if mx.default_device() == mx.gpu:
        return  # its gradients are summed in no fixed order
    # Another run on the same text gives the same weights: the seed decides everything.
    make(tmp_path / "again", small, Recipe(steps=4, tokens=1024), config, "by hand")
    one, two = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("made", "again"))
    assert one == two
