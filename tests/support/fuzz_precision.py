"""The readers of a candidate's precision under fire: its config, headers and tokenizer."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from fuzz_config import tokenizers
from fuzz_inputs import ACTS, FuzzCase, harmed_json, one_clear_line
from hypothesis import strategies as st
from safetensors_files import header
from tiny_configs import tiny_config

from scorer.common.errors import InputError
from scorer.models.info import ModelInfo, describe_model
from scorer.models.precision import read_precision
from scorer.models.predicted_precision import predicted_precision
from scorer.models.reference_notes import reference_notes
from scorer.models.relatives import find_relatives
from scorer.models.same_model import check_same_model

QUANTIZATION = {"group_size": 64, "bits": 4, "lm_head": {"group_size": 32, "bits": 8}}
CONFIG = tiny_config("llama", num_hidden_layers=1) | {
    "quantization": QUANTIZATION,
    "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 2.0},
    "torch_dtype": "float16",
}
FOREIGN = {"quant_method": "compressed-tensors", "format": "pack-quantized", "bits": 4}


def _tensors() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, dtype, shape in (
        ("model.embed_tokens.weight", "U32", [320, 16]),
        ("model.embed_tokens.scales", "F16", [320, 2]),
        ("model.embed_tokens.biases", "F16", [320, 2]),
        ("model.layers.0.self_attn.q_proj.weight", "F16", [128, 128]),
        ("model.layers.0.mlp.experts.0.down_proj.weight", "F16", [128, 192]),
        ("model.norm.weight", "F16", [128]),
        ("lm_head.weight", "U32", [320, 32]),
        ("lm_head.scales", "F16", [320, 4]),
    ):
        end = max((each["data_offsets"][1] for each in found.values()), default=0)
        size = {"U32": 4, "F16": 2}[dtype]
        for dim in shape:
            size *= dim
        found[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
    return found


TENSORS = _tensors()
DATA = bytes(max(each["data_offsets"][1] for each in TENSORS.values()))
TOKENIZER: dict[str, Any] = {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}


def _written(folder: Path, config: Any, tensors: Any, tokenizer: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in (
        ("config.json", json.dumps(config).encode()),
        ("model.safetensors", header(tensors, DATA)),
        ("tokenizer.json", json.dumps(tokenizer).encode()),
    ):
        # A comparison of the same two files is made once.
        if not (folder / name).is_file() or (folder / name).read_bytes() != content:
            (folder / name).write_bytes(content)
    return folder


def _check(
    folder: Path, config: Any = CONFIG, tensors: Any = TENSORS, tokenizer: Any = TOKENIZER
) -> None:
    reference = describe_model("whole", _written(folder / "w", CONFIG, TENSORS, TOKENIZER), None)
    other = _written(folder / "harmed", config, tensors, tokenizer)
    try:
        candidate = describe_model("harmed", other, None, thorough=False)
    except InputError:
        return
    for one, two in ((reference, candidate), (candidate, reference)):
        found = find_relatives(one, [two])
        for stranger in found.strangers:
            assert "unreadable" not in stranger.reason, stranger.reason
        _refused_clearly(lambda one=one, two=two: check_same_model(one, two))
    _refused_clearly(lambda: _all_of(candidate))
    _refused_clearly(lambda: predicted_precision(candidate, 4, 32))


def _all_of(info: ModelInfo) -> None:
    precision = read_precision(info)
    for line in (precision.line, *precision.disagreements, *reference_notes(info, precision)):
        assert len(line.splitlines()) == 1 and not ACTS.search(line)
    assert precision.bits_per_weight >= 0


def _refused_clearly(function: Any) -> None:
    try:
        function()
    except InputError as error:
        one_clear_line(error)
        assert not ACTS.search(error.message + error.hint)


def config_check(folder: Path, config: Any) -> None:
    _check(folder, config=config)


def header_check(folder: Path, tensors: Any) -> None:
    _check(folder, tensors=tensors)


def tokenizer_check(folder: Path, tokenizer: Any) -> None:
    _check(folder, tokenizer=tokenizer)


configs = st.sampled_from([CONFIG, CONFIG | {"quantization_config": FOREIGN, "quantization": None}])

CASES = [
    FuzzCase("precision: config.json", harmed_json(configs.map(copy.deepcopy)), config_check),
    FuzzCase("precision: headers", harmed_json(st.just(TENSORS).map(copy.deepcopy)), header_check),
    FuzzCase("precision: tokenizer.json", harmed_json(tokenizers), tokenizer_check),
]
