"""The formats in which MLX stores quantized weights: mode, bits and group size."""

from __future__ import annotations

from dataclasses import dataclass

from scorer.common.errors import InputError

AFFINE = "affine"
AFFINE_BITS = (2, 3, 4, 5, 6, 8)
AFFINE_GROUPS = (32, 64, 128)

# Each of the other modes has one width and one group size.
FIXED = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}
MODES = (AFFINE, *FIXED)

_DEFAULT_GROUP, _DEFAULT_BITS = 64, 4


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """How the weight of a layer is stored.

    Attributes:
        mode: ``affine``, ``mxfp4``, ``mxfp8`` or ``nvfp4``; or the method of another program, such
            as ``fp8``, of weights that mlx-lm converts as it loads them; or llama.cpp's name of a
            type of a GGUF file, such as ``Q4_K``.
        bits: Bits of a code.
        group_size: Elements that share a scale; in affine mode a bias too.
        global_scale: Whether there is also one scale for the whole tensor (nvfp4).
    """

    mode: str
    bits: int
    group_size: int
    global_scale: bool = False

    @property
    def words(self) -> str:
        """Such as ``4 bit, groups of 64``, or ``nvfp4``."""
        if self.mode == AFFINE:
            return f"{self.bits} bit, groups of {self.group_size}"
        return self.mode + (" with a scale for each tensor" if self.global_scale else "")

    @property
    def short(self) -> str:
        """Such as ``4 bit``, or ``nvfp4``."""
        return f"{self.bits} bit" if self.mode == AFFINE else self.mode

    def stored_bytes(self, rows: int, width: int, scale_bytes: int) -> int:
        """Bytes of a quantized matrix with its scales and biases, as MLX packs it.

        Args:
            rows: Rows of the matrix; of all matrices, where several are stacked.
            width: Elements of a row, a multiple of the group size.
            scale_bytes: Bytes of a floating-point scale. Modes other than affine store scales of
                one byte whatever it is.

        Source: ``mx.quantize``; codes fill whole 32-bit words.
        """
        groups = width // self.group_size
        scales = 2 * scale_bytes * groups if self.mode == AFFINE else groups
        return rows * (width * self.bits // 32 * 4 + scales)


def weight_format(
    mode: str = AFFINE, bits: int | None = None, group_size: int | None = None
) -> WeightFormat:
    """The format of a mode, with mlx-lm's defaults for what is not given.

    Raises:
        InputError: MLX has no such mode, width or group size.
    """
    if mode in FIXED:
        fixed = FIXED[mode]
        if (bits or fixed[0], group_size or fixed[1]) != fixed:
            raise InputError(
                f"`{mode}` has {fixed[0]} bits and groups of {fixed[1]}, and no others",
                f"leave out bits and group size of `{mode}`",
            )
        return WeightFormat(mode, *fixed)
    if mode != AFFINE:
        raise InputError(f"MLX has no quantization mode `{mode}`", f"modes: {', '.join(MODES)}")
    found = WeightFormat(AFFINE, bits or _DEFAULT_BITS, group_size or _DEFAULT_GROUP)
    if found.bits not in AFFINE_BITS:
        raise InputError(
            f"`{found.bits}` bits is not a width MLX can quantize weights to",
            f"widths: {', '.join(map(str, AFFINE_BITS))}",
        )
    if found.group_size not in AFFINE_GROUPS:
        raise InputError(
            f"`{found.group_size}` is not a group size MLX can quantize weights with",
            f"group sizes: {', '.join(map(str, AFFINE_GROUPS))}",
        )
    return found
