"""Runs that compare weights as CSV, badges, model card, answer and mlx-quant-fidelity's JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from typing import Any
from urllib.parse import unquote

import pytest
from huggingface_hub import ModelCard
from markdown_cells import first_table
from weights_reports import GRID, REPO, SHORT, weights_report

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import InputError
from scorer.report.formats.answer import to_answer
from scorer.report.formats.badge import to_badges
from scorer.report.formats.csv_export import to_csv
from scorer.report.formats.model_card import to_model_card
from scorer.report.formats.mqf_json import to_mqf_json
from scorer.report.tree import Report
from scorer.spec.deployment import DeploymentSpec

IN_400_MB = DeploymentSpec(400 * 10**6, 4096)
# Those of mlx-quant-fidelity's WeightFidelityReport.
KEYS = {
    "quant_model_id",
    "quant_revision",
    "reference_model_id",
    "reference_revision",
    "quant_bits",
    "quant_group_size",
    "quant_mode",
    "per_layer",
    "reference_bits",
    "kl",
    "flip_rate",
    "perplexity_ref",
    "perplexity_quant",
    "perplexity_delta",
    "n_positions",
    "n_chunks",
    "corpus",
    "mlx_version",
    "mlx_lm_version",
    "peak_memory_bytes",
    "quant_model_bytes",
    "reference_model_bytes",
    "verdict",
    "warnings",
    "device",
    "quant_geometry",
    "quant_n_full_precision",
    "quant_bits_per_weight",
    "quant_precision",
}


@pytest.fixture(scope="module")
def report() -> Report:
    return weights_report(deployment=IN_400_MB, dropped={REPO: "beaten by `w6+8`"})


def rows_of(text: str) -> dict[str, dict[str, str]]:
    return {row["setting"]: row for row in csv.DictReader(io.StringIO(text))}


def test_csv_says_what_the_weights_are_and_what_they_take(report: Report) -> None:
    rows = rows_of(to_csv(report))
    assert list(rows) == [row.setting for row in report.settings]
    repo, cache, pair = rows[REPO], rows["8"], rows["w6+8"]
    assert repo["weights"] == REPO and repo["kv_cache"] == ""
    assert repo["weights_model_id"] == f"quants/{SHORT}" and repo["weights_revision"] == "c" * 40
    assert float(repo["bits_per_weight"]) == 4.5
    assert repo["dropped"] == "beaten by `w6+8`"
    # The reference's own weights under a quantized cache.
    assert (
        cache["weights"] == ""
        and cache["kv_cache"] == "8"
        and float(cache["bits_per_weight"]) == 16
    )
    assert cache["kv_verdict_shown"] == "good" and repo["kv_verdict_shown"] == ""
    assert {row["reference_precision"] for row in rows.values()} == {"16 bit (bfloat16)"}
    deployment = report.deployment
    assert deployment is not None
    for name, row in rows.items():
        cell = deployment.cell(name)
        assert cell is not None and int(row["total_bytes"]) == cell.total_bytes
        parts = ("weight_bytes", "cache_bytes", "prefill_peak_bytes")
        assert sum(int(row[part]) for part in parts) == cell.total_bytes
        assert row["context_tokens"] == "4096" and row["memory_bytes"] == "400000000"
        assert row["picked"] == str(name == deployment.pick)
    assert pair["picked"] == "True"


def test_csv_of_the_cache_alone_has_no_more_columns() -> None:
    head = to_csv(weights_report("8,4")).splitlines()[0].split(",")
    assert head[-1] == "protocol" and "total_bytes" not in head


def test_badges_name_what_is_quantized(report: Report) -> None:
    lines = to_badges(report).splitlines()
    assert len(lines) == len(report.settings)
    shown = dict(zip((row.setting for row in report.settings), lines, strict=True))
    assert shown["w8"].startswith("![Weight fidelity: good · 8-bit weights · wikitext")
    assert shown["wmxfp8"].startswith("![Weight fidelity: good? · mxfp8 weights · ")
    assert shown["w8+4"].startswith(
        "![Weight and KV fidelity: marginal · 8-bit weights · 4-bit KV cache · "
    )
    assert f"· 4-bit weights · {SHORT} · " in shown[REPO] and "scored on 8/12" in shown[REPO]
    # It speaks of the KV cache alone, so it is judged as that.
    assert shown["4"].startswith("![KV fidelity: bad · 4-bit") and shown["4"].endswith("-red)")
    assert "group" not in shown["w8"]
    address = shown[f"{REPO}+8"].partition("(")[2]
    assert " " not in address and "4--bit_weights" in unquote(address)


def test_the_card_is_of_the_quantized_repo(report: Report) -> None:
    text = to_model_card(report)
    head, body = text.split("---\n")[1:]
    metadata = {}
    for line in head.splitlines():
        name, _, value = line.partition(": ")
        metadata[name] = json.loads(value) if value[0] in '["' else value
    assert metadata["base_model"] == "local-test/SmolLM2"
    assert metadata["base_model_relation"] == "quantized"
    (entry,) = metadata["model-index"]
    assert entry["name"] == f"quants/{SHORT}"
    # What is made in memory is not that repo's.
    names = [result["task"]["name"] for result in entry["results"]]
    assert names == [f"weights {SHORT}", *(f"weights and KV cache {SHORT}+{n}" for n in (8, 4))]
    for result in entry["results"]:
        assert result["task"]["type"] == "text-generation"
        assert result["dataset"]["type"] == "Salesforce/wikitext" and result["dataset"]["name"]
        assert all(math.isfinite(metric["value"]) for metric in result["metrics"])
    # The Hub's own reader takes all of it.
    data = ModelCard(text).data
    assert data.model_name == f"quants/{SHORT}" and data.base_model == "local-test/SmolLM2"
    assert len(data.eval_results or ()) == sum(len(r["metrics"]) for r in entry["results"])
    assert "## Fidelity of quantized weights" in body
    assert "The reference is stored in 16 bit (bfloat16)." in body
    ladder = first_table(body)
    assert ladder[0][2:7] == [
        *("bits per weight", "size (MB)", "KL mean (nats)", "p99 (nats)", "flips (%)")
    ]
    assert ladder[-1][0] == f"`{SHORT}`"
    assert report.run.command in body and report.run.command.startswith("qfid weights ")


def test_a_card_of_made_weights_is_of_the_reference() -> None:
    text = to_model_card(weights_report("w8,w6", model_revision=None))
    line = next(line for line in text.splitlines() if line.startswith("model-index: "))
    (entry,) = json.loads(line.removeprefix("model-index: "))
    assert entry["name"] == "local-test/SmolLM2" and len(entry["results"]) == 2
    # A folder is no base model on the Hub.
    assert "base_model" not in text


def test_two_repos_have_an_entry_each() -> None:
    text = to_model_card(weights_report("w8,w=a/model-4bit,w=b/model-4bit"))
    line = next(line for line in text.splitlines() if line.startswith("model-index: "))
    found = json.loads(line.removeprefix("model-index: "))
    assert [entry["name"] for entry in found] == ["a/model-4bit", "b/model-4bit"]


@pytest.mark.parametrize("memory", [None, 400, 250, 60])
@pytest.mark.parametrize("context", [512, 4096, 128 << 10])
def test_the_answer_has_ten_lines_at_most(memory: int | None, context: int) -> None:
    spec = DeploymentSpec(None if memory is None else memory * 10**6, context, 2)
    text = to_answer(weights_report(f"{REPO},{REPO}+8,{REPO}+4,w3,w3+8", deployment=spec), "x" * 40)
    assert 1 < len(text.splitlines()) <= 10
    assert f"qfid report {'x' * 40}" in text


def test_the_answer_names_a_repo_shortly_and_the_command_in_full() -> None:
    spec = DeploymentSpec(250 * 10**6, 4096)
    text = to_answer(weights_report(f"{REPO},{REPO}+8", deployment=spec), "run")
    first, *rest = text.splitlines()
    assert first.startswith(f"`{SHORT}") and f"--model quants/{SHORT} " in "".join(rest)


def values_of(report: Report, only: str) -> dict[str, Any]:
    found = json.loads(to_mqf_json(report, only))
    assert isinstance(found, dict)
    return found


def test_weights_alone_have_the_keys_of_the_other_package(report: Report) -> None:
    made, stored = values_of(report, "w8"), values_of(report, REPO)
    assert set(made) == set(stored) == KEYS
    row = next(row for row in report.settings if row.setting == "w8")
    numbers = row.numbers
    assert numbers is not None
    assert made["kl"] == dataclasses.asdict(numbers.kl) and made["verdict"] == "good"
    assert made["quant_model_id"] == "w8" and made["quant_geometry"] == [[8, 64, 211]]
    assert stored["quant_model_id"] == f"quants/{SHORT}" and stored["quant_revision"] == "c" * 40
    assert stored["n_chunks"] == 8
    assert stored["reference_model_bytes"] == 269_000_000


def test_what_is_to_be_known_of_the_reference_is_a_warning(report: Report) -> None:
    own = report.reference.weights
    assert own is not None
    notes = ("The reference is stored in 8 bit: not full precision.", "Of the reference: more.")
    noted = dataclasses.replace(report.reference, weights=dataclasses.replace(own, notes=notes))
    found = values_of(dataclasses.replace(report, reference=noted), "w8")
    assert found["warnings"][:2] == [note.rstrip(".") for note in notes]
    # That it is at full precision needs no warning.
    assert not any("stored in" in warning for warning in values_of(report, "w8")["warnings"])


def test_the_cache_alone_is_judged_by_its_own_bounds(report: Report) -> None:
    found = values_of(report, "4")
    assert found["verdict"] == "bad" and "kv_bits" in found


@pytest.mark.parametrize("only", ["w8+4", f"{REPO}+8"])
def test_a_pair_is_refused(report: Report, only: str) -> None:
    with pytest.raises(InputError, match="holds weights or a KV cache"):
        to_mqf_json(report, only)
    with pytest.raises(InputError, match="holds weights or a KV cache"):
        to_mqf_json(weights_report(only))


def test_a_setting_of_another_kind_is_found_by_its_notation() -> None:
    report = weights_report("w8,4,w6+8")
    assert "kv_bits" in values_of(report, "4:64")
    with pytest.raises(InputError, match="no setting `8`"):
        to_mqf_json(report, "8")


def test_every_form_of_a_stored_report_is_the_same(report: Report) -> None:
    again = Report.from_json(json.loads(json.dumps(report.to_json())))
    for form in (to_csv, to_badges, to_model_card):
        assert form(again) == form(report)
    assert to_answer(again, "run") == to_answer(report, "run")
    assert GRID.count(REPO) == 3


def test_a_row_that_is_not_placed_is_named_with_the_reason() -> None:
    report = weights_report("w3,w3+8,w3+8~dequantized,w3+8@32", deployment=IN_400_MB)
    assert report.deployment is not None
    placed = {cell.setting for cell in report.deployment.cells}
    assert placed == {"reference", "w3", "w3+8"}
    notes = report.deployment.notes
    assert "left out, as not what a runtime computes: `w3+8~dequantized`" in notes
    assert "left out, as scored on other positions: `w3+8@32`" in notes


@pytest.mark.parametrize(("device", "estimated"), [("metal", True), ("cuda", False)])
def test_a_peak_that_is_an_estimate_is_called_one(device: DeviceKind, estimated: bool) -> None:
    spec = DeploymentSpec(400 * 10**6, 4096, device=device)
    text = to_answer(weights_report(deployment=spec), "run")
    assert (" an estimated " in text) is estimated and "prefill peak" in text
