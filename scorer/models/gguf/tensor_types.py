"""The types in which GGUF stores tensors.

Source: ``GGMLQuantizationType`` and ``GGML_QUANT_SIZES`` of the package ``gguf`` 0.19.0, and the
structs of ``ggml-common.h`` for the elements that share a scale.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""GGUF's names of floating-point types, and MLX's."""


@dataclass(frozen=True, slots=True)
class TensorType:
    """A type of tensor.

    Attributes:
        number: What stands for it in a file.
        name: llama.cpp's name of it, such as ``Q4_K``.
        block_elements: Elements of a block; a row holds whole blocks.
        block_bytes: Bytes of a block.
        bits: Bits of a code, or of a floating-point element.
        group_size: Elements that share a scale; 0 for floating-point elements.
    """

    number: int
    name: str
    block_elements: int
    block_bytes: int
    bits: int
    group_size: int

    @property
    def is_quantized(self) -> bool:
        """Whether elements are codes."""
        return self.name not in FLOATS


_TYPES = (
    TensorType(0, "F32", 1, 4, 32, 0),
    TensorType(1, "F16", 1, 2, 16, 0),
    TensorType(2, "Q4_0", 32, 18, 4, 32),
    TensorType(3, "Q4_1", 32, 20, 4, 32),
    TensorType(6, "Q5_0", 32, 22, 5, 32),
    TensorType(7, "Q5_1", 32, 24, 5, 32),
    TensorType(8, "Q8_0", 32, 34, 8, 32),
    TensorType(10, "Q2_K", 256, 84, 2, 16),
    TensorType(11, "Q3_K", 256, 110, 3, 16),
    TensorType(12, "Q4_K", 256, 144, 4, 32),
    TensorType(13, "Q5_K", 256, 176, 5, 32),
    TensorType(14, "Q6_K", 256, 210, 6, 16),
    TensorType(16, "IQ2_XXS", 256, 66, 2, 32),
    TensorType(17, "IQ2_XS", 256, 74, 2, 16),
    TensorType(18, "IQ3_XXS", 256, 98, 3, 32),
    TensorType(19, "IQ1_S", 256, 50, 1, 32),
    TensorType(20, "IQ4_NL", 32, 18, 4, 32),
    TensorType(21, "IQ3_S", 256, 110, 3, 32),
    TensorType(22, "IQ2_S", 256, 82, 2, 16),
    TensorType(23, "IQ4_XS", 256, 136, 4, 32),
    TensorType(29, "IQ1_M", 256, 56, 1, 16),
    TensorType(30, "BF16", 1, 2, 16, 0),
    TensorType(34, "TQ1_0", 256, 54, 2, 256),
    TensorType(35, "TQ2_0", 256, 66, 2, 256),
    TensorType(39, "MXFP4", 32, 17, 4, 32),
    TensorType(40, "NVFP4", 64, 36, 4, 16),
)

TENSOR_TYPES = {each.number: each for each in _TYPES}
"""Number to type, of every type that the package ``gguf`` dequantizes."""
