"""KV-cache settings: widths, group size, start and path, and the notation they are written in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from scorer.common.errors import InputError

Path = Literal["deployed", "dequantized"]


BITS = (2, 3, 4, 5, 6, 8)


FULL_PRECISION = 16


GROUP_SIZES = (32, 64, 128)


QUANTIZERS = ("affine",)


_NOTATION = re.compile(
    r"(?:(?P<bits>\d+)|k(?P<k>\d+)v(?P<v>\d+))"
    r"(?::(?P<group>\d+))?(?:@(?P<start>\d+))?(?:~(?P<path>\w+))?"
)


NOTATION_HINT = "write BITS, kBvB, then :GROUP @START ~PATH as needed: 8, 4:32, k8v4, 4@512"


@dataclass(frozen=True, slots=True)
class KVSetting:
    """One way to store the KV cache.

    Attributes:
        k_bits: Bits per key element: 2, 3, 4, 5, 6, 8, or 16 for full precision.
        v_bits: Bits per value element, as ``k_bits``.
        group_size: Elements that share a scale and a bias: 32, 64 or 128.
        start: 0 for stress (quantized from the first token); n > 0 for deployment: the first
            n tokens run at full precision, then the whole stored cache converts.
        path: ``deployed`` is what a runtime computes, ``dequantized`` the quantizer alone.
        quantizer: Name of the quantizer; ``affine`` is MLX's.
    """

    k_bits: int
    v_bits: int
    group_size: int = 64
    start: int = 0
    path: Path = "deployed"
    quantizer: str = "affine"

    def __post_init__(self) -> None:
        for side, bits in (("key", self.k_bits), ("value", self.v_bits)):
            if bits not in (*BITS, FULL_PRECISION):
                raise InputError(
                    f"`{bits}` bits for the {side} side is not a width MLX can quantize to",
                    "widths: 2, 3, 4, 5, 6, 8, or 16 for full precision on one side",
                )
        if self.k_bits == self.v_bits == FULL_PRECISION:
            raise InputError(
                "`k16v16` quantizes nothing", "at least one side needs fewer than 16 bits"
            )
        if self.group_size not in GROUP_SIZES:
            raise InputError(
                f"`{self.group_size}` is not a group size MLX can quantize with",
                "group sizes: 32, 64, 128",
            )
        if self.start < 0:
            raise InputError(f"start `{self.start}` is negative", "0 is stress, N > 0 deployment")
        if self.path not in get_args(Path):
            raise InputError(f"`{self.path}` is not a path", "paths: deployed, dequantized")
        if self.quantizer not in QUANTIZERS:
            raise InputError(
                f"`{self.quantizer}` is not a quantizer", f"quantizers: {', '.join(QUANTIZERS)}"
            )

    @classmethod
    def parse(
        cls, text: str, *, group_size: int = 64, start: int = 0, path: Path = "deployed"
    ) -> KVSetting:
        """Read the notation ``8``, ``4:32``, ``k8v4:64@512~dequantized``.

        Args:
            text: One setting.
            group_size: Group size where the notation names none.
            start: Start where the notation names none.
            path: Path where the notation names none.

        Raises:
            InputError: The text is not a setting, or names a width, group or path MLX lacks.
        """
        match = _NOTATION.fullmatch(text.strip())
        if match is None:
            raise InputError(f"`{text.strip()}` is not a KV setting", NOTATION_HINT)
        bits, k, v = match["bits"], match["k"], match["v"]
        if any(len(number) > 9 for number in match.groups() if number and number.isdigit()):
            raise InputError(f"`{text.strip()}` holds an absurd number", NOTATION_HINT)
        return cls(
            k_bits=int(bits or k),
            v_bits=int(bits or v),
            group_size=int(match["group"]) if match["group"] else group_size,
            start=int(match["start"]) if match["start"] else start,
            path=match["path"] or path,  # type: ignore[arg-type]  # checked in __post_init__
        )

    def __str__(self) -> str:
        bits = str(self.k_bits) if self.k_bits == self.v_bits else f"k{self.k_bits}v{self.v_bits}"
        group = "" if self.group_size == 64 else f":{self.group_size}"
        start = f"@{self.start}" if self.start else ""
        path = "" if self.path == "deployed" else f"~{self.path}"
        return bits + group + start + path

    @property
    def file_name(self) -> str:
        """The setting as part of a file name, every part but stress and ``deployed`` written."""
        bits = str(self.k_bits) if self.k_bits == self.v_bits else f"k{self.k_bits}v{self.v_bits}"
        start = f"-s{self.start}" if self.start else ""
        path = "" if self.path == "deployed" else f"-{self.path}"
        return f"{bits}-g{self.group_size}{start}{path}"

    @property
    def mode(self) -> Literal["stress", "deployment"]:
        """``stress`` when quantized from the first token, else ``deployment``."""
        return "deployment" if self.start else "stress"

    def bytes_per_token(self, kv_heads: int, k_dim: int, v_dim: int) -> float:
        """Stored bytes per token of one layer at the 16-bit deployment dtype.

        Source: definitions, "Cost": ``heads · (dim · (bits/8 + 4/group))``, 2 bytes an element
        on a full-precision side.
        """
        return kv_heads * (
            k_dim * side_bytes(self.k_bits, self.group_size)
            + v_dim * side_bytes(self.v_bits, self.group_size)
        )


def side_bytes(bits: int, group_size: int) -> float:
    """Stored bytes per cached element: codes plus a 16-bit scale and bias per group."""
    return 2.0 if bits == FULL_PRECISION else bits / 8 + 4 / group_size


def parse_settings(
    text: str, *, group_size: int = 64, start: int = 0, path: Path = "deployed"
) -> tuple[KVSetting, ...]:
    """Read a comma-separated list of settings; a setting named twice is kept once.

    Raises:
        InputError: The list is empty or one of its settings is not valid.
    """
    parts = [part for part in text.split(",") if part.strip()]
    if not parts:
        raise InputError("no KV setting was given", NOTATION_HINT)
    found = (KVSetting.parse(p, group_size=group_size, start=start, path=path) for p in parts)
    return tuple(dict.fromkeys(found))


def control_setting(setting: KVSetting) -> KVSetting:
    """The same setting on the dequantized path."""
    return KVSetting(
        setting.k_bits,
        setting.v_bits,
        setting.group_size,
        setting.start,
        "dequantized",
        setting.quantizer,
    )
