"""``mqf-json``: the keys and values of mlx-quant-fidelity's own report of one setting."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import peer
import pytest
from report_builders import again, built, make_facts, random_positions, scored

from scorer.common.errors import InputError, SettingFailed
from scorer.report.formats.mqf_json import chosen_setting, to_mqf_json
from scorer.report.tree import Report
from scorer.runs.facts import FailureFacts
from scorer.spec.settings.kv import KVSetting


def report_of(name: str = "8", **changes: Any) -> Report:
    start = KVSetting.parse(name).start
    positions = random_positions(first=start, n_depth=15 - start)
    return again(built(make_facts(name), [scored(name, positions, **changes)]))


def written(report: Report) -> dict[str, Any]:
    values = json.loads(to_mqf_json(report))
    assert isinstance(values, dict)
    return values


@pytest.mark.parametrize("name", ["8", "4:32@4", "k8v4", "k16v4", "8~dequantized"])
def test_it_has_the_peers_keys_and_no_other(name: str) -> None:
    values = written(report_of(name))
    assert values.keys() == peer.KEYS
    assert values["corpus"].keys() == peer.CORPUS_KEYS
    assert values["kl"].keys() == {"mean", "median", "p99", "max"}


def test_its_values_are_those_of_the_json_format() -> None:
    report = report_of("8", measured_kv_bytes_per_token=12240.4)
    ours, values = report.to_json(), written(report)
    same = peer.KEYS - {"kv_layers_total", "kv_layers_quantized", "kv_layers_skipped", "warnings"}
    for key in same - {"measured_kv_bytes_per_token"}:
        assert values[key] == ours[key], key
    # Whole bytes, and layers are counted only where some stay at full precision.
    assert values["measured_kv_bytes_per_token"] == 12240
    layers = [values[f"kv_layers_{key}"] for key in ("total", "quantized", "skipped")]
    assert layers == [None, None, None]


def test_a_partly_quantized_model_counts_its_layers() -> None:
    values = written(report_of(kv_layers_skipped={"RotatingKVCache": 4}, kv_layers_quantized=26))
    assert values["kv_partial"] is True
    layers = [values[f"kv_layers_{key}"] for key in ("total", "quantized", "skipped")]
    assert layers == [30, 26, {"RotatingKVCache": 4}]


def test_infinities_are_numbers_of_its_reader() -> None:
    positions = random_positions()
    positions.kl[7] = math.inf
    report = again(built(make_facts("8"), [scored("8", positions)]))
    assert '"max": Infinity' in to_mqf_json(report)
    assert written(report)["kl"]["max"] == math.inf


def test_deployment_has_no_depth() -> None:
    assert written(report_of("8@4"))["kl_by_depth"] is None
    spans = written(report_of("8"))["kl_by_depth"]
    assert [span["start"] for span in spans] == [0, 1, 3, 5, 7, 9, 11, 13]


def test_what_it_has_no_key_for_is_among_its_warnings() -> None:
    positions = random_positions(scale=0.0105)
    (is_open,) = (report := again(built(make_facts(), [scored("8", positions)]))).settings
    assert is_open.numbers is not None and is_open.numbers.is_open
    (said,) = written(report)["warnings"]
    assert f"`{is_open.numbers.verdict_shown}` is open" in said
    spread = random_positions(chunks=[0, 3, 7, 9, 10, 11])
    report = again(built(make_facts("8", n_chunks=12), [scored("8", spread)]))
    assert any("not the first ones of the text" in text for text in written(report)["warnings"])


def test_a_text_without_split_has_an_empty_one() -> None:
    facts = make_facts("8")
    report = again(built(facts, [scored("8", random_positions())]))
    assert written(report)["corpus"]["split"] == "test"
    values = report.to_json()
    for row in values["settings"]:
        row["corpus"] |= {"split": None, "tokenizer_id": None}
    corpus = written(Report.from_json(values))["corpus"]
    assert (corpus["split"], corpus["tokenizer_id"]) == ("", "")


def test_several_settings_are_refused() -> None:
    report = again(
        built(
            make_facts("8,4"),
            [scored("8", random_positions()), scored("4", random_positions(scale=0.2, seed=1))],
        )
    )
    with pytest.raises(InputError, match="holds one setting, and this report has 2: `8`, `4`"):
        to_mqf_json(report)
    assert json.loads(to_mqf_json(report, "4:64"))["kv_bits"] == 4
    with pytest.raises(InputError, match="the report has no setting `2`"):
        to_mqf_json(report, "2")


def test_a_failed_setting_has_no_numbers_to_write() -> None:
    failure = FailureFacts("SettingFailed", "setting `8`: NaN", "look at it")
    report = again(built(make_facts("8"), [scored("8", None, failure=failure)]))
    with pytest.raises(SettingFailed, match="setting `8`: NaN"):
        to_mqf_json(report)


BOTH, VALUES = 23040.0, 11520.0  # Bytes per token at 16 bit of the builder's keys and values.


@pytest.mark.parametrize(
    ("name", "arithmetic", "runs", "sides", "footing", "working_set"),
    [
        # mlx-lm's attention reads the codes, wherever this figure was computed.
        ("8", "quantize, dequantize, attention", True, BOTH, "quantizer_only", 0.0),
        ("8", "mlx-lm's quantized cache and attention", True, BOTH, "bundled", 0.0),
        ("k8v4", "quantized matmuls over codes, query heads grouped", False, BOTH, "bundled", 0.0),
        # Nothing runs it but by dequantizing.
        ("8", "quantize, dequantize, attention", False, BOTH, "quantizer_only", BOTH),
        ("8~dequantized", "quantize, dequantize, attention", True, BOTH, "quantizer_only", BOTH),
        ("k8v4", "quantize, dequantize, attention", False, BOTH, "quantizer_only", BOTH),
        ("k16v4", "quantize, dequantize, attention", False, VALUES, "quantizer_only", VALUES),
        # Runs that do not say.
        ("8~dequantized", "quantize, dequantize, attention", True, None, "quantizer_only", BOTH),
        ("k16v4", "quantize, dequantize, attention", False, None, "quantizer_only", None),
    ],
)
def test_footing_and_working_set_say_what_attention_reads(
    name: str,
    arithmetic: str,
    runs: bool,
    sides: float | None,
    footing: str,
    working_set: float | None,
) -> None:
    report = report_of(
        name,
        arithmetic=arithmetic,
        runnable_by_mlx_lm=runs,
        dequantized_bytes_per_token=sides,
    )
    row = report.to_json()
    assert (row["drift_footing"], row["working_set_bytes_per_token"]) == (footing, working_set)
    assert row["cache_supported"] is True


@pytest.mark.parametrize(
    ("name", "provenance"),
    [
        ("4:32", {"package": "mlx-lm", "version": "0.32.2"}),
        (
            "k8v4",
            {
                "package": "mlx",
                "version": "0.32.4",
                "k_bits": "8",
                "v_bits": "4",
                "group_size": "64",
            },
        ),
    ],
)
def test_provenance_is_package_and_version(name: str, provenance: dict[str, str]) -> None:
    assert report_of(name).to_json()["kv_method_provenance"] == provenance


def test_a_version_that_is_not_known_is_left_out() -> None:
    facts = make_facts("8", versions={"qfid": "0.1.0"})
    report = built(facts, [scored("8", random_positions())])
    assert report["kv_method_provenance"] == {"package": "mlx-lm"}
    assert written(again(report))["mlx_version"] == "unknown"


def test_weights_are_named_as_they_are_typed_and_as_reports_call_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    held = [f"w={tmp_path}/x.gguf", f"w={tmp_path}/x.gguf+4:32", "w=./y", "w=/a/z", "w=/b/z"]
    for only in ("w=./x.gguf", "x.gguf", held[0]):
        assert chosen_setting(held, only) == held[0]
    # A run of an earlier version may hold a relative path.
    assert chosen_setting(held, "w=./y") == "w=./y"
    # Two are called so.
    with pytest.raises(InputError, match="does not know `z`"):
        chosen_setting(held, "z")
    with pytest.raises(InputError, match="quantizes both"):
        chosen_setting(held, "x.gguf+4:32")
