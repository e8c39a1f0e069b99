"""Formats of quantized weights: which there are, and their bytes as MLX packs them."""

from __future__ import annotations

import mlx.core as mx
import pytest

from scorer.common.errors import InputError
from scorer.spec.weight_format import FIXED, WeightFormat, weight_format


@pytest.mark.parametrize("mode", ["affine", *FIXED])
def test_defaults_are_those_of_mlx(mode: str) -> None:
    found = weight_format(mode)
    codes, scales, *_ = mx.quantize(mx.zeros((2, 256)), mode=mode)
    assert codes.shape[-1] * 32 // 256 == found.bits
    assert 256 // scales.shape[-1] == found.group_size


@pytest.mark.parametrize("dtype", [mx.float16, mx.float32])
@pytest.mark.parametrize(
    ("mode", "bits", "group"),
    [
        *(("affine", bits, group) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)),
        *((mode, *fixed) for mode, fixed in FIXED.items()),
    ],
)
def test_bytes_are_those_that_mlx_packs(mode: str, bits: int, group: int, dtype: mx.Dtype) -> None:
    parts = mx.quantize(mx.zeros((6, 384), dtype), group, bits, mode=mode)
    found = WeightFormat(mode, bits, group).stored_bytes(6, 384, dtype.size)
    assert found == sum(part.nbytes for part in parts)


@pytest.mark.parametrize(
    ("mode", "bits", "group", "said"),
    [
        ("affine", 7, 64, "`7` bits"),
        ("affine", 4, 16, "`16` is not a group size"),
        ("mxfp4", 8, None, "`mxfp4` has 4 bits"),
        ("nvfp4", None, 32, "`nvfp4` has 4 bits"),
        ("fp4", None, None, "no quantization mode `fp4`"),
    ],
)
def test_others_are_refused(mode: str, bits: int | None, group: int | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        weight_format(mode, bits, group)


def test_words() -> None:
    assert weight_format(bits=4).words == "4 bit, groups of 64"
    assert weight_format("mxfp8").words == "mxfp8"
    assert WeightFormat("nvfp4", 4, 16, True).words == "nvfp4 with a scale for each tensor"
