"""Runs with GGUF files: scored as plain weights of the same values, saved, resumed, reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from gguf_files import converted, needs_gguf
from tiny_models import SMALL, write_text, write_tiny_model
from tiny_runs import Small, failed, finished, planned, resumed, stopped

from scorer import measure_weight_fidelity
from scorer.runs.listing import find_run
from scorer.runs.weight_facts import GGUF_NOTE
from scorer.spec.events import Event, Warned
from scorer.spec.settings.weights import StoredWeights

KINDS = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q6_K", "BF16", "MXFP4", "TQ2_0")
# Widths that blocks of 256 elements divide.
WIDE = SMALL | {"hidden_size": 256, "intermediate_size": 256}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A llama whose rows of queries and keys differ, and the text."""
    needs_gguf()
    folder = tmp_path_factory.mktemp("wide")
    return Small(write_tiny_model(folder / "wide", "llama", **WIDE), write_text(folder))


def written(model: Path, to: Path, kind: str, **kinds: str) -> str:
    """A GGUF file of a model, and the setting that names it."""
    return StoredWeights(str(converted(model, kind, **kinds).write(to))).key


def plain_folder(model: Path, file: Path, to: Path) -> str:
    """The values of a GGUF file as a folder in float32, and the setting that names it.

    Read by the package's own reader; rows go back one by one.
    """
    gguf = needs_gguf()
    config = json.loads((model / "config.json").read_text("utf-8"))
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    whole = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    parts = {
        "attn_norm": "input_layernorm",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
    }
    weights = {}
    for tensor in gguf.GGUFReader(file).tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        values = values.reshape([int(size) for size in tensor.shape[::-1]])
        stem, _, last = tensor.name.rpartition(".")
        if stem in whole:
            weights[f"{whole[stem]}.{last}"] = mx.array(values)
            continue
        _, layer, part = stem.split(".")
        if part in heads:
            half = len(values) // heads[part] // 2
            back = np.empty_like(values)
            for row in range(len(values)):
                head, place = divmod(row, 2 * half)
                back[head * 2 * half + place // 2 + half * (place % 2)] = values[row]
            values = back
        kind = "self_attn" if part.startswith("attn") else "mlp"
        name = parts.get(part, f"{kind}.{part.rpartition('_')[2]}_proj")
        weights[f"model.layers.{layer}.{name}.{last}"] = mx.array(values)
    shutil.copytree(model, to)
    mx.save_safetensors(str(to / "model.safetensors"), weights, {"format": "mlx"})
    return StoredWeights(str(to)).key


def kl(run: str, setting: str) -> np.ndarray:
    return np.concatenate([p.kl for p, _ in find_run(run).read()[setting]])


@pytest.mark.parametrize(
    "kind",
    ["Q4_K", "MIX", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS)],
)
def test_a_file_drifts_as_its_values_do_in_every_digit(
    kind: str, wide: Small, tmp_path: Path
) -> None:
    mixed = {"ffn_down": "Q6_K", "attn_v": "F16", "token_embd": "Q8_0"} if kind == "MIX" else {}
    own = written(wide.model, tmp_path / "x.gguf", "Q4_K" if mixed else kind, **mixed)
    plain = plain_folder(wide.model, tmp_path / "x.gguf", tmp_path / "plain")
    events = wide.score(f"{own},{plain},{own}+4,{plain}+4")
    run = planned(events).run
    assert finished(events).complete and not find_run(run).failures()
    for cache in ("", "+4"):
        drift = kl(run, own + cache)
        np.testing.assert_array_equal(drift, kl(run, plain + cache))
        assert 0 < drift.mean() < 2


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_file_that_loses_nothing_drifts_not_at_all(architecture: str, tmp_path: Path) -> None:
    needs_gguf()
    model = write_tiny_model(tmp_path / "m", architecture, num_hidden_layers=2, head_dim=32)
    small = Small(model, write_text(tmp_path))
    own = written(model, tmp_path / "x.gguf", "F32")
    events = small.score(f"{own},{own}+4:32,4:32")
    run = planned(events).run
    assert finished(events).complete and not find_run(run).failures()
    assert not kl(run, own).any()
    np.testing.assert_array_equal(kl(run, f"{own}+4:32"), kl(run, "4:32"))
    said = [event.message for event in events if isinstance(event, Warned)]
    assert any("`x.gguf` is not quantized" in message for message in said)


def facts(events: list[Event], setting: str) -> Any:
    report = finished(events).report
    (row,) = (row for row in report["settings"] if row["setting"] == setting)
    return row


