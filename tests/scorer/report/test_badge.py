"""Badges and the block for a model card: quotable alone, and read back by the Hub's own reader."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results
from hypothesis import given
from hypothesis import strategies as st
from report_builders import make_facts, random_positions, scored
from weights_reports import weights_report

from scorer.report.build import build_report
from scorer.report.formats.badge import to_badges
from scorer.report.formats.model_card import to_model_card
from scorer.report.row_keys import with_row_keys
from scorer.report.tree import Report
from scorer.runs.facts import FailureFacts
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting

FAILURE = FailureFacts("SettingFailed", "setting `4`: NaN", "")


def report_of(name: str = "8", facts: Any = None, **changes: Any) -> Report:
    start = KVSetting.parse(name).start
    positions = random_positions(
        n_chunks=120, first=start, n_depth=15 - start, scale=0.001, flip_rate=0.0
    )
    facts = facts or make_facts(name, n_chunks=120)
    return build_report(facts, [scored(name, positions, **changes)])


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("8", {}, "good · 8-bit · wikitext-2-raw/16 · stress"),
        ("k8v4:32@5", {}, "good · k8v4-bit · group 32 · wikitext-2-raw/16 · deployment from 5"),
        ("4~dequantized", {}, "good · 4-bit · wikitext-2-raw/16 · stress · dequantized path"),
        (
            "8",
            {"kv_layers_skipped": {"X": 24}, "kv_layers_quantized": 6},
            "good · 8-bit · wikitext-2-raw/16 · stress · partial 6/30 layers",
        ),
    ],
)
def test_message(name: str, changes: dict[str, Any], message: str) -> None:
    (line,) = to_badges(report_of(name, **changes)).splitlines()
    assert line.startswith(f"![KV fidelity: {message}](https://img.shields.io/badge/")


def test_url() -> None:
    assert to_badges(report_of()) == (
        "![KV fidelity: good · 8-bit · wikitext-2-raw/16 · stress](https://img.shields.io/badge/"
        "KV_fidelity-good_%C2%B7_8--bit_%C2%B7_wikitext--2--raw%2F16_%C2%B7_stress-brightgreen)\n"
    )


def test_protocol_and_unfinished_runs_are_on_the_badge() -> None:
    job = Job("m", (KVSetting(8, 8),), protocol="llama.cpp", chunk_length=16)
    found = scored("8", random_positions(first=8, n_depth=7, chunks=[0, 1, 2]))
    badge = to_badges(build_report(make_facts("8", job=job, scored_from=8), [found]))
    assert "llama.cpp protocol · unfinished 3/12 chunks" in badge


def test_only_scored_settings_have_one() -> None:
    report = build_report(
        make_facts("8,4"), [scored("8", random_positions()), scored("4", None, failure=FAILURE)]
    )
    assert to_badges(report).count("\n") == 1
    none = build_report(make_facts("8"), [scored("8", None)])
    assert to_badges(none) == ""
    assert ModelCard(to_model_card(none)).data.to_dict()["model-index"][0]["results"] == []


def test_the_hub_reads_the_card() -> None:
    report = build_report(
        make_facts("8,k8v4"),
        [scored("8", random_positions()), scored("k8v4", random_positions(scale=0.02, seed=1))],
    )
    card = ModelCard(to_model_card(report))
    assert card.data.model_name == "local-test/SmolLM2"
    results = card.data.eval_results
    assert results is not None and len(results) == 10
    first = results[0]
    assert (first.metric_type, first.metric_name) == (
        "kl_divergence",
        "KL mean (nats), KV cache 8",
    )
    assert first.metric_value == report.settings[0].numbers.kl.mean  # type: ignore[union-attr]
    assert (first.dataset_type, first.dataset_split) == ("Salesforce/wikitext", "test")
    assert "12 chunks of 16 tokens, stress, protocol mqf" in first.dataset_name
    assert report.run.command in card.text
    assert "| `k8v4`  |" in card.text


CONDITIONS: dict[str, Any] = {
    "model files": "ab",
    "model content": "ab",
    "corpus": "cd",
    "tokenizer": "ef",
    "tokenizer versions": "1",
    "protocol": "mqf",
    "chunk length": 16,
    "batch": 1,
    "kernel": "auto",
    "device": "cuda H100",
    "compute dtype": "float32",
    "arithmetic": "mlx",
    "mlx version": "0.32.4",
    "mlx-lm version": "0.32.2",
}


def keyed(settings: str = "8,4@5,w8") -> Report:
    return with_row_keys(weights_report(settings, n_depth=60), CONDITIONS)


def test_badges_and_cards_say_which_rows_may_be_ranked_with_them() -> None:
    report = keyed()
    keys = [row.comparability_key for row in report.settings]
    assert None not in keys and keys[0] == keys[2] != keys[1]
    for line, key in zip(to_badges(report).splitlines(), keys, strict=True):
        assert f" · key {key}](https://" in line and f"_key_{key}-" in line
    assert "![KV fidelity: good · 8-bit · wikitext-2-raw/61 · stress · key " in to_badges(report)
    card = to_model_card(report)
    assert (
        "Protocol `mqf`. Only rows of one key may be ranked together. "
        f"Key of `8` (stress): `{keys[0]}`; of `4@5` (deployment from 5): `{keys[1]}`; "
        f"of `w8`: `{keys[2]}`." in card.splitlines()
    )
    unknown = to_model_card(build_report(make_facts("8"), [scored("8", random_positions())]))
    assert "Key of `8` (stress): not known." in unknown


def test_the_hub_keeps_the_conditions_of_every_metric() -> None:
    """Its library joins the results of one dataset, and writes them back."""
    report = keyed("8,4@5,4~dequantized")
    data = ModelCard(to_model_card(report)).data
    assert isinstance(data, ModelCardData)
    name, results = model_index_to_eval_results(data.to_dict()["model-index"])
    assert name == "local-test/SmolLM2" and len(results) == 15
    metrics = [(each.metric_type, each.metric_name, each.metric_value) for each in results]
    assert metrics == [
        (each.metric_type, each.metric_name, each.metric_value) for each in data.eval_results or ()
    ]
    for result, row in zip(results[::5], report.settings, strict=True):
        assert result.metric_args == {
            "setting": row.setting,
            "chunk_length": 61,
            "n_chunks": 12,
            "protocol": "mqf",
            "mode": row.quantize_mode,
            "quantize_start": row.quantize_start,
            "path": row.path,
            "comparability_key": row.comparability_key,
        }
        assert result.task_type == "text-generation"
        assert result.dataset_type == "Salesforce/wikitext"
        assert (result.dataset_config, result.dataset_split) == ("wikitext-2-raw-v1", "test")
        assert "12 chunks of 61 tokens" in result.dataset_name


@pytest.mark.parametrize("corpus", ["notes.md", "", "a\nb"])
def test_a_text_of_ones_own_has_all_keys_that_the_hub_requires(corpus: str) -> None:
    facts = make_facts("8")
    facts = replace(facts, corpus=replace(facts.corpus, name=corpus, split=None))
    text = to_model_card(build_report(facts, [scored("8", random_positions())]))
    (first, *_) = ModelCard(text).data.eval_results or ()
    assert isinstance(first, EvalResult)
    assert first.dataset_type and first.dataset_name and first.dataset_config is None


def test_infinite_numbers_are_left_out_of_the_metadata() -> None:
    positions = random_positions()
    positions.kl[3] = math.inf
    report = build_report(make_facts("8"), [scored("8", positions)])
    names = [m["type"] for m in _results(to_model_card(report))[0]["metrics"]]
    assert "kl_divergence" not in names and "top_token_flip_rate" in names


def test_warnings_travel_with_the_card() -> None:
    report = report_of(facts=make_facts("8", warnings=("the batch was halved",)))
    assert "> **Warning:** the batch was halved" in to_model_card(report).splitlines()


def _results(card: str) -> Any:
    line = card.splitlines()[1].removeprefix("model-index: ")
    return json.loads(line)[0]["results"]


@given(st.text(st.characters(codec=None), max_size=30), st.text(max_size=30))
def test_foreign_text_stays_where_it_is(model: str, corpus: str) -> None:
    facts = make_facts(
        "8", n_chunks=2, job=Job(model, (KVSetting(8, 8),), chunk_length=16), model_id=model
    )
    facts = replace(facts, corpus=replace(facts.corpus, name=corpus))
    report = build_report(facts, [scored("8", random_positions(n_chunks=2))])
    card = to_model_card(report)
    card.encode()
    lines = card.splitlines()
    assert [i for i, line in enumerate(lines) if line == "---"] == [0, 2]
    assert len(_results(card)[0]["metrics"]) == 5
    (badge,) = to_badges(report).splitlines()
    words, _, url = badge.removesuffix(")").rpartition("](")
    assert url.startswith("https://img.shields.io/badge/") and url.isascii()
    assert not set(url) & set(" ()<>[]\"'`")
    assert unquote(url).count("KV_fidelity-") >= 1
    assert words.startswith("![KV fidelity: ")
