"""Whatever a config or a file of weights holds: a model, or one clear line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_hub_cache import LLAMA, model_files, write_folder
from hypothesis import given
from hypothesis import strategies as st
from safetensors_files import WEIGHTS, header

from scorer.common.errors import InputError
from scorer.models import weight_files
from scorer.models.resolve import resolve_model
from scorer.models.weight_files import check_weight_file

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    [*LLAMA, "quantization", "quantization_config", "model_file", "text_config", "auto_map"]
)
_TENSORS = st.dictionaries(
    st.text(max_size=4) | st.just("__metadata__"),
    st.fixed_dictionaries(
        {},
        optional={
            "dtype": st.sampled_from(["BF16", "F32", "U32", "F4", ""]) | _JSON,
            "shape": st.lists(st.integers(-2, 9), max_size=3) | _JSON,
            "data_offsets": st.lists(st.integers(-2, 40), max_size=3) | _JSON,
        },
    )
    | _JSON,
    max_size=3,
)


@given(st.dictionaries(_KEYS, _JSON, max_size=4))
def test_any_config_is_a_model_or_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    files = model_files({**LLAMA, **changes})
    write_folder(folder, files | {"config.json": json.dumps({**LLAMA, **changes}).encode()})
    try:
        info = resolve_model(str(folder))
        assert info.layers >= 0 and info.to_json()["kv_bytes_per_token_16bit"] >= 0
    except InputError as error:
        assert "\n" not in error.message and "\x1b" not in error.message and error.hint


@given(st.binary(max_size=200))
def test_any_bytes_are_weights_or_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / WEIGHTS
    for written in (content, header(content, b"")):
        path.write_bytes(written)
        for thorough in (True, False):
            try:
                check_weight_file(path, len(written), thorough=thorough)
            except InputError as error:
                assert "\n" not in error.message


@given(_TENSORS, st.integers(0, 64))
def test_a_header_that_passes_keeps_every_tensor_inside_the_file(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, Any], size: int
) -> None:
    path = tmp_path_factory.mktemp("any") / WEIGHTS
    content = header(tensors, bytes(size))
    path.write_bytes(content)
    try:
        check_weight_file(path, len(content))
    except InputError as error:
        assert "\n" not in error.message
        return
    for name, entry in tensors.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        elements = 1
        for length in entry["shape"]:
            elements *= length
        assert 0 <= start <= end <= size and elements >= 0
        if (width := weight_files._BYTES.get(entry["dtype"])) is not None:
            assert elements * width == end - start