def test_the_report_is_about_the_file_as_it_lies_on_disk(wide: Small, tmp_path: Path) -> None:
    file = converted(wide.model, "Q4_K", ffn_down="Q6_K")
    own = StoredWeights(str(file.write(tmp_path / "x.gguf"))).key
    row = facts(wide.score(own), own)
    size = sum(len(tensor.data) for tensor in file.tensors.values())
    assert row["quant_model_bytes"] == row["weights"]["weight_bytes"] == size
    assert row["quant_mode"] == "Q4_K" and row["quant_precision"] == "mixed"
    assert row["quant_geometry"] == [[4, 32, 14], [6, 16, 2]]
    parameters = 8 * size / row["quant_bits_per_weight"]
    assert 4.5 < row["quant_bits_per_weight"] < 5.5 and parameters == pytest.approx(
        np.sum([np.prod(tensor.shape) for tensor in file.tensors.values()])
    )
    assert row["weights"]["notes"] == [GGUF_NOTE] and not row["runnable_by_mlx_lm"]
    assert list(row["weights"]["files"]) == ["x.gguf"] and row["setting_fingerprint"]


def test_in_turns_the_numbers_are_the_same(wide: Small, tmp_path: Path) -> None:
    own = written(wide.model, tmp_path / "x.gguf", "Q4_0")
    settings = f"{own},w8:32,{own}+8"
    together, turns = (
        planned(wide.score(settings, one_at_a_time=one)).run for one in (False, True)
    )
    for setting in (own, f"{own}+8"):
        np.testing.assert_array_equal(kl(together, setting), kl(turns, setting))


def test_a_run_goes_on_with_the_same_file_only(wide: Small, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    own = written(wide.model, path, "Q8_0")
    job = wide.job(f"{own},8", max_chunks=3)
    run = planned(stopped(job, 2)).run
    content = path.read_bytes()
    written(wide.model, path, "Q4_0")
    error = failed(resumed(job, run))
    assert own in error.message and "x.gguf" in error.message
    path.write_bytes(content)
    assert finished(resumed(job, run)).complete
    # A file added later, beside what is scored.
    other = written(wide.model, tmp_path / "y.gguf", "Q4_0")
    more = resumed(wide.job(f"{own},8,{other}", max_chunks=3), run)
    assert finished(more).complete and kl(run, other).any()


def test_a_file_that_is_another_model_is_refused_before_anything_is_loaded(
    wide: Small, small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = written(small.model, tmp_path / "x.gguf", "F16")
    monkeypatch.setattr("scorer.engine.preparation.load", lambda *_, **__: pytest.fail("loaded"))
    error = failed(wide.score(own))
    assert error.message == (
        "`x.gguf` is not `wide`: its `hidden_size` is `128` and the reference's `256`"
    )
    assert "there is no file" in failed(wide.score("w=./gone.gguf")).message


def test_a_split_file_is_scored_whole(wide: Small, tmp_path: Path) -> None:
    file = converted(wide.model, "Q8_0")
    whole = StoredWeights(str(file.write(tmp_path / "x.gguf"))).key
    names = list(file.tensors)
    paths = []
    for number, part in enumerate((names[:5], names[5:])):
        values = {"split.no": number, "split.count": 2} | ({} if number else file.values)
        tensors = {name: file.tensors[name] for name in part}
        path = tmp_path / f"y-{number + 1:05}-of-00002.gguf"
        paths.append(type(file)(values, tensors).write(path))
    split = StoredWeights(str(paths[0])).key
    events = wide.score(f"{whole},{split}")
    run = planned(events).run
    np.testing.assert_array_equal(kl(run, whole), kl(run, split))
    assert list(facts(events, split)["weights"]["files"]) == [path.name for path in paths]


def test_a_head_of_the_file_counts_where_the_reference_has_none(tmp_path: Path) -> None:
    needs_gguf()
    model = write_tiny_model(tmp_path / "m", "llama", **WIDE | {"tie_word_embeddings": True})
    small = Small(model, write_text(tmp_path))
    file = converted(model, "F32")
    exact = StoredWeights(str(file.write(tmp_path / "x.gguf"))).key
    file.tensors["output.weight"] = converted(model, "Q4_0").tensors["token_embd.weight"]
    rounded = StoredWeights(str(file.write(tmp_path / "y.gguf"))).key
    run = planned(small.score(f"{exact},{rounded}")).run
    assert not kl(run, exact).any() and kl(run, rounded).mean() > 1e-4


@pytest.mark.filterwarnings("ignore::scorer.common.warning_categories.ReportWarning")
def test_python_takes_the_path_of_a_file(wide: Small, tmp_path: Path) -> None:
    file = converted(wide.model, "Q8_0").write(tmp_path / "a,b.gguf")
    report = measure_weight_fidelity(
        wide.model, [file], kv="8", corpus=wide.text, chunk_length=32, max_chunks=2
    )
    key = StoredWeights(str(file)).key
    assert "%2C" in key and [*report.settings] == ["8", key, f"{key}+8"]
    rows = {row["setting"]: row for row in report.to_json()["settings"]}
    assert rows[key]["quant_mode"] == "Q8_0"
