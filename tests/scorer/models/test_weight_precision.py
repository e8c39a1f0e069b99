"""The precision of weights in one line."""

from __future__ import annotations

import pytest

from scorer.models.weight_precision import QuantizedLayers, WeightPrecision
from scorer.spec.weight_format import WeightFormat

FOUR, SIX = WeightFormat("affine", 4, 64), WeightFormat("affine", 6, 64)
EIGHT_32 = WeightFormat("affine", 8, 32)
NVFP4, MXFP8 = WeightFormat("nvfp4", 4, 16), WeightFormat("mxfp8", 8, 32)
SCALED = WeightFormat("nvfp4", 4, 16, global_scale=True)


def precision(
    *parts: tuple[WeightFormat, int],
    ends: tuple[WeightFormat | None, WeightFormat | None] = (FOUR, FOUR),
    scales: str = "float16",
    dtypes: tuple[tuple[str, int], ...] = (("bfloat16", 10),),
) -> WeightPrecision:
    layers = tuple(QuantizedLayers(f, scales, 3, elements) for f, elements in parts)
    return WeightPrecision(layers, dtypes, *ends, False, 1000, 1000, 562)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (precision((FOUR, 9)), "4 bit, groups of 64, 4.50 bits per weight; embedding and head too"),
        (
            precision((FOUR, 9), (SIX, 4)),
            "mix of 4 and 6 bit, groups of 64, 4.50 bits per weight; embedding and head too",
        ),
        (
            precision((FOUR, 9), (EIGHT_32, 4), ends=(None, FOUR)),
            "mix of 4 bit in groups of 64 and 8 bit in groups of 32, 4.50 bits per weight; "
            "embedding in bfloat16",
        ),
        (
            precision((NVFP4, 9), (EIGHT_32, 4), ends=(FOUR, None)),
            "mix of 8 bit and nvfp4, 4.50 bits per weight; head in bfloat16",
        ),
        (
            precision((NVFP4, 9), (MXFP8, 4), ends=(None, None)),
            "mix of nvfp4 and mxfp8, 4.50 bits per weight; embedding and head in bfloat16",
        ),
        (
            precision((FOUR, 99), (EIGHT_32, 1)),
            "4 bit, groups of 64, in 3 small layers 8 bit, 4.50 bits per weight; "
            "embedding and head too",
        ),
        (
            precision((SCALED, 99), (NVFP4, 50)),
            "nvfp4 with a scale for each tensor, 4.50 bits per weight; embedding and head too",
        ),
        (
            precision((FOUR, 9), scales="float32"),
            "4 bit, groups of 64, scales in float32, 4.50 bits per weight; embedding and head too",
        ),
        (precision(), "16 bit (bfloat16)"),
        (precision(dtypes=(("float16", 9999), ("float32", 1))), "16 bit (float16)"),
        (
            precision(dtypes=(("bfloat16", 75), ("float32", 25))),
            "mix of 16 bit (bfloat16, 75 %) and 32 bit (float32, 25 %)",
        ),
        (precision(dtypes=()), "no floating-point weights"),
    ],
)
def test_the_precision_in_one_line(found: WeightPrecision, line: str) -> None:
    assert found.line == line
