"""What is to be scored: a Job, its KV settings and the notation they are written in.

Pure standard library: the app and ``qfid --help`` import this module.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from scorer.errors import InputError
from scorer.model_config import shown

Path = Literal["deployed", "dequantized"]
Protocol = Literal["mqf", "llama.cpp"]
ChunkChoice = Literal["first", "spread"]
Kernel = Literal["auto", "mlx-lm"]

BITS = (2, 3, 4, 5, 6, 8)
FULL_PRECISION = 16
GROUP_SIZES = (32, 64, 128)
QUANTIZERS = ("affine",)

_NOTATION = re.compile(
    r"(?:(?P<bits>\d+)|k(?P<k>\d+)v(?P<v>\d+))"
    r"(?::(?P<group>\d+))?(?:@(?P<start>\d+))?(?:~(?P<path>\w+))?"
)
_NOTATION_HINT = "write BITS, kBvB, then :GROUP @START ~PATH as needed: 8, 4:32, k8v4, 4@512"


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
            raise InputError(f"`{text.strip()}` is not a KV setting", _NOTATION_HINT)
        bits, k, v = match["bits"], match["k"], match["v"]
        if any(len(number) > 9 for number in match.groups() if number and number.isdigit()):
            raise InputError(f"`{text.strip()}` holds an absurd number", _NOTATION_HINT)
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
        raise InputError("no KV setting was given", _NOTATION_HINT)
    found = (KVSetting.parse(p, group_size=group_size, start=start, path=path) for p in parts)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class CorpusSpec:
    """Which text is scored.

    Attributes:
        source: ``wikitext2``, ``builtin``, or the path of a .txt, .md, .jsonl or .parquet file.
    """

    source: str = "wikitext2"


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that decides a run's numbers, stored with every run.

    Attributes:
        model: Repo id in the local Hugging Face cache, path of a folder, or ``demo``.
        settings: The KV settings, in the order of the report's rows.
        corpus: Which text.
        revision: Commit, branch or tag of the repo; None for the cached default.
        protocol: ``mqf`` or ``llama.cpp``: which positions of which windows are scored.
        chunk_length: Tokens per chunk; ``chunk_length - 1`` positions are predicted.
        chunks: ``first`` or ``spread``: which chunks when ``max_chunks`` is fewer than all.
        max_chunks: How many chunks; None for the whole corpus.
        kernel: ``auto`` or ``mlx-lm`` (mlx-lm's own cache class and attention function).
        control: Score the dequantized path beside every deployed setting.
        noise_floor: Number of perturbed repeats for the noise floor; 0 for none.
        batch: Chunks per forward pass; None lets the scorer choose from the memory.
        allow_custom_code: Permit a repo's own Python file to run.
        force: Score also where memory looks too small.
    """

    model: str
    settings: tuple[KVSetting, ...]
    corpus: CorpusSpec = CorpusSpec()
    revision: str | None = None
    protocol: Protocol = "mqf"
    chunk_length: int = 512
    chunks: ChunkChoice = "first"
    max_chunks: int | None = None
    kernel: Kernel = "auto"
    control: bool = False
    noise_floor: int = 0
    batch: int | None = None
    allow_custom_code: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if not self.settings:
            raise InputError("the job has no KV setting", _NOTATION_HINT)
        for number, setting in enumerate(self.settings):
            if setting in self.settings[:number]:
                raise InputError(f"setting `{setting}` is named twice", "name each setting once")
        if self.chunk_length < 2:
            raise InputError(
                f"chunk length `{self.chunk_length}` leaves no token to predict",
                "give at least 2; 512 is the default",
            )
        if self.max_chunks is not None and self.max_chunks < 1:
            raise InputError(f"`{self.max_chunks}` chunks score nothing", "give at least 1")
        if self.noise_floor < 0 or self.noise_floor == 1:
            raise InputError(
                f"`{self.noise_floor}` repeats give no standard deviation",
                "--noise-floor needs at least 2; 0 switches it off",
            )
        if self.batch is not None and self.batch < 1:
            raise InputError(f"batch `{self.batch}` holds no chunk", "give at least 1")
        for value, kind, name in (
            (self.protocol, Protocol, "protocol"),
            (self.chunks, ChunkChoice, "choice of chunks"),
            (self.kernel, Kernel, "kernel"),
        ):
            if value not in get_args(kind):
                raise InputError(
                    f"`{value}` is not a {name}", f"one of: {', '.join(get_args(kind))}"
                )
        for setting in self.settings:
            if setting.start >= self.chunk_length - 1:
                raise InputError(
                    f"start {setting.start} leaves no position to score in chunks of "
                    f"{self.chunk_length} tokens",
                    f"--quantize-start must be below {self.chunk_length - 1}",
                )

    def to_json(self) -> dict[str, Any]:
        """The job as JSON values; settings in their notation."""
        data = dataclasses.asdict(self)
        data["settings"] = [str(setting) for setting in self.settings]
        data["corpus"] = self.corpus.source
        return data

    @classmethod
    def from_json(cls, data: Any) -> Job:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: A key is missing, unknown or of the wrong type.
        """
        if not isinstance(data, dict):
            raise InputError("a job must be a JSON object")
        known = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(str(key) for key in data if key not in known):
            raise InputError(f"a job has no key {shown(unknown[0])}")
        values = dict(data)
        settings = values.get("settings")
        if not isinstance(settings, list) or not all(isinstance(s, str) for s in settings):
            raise InputError("a job's `settings` must be a list of settings in notation")
        values["settings"] = tuple(KVSetting.parse(setting) for setting in settings)
        source = values.pop("corpus", "wikitext2")
        if not isinstance(source, str):
            raise InputError("a job's `corpus` must be a name or a path")
        for name, kinds in _JSON_TYPES.items():
            if name in values and type(values[name]) not in kinds:
                raise InputError(f"a job's `{name}` has the wrong type")
        if "model" not in values:
            raise InputError("a job needs a `model`")
        return cls(corpus=CorpusSpec(source), **values)


_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "revision": (str, type(None)),
    "protocol": (str,),
    "chunk_length": (int,),
    "chunks": (str,),
    "max_chunks": (int, type(None)),
    "kernel": (str,),
    "control": (bool,),
    "noise_floor": (int,),
    "batch": (int, type(None)),
    "allow_custom_code": (bool,),
    "force": (bool,),
}
