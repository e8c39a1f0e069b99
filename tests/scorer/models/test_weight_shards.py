"""Which weight files a model needs, and what happens where two hold one tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_hub_cache import model_files, safetensors, write_folder
from safetensors_files import WEIGHTS, header

from scorer.common.errors import InputError
from scorer.models.resolve import resolve_model
from scorer.models.weight_files import INDEX, missing_shards

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def index(**weight_map: str) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": weight_map}).encode()


def folder_of(tmp_path: Path, files: dict[str, bytes]) -> Path:
    others = {name: data for name, data in model_files().items() if name != WEIGHTS}
    return write_folder(tmp_path / "mine", others | files)


@pytest.mark.parametrize(
    "files",
    [
        # Copied from the model that this one was made of.
        {WEIGHTS: safetensors(), INDEX: index(w=ONE, x=TWO)},
        # Its tensors are all here, whatever the files are called.
        {"model-a.safetensors": safetensors(name="v"), WEIGHTS: safetensors(name="w"),
         INDEX: index(v="model-b.safetensors", w=WEIGHTS)},
        # mlx-lm does not read it.
        {WEIGHTS: safetensors(), INDEX: b"{"},
        {WEIGHTS: safetensors(), INDEX: b"[]"},
        {WEIGHTS: safetensors(), INDEX: json.dumps({"weight_map": []}).encode()},
    ],
)  # fmt: skip
def test_an_index_that_is_not_about_these_files_is_none(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    assert resolve_model(str(folder_of(tmp_path, files))).layers == 30


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({ONE: safetensors(), INDEX: index(w=ONE, x=TWO)}, TWO),
        ({WEIGHTS: safetensors(), INDEX: index(w=WEIGHTS, x="model-2.safetensors")},
         "model-2.safetensors"),
        ({INDEX: index(w=ONE, x=TWO)}, ONE),
        ({TWO: safetensors(), INDEX: index(w="model-00001-of-00009.safetensors")}, ONE),
    ],
)  # fmt: skip
def test_a_tensor_that_is_in_no_file_is_missing(
    tmp_path: Path, files: dict[str, bytes], missing: str
) -> None:
    with pytest.raises(InputError, match=f"`{missing}`.* missing"):
        resolve_model(str(folder_of(tmp_path, files)))


def test_an_index_without_weights_has_to_be_one(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {INDEX: b"[]"})
    with pytest.raises(InputError, match="not a JSON object"):
        missing_shards(folder, [INDEX])


def described(start: int, stop: int, **changes: Any) -> dict[str, Any]:
    return {"dtype": "BF16", "shape": [4], "data_offsets": [start, stop]} | changes


class TestATensorInTwoFiles:
    first = header({"a": described(0, 8), "w": described(8, 16)}, b"abcdefgh" + b"01234567")

    def test_of_equal_content_is_accepted(self, tmp_path: Path) -> None:
        second = header({"w": described(0, 8)}, b"01234567")
        resolve_model(
            str(folder_of(tmp_path, {WEIGHTS: self.first, "model-b.safetensors": second}))
        )

    @pytest.mark.parametrize(
        "second",
        [
            header({"w": described(0, 8)}, b"01234568"),
            header({"w": described(0, 8, dtype="F16")}, b"01234567"),
            header({"w": described(0, 8, shape=[2, 2])}, b"01234567"),
            header({"a": described(0, 8), "w": described(8, 16)}, b"01234567abcdefgh"),
        ],
        ids=["content", "dtype", "shape", "exchanged"],
    )
    def test_of_another_content_is_refused_and_both_files_named(
        self, tmp_path: Path, second: bytes
    ) -> None:
        folder = folder_of(tmp_path, {WEIGHTS: self.first, "model-b.safetensors": second})
        with pytest.raises(InputError) as caught:
            resolve_model(str(folder))
        message = caught.value.message
        assert "`model-b.safetensors`" in message and f"`{WEIGHTS}`" in message
        assert "both hold" in message and str(folder) in caught.value.hint
        assert caught.value.exit_code == 2

    def test_of_a_file_that_mlx_lm_does_not_load_does_not_count(self, tmp_path: Path) -> None:
        other = header({"w": described(0, 8)}, b"76543210")
        resolve_model(str(folder_of(tmp_path, {WEIGHTS: self.first, "old.safetensors": other})))
