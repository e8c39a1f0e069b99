"""What is stored with a run beside the per-position scalars.

With the positions, these facts give the same report again, byte for byte. Pure standard library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scorer.common.json_reader import JsonReader
from scorer.common.json_values import OMITTED, OMITTED_IF_NONE, json_values
from scorer.models.file_stamp import FileStamp
from scorer.runs.engagement import SideEngagement
from scorer.runs.identity import Identity
from scorer.runs.shape_facts import ShapeFacts
from scorer.runs.weight_facts import WeightFacts
from scorer.spec.job import Job
from scorer.spec.settings.base import Setting
from scorer.stats.noise_floor import NoiseFloor
from scorer.text.provenance import CorpusFacts

REPORT_SCHEMA = 1
"""Version of the facts and of the report that is made of them."""

DEQUANTIZED_ATTENTION = "quantize, dequantize, attention"
"""The ``arithmetic`` of a setting whose keys and values attention reads at full precision."""


FULL_PRECISION_CACHE = "KV cache at full precision"
"""The ``arithmetic`` of a setting that quantizes weights alone."""


def reads_codes(arithmetic: str) -> bool:
    """Whether attention was computed on the quantized keys and values themselves.

    Args:
        arithmetic: What computed a setting, in words; empty where that is not known.
    """
    return arithmetic not in ("", DEQUANTIZED_ATTENTION, FULL_PRECISION_CACHE)


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a run was scored on.

    Attributes:
        kind: ``metal``, ``cuda`` or ``cpu``.
        name: The device's own name.
        memory: Bytes it may use; None where a file does not say.
    """

    kind: str
    name: str
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class ArithmeticFacts:
    """What computed a run.

    Attributes:
        compute_dtype: ``float32``, ``bfloat16`` or ``float16``.
        blas: The BLAS that multiplies, with its version: NumPy's and MLX's where both take part;
            ``n/a`` off the CPU.
        description: Device, dtype, kernels and BLAS in one line.
    """

    compute_dtype: str
    blas: str
    description: str


@dataclass(frozen=True, slots=True)
class FailureFacts:
    """Why a setting gave no usable number.

    Attributes:
        error: Class of the error.
        message: What went wrong.
        hint: What to do next; may be empty.
    """

    error: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Facts of a run, the same for all its settings.

    Attributes:
        job: What was asked, as it was written; the run's own job holds the settings that are
            scored.
        model_id: Repo id, name of the folder, or ``demo``.
        model_revision: Commit of the repo; None for a folder.
        model_files: File name to SHA-256 or to size in bytes.
        architecture: ``model_type`` of the config.
        weight_bits: Bits per weight of the reference as stored (16 where unquantized); None
            where unknown.
        corpus: Where the text comes from.
        documents: Planned chunk to the document of its first token, None where unknown.
        chunks: Indices of the planned chunks, in scoring order.
        chunk_length: Tokens of a chunk.
        scored_from: First position of a chunk the protocol scores; a setting's ``start`` may
            raise it. The last is ``chunk_length - 2``.
        device: What it was scored on.
        arithmetic: What computed it.
        versions: Package name to version: qfid, mlx, mlx-lm, numpy, python.
        batch: Chunks per forward pass.
        kv_bytes_per_token: Setting in notation to stored bytes per token at the 16-bit
            deployment dtype.
        kv_bytes_per_token_16bit: The same without quantization.
        kv_layers: Layers that hold K and V.
        max_context: Tokens the model was made for; None where the config does not say.
        kv_bytes_context: Context in tokens the bytes per token hold for, where sliding windows
            make them depend on it; None where they do not.
        warnings: What the reader should know about the whole run.
        custom_code: Name of each Python file of the model's own that ran to its SHA-256. It allows
            nothing.
        equal_chunks: Planned chunk to an earlier one, in scoring order, of the same tokens; chunks
            without one are left out. None where an older run does not say.
        weights: The reference's weights; None where an older run does not say.
        shape: Sizes that the memory of a deployment follows from; None likewise.
    """

    job: Job
    model_id: str
    model_revision: str | None
    model_files: dict[str, str | int]
    architecture: str
    weight_bits: float | None
    corpus: CorpusFacts
    documents: dict[int, int | None]
    chunks: tuple[int, ...]
    chunk_length: int
    scored_from: int
    device: DeviceFacts
    arithmetic: ArithmeticFacts
    versions: dict[str, str]
    batch: int
    kv_bytes_per_token: dict[str, float]
    kv_bytes_per_token_16bit: float
    kv_layers: int
    max_context: int | None = None
    kv_bytes_context: int | None = None
    warnings: tuple[str, ...] = ()
    custom_code: dict[str, str] = field(default_factory=dict, metadata=OMITTED)
    equal_chunks: dict[int, int] | None = field(default=None, metadata=OMITTED_IF_NONE)
    weights: WeightFacts | None = field(default=None, metadata=OMITTED_IF_NONE)
    shape: ShapeFacts | None = field(default=None, metadata=OMITTED_IF_NONE)

    def first_position(self, setting: Setting) -> int:
        """First scored position of a chunk under a setting."""
        return setting.first_position(self.scored_from)

    def positions_per_chunk(self, setting: Setting) -> int:
        """Scored positions of a chunk under a setting."""
        return self.chunk_length - 1 - self.first_position(setting)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingFacts:
    """Facts of one setting of a run.

    Attributes:
        arithmetic: What computed it, in words.
        kv_method: Name of the setting's :class:`~scorer.spec.settings.base.KVMethod`.
        kv_layers_quantized: Layers whose cache quantized.
        kv_layers_total: Layers that hold a cache.
        kv_layers_skipped: Cache class of the layers kept at full precision to their number.
        engagement: What was quantized, per layer and side.
        measured_kv_bytes_per_token: Bytes of the stored arrays trimmed to the tokens held, per
            token; None where the path stores no codes.
        same_as: Notation of the setting whose arithmetic is the same on this device, or None.
        runnable_by_mlx_lm: mlx-lm generates with this setting and model.
        seconds: Time spent on this setting.
        peak_memory_bytes: Peak memory while it was scored; 0 where not measured.
        noise_floor: How far rounding moves the figures; None where no perturbed repeat ran.
        warnings: What the reader should know about this setting.
        failure: Why it was given up; None where it was not.
        fingerprint: What the setting's key resolved to, see
            :meth:`scorer.spec.settings.base.Setting.fingerprint`.
        dequantized_bytes_per_token: Bytes per token of the quantized sides once they are
            dequantized to 16 bit; None where an older run does not say.
        weights: The weights that it runs; None for the reference's.
        dropped: Why it was scored no further than the others; "" where it was not dropped.
    """

    arithmetic: str = ""
    kv_method: str = "stock"
    kv_layers_quantized: int = 0
    kv_layers_total: int = 0
    kv_layers_skipped: dict[str, int] = field(default_factory=dict)
    engagement: tuple[SideEngagement, ...] = ()
    measured_kv_bytes_per_token: float | None = None
    same_as: str | None = None
    runnable_by_mlx_lm: bool = False
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    noise_floor: NoiseFloor | None = None
    warnings: tuple[str, ...] = ()
    failure: FailureFacts | None = None
    fingerprint: dict[str, str] = field(default_factory=dict, metadata=OMITTED)
    dequantized_bytes_per_token: float | None = field(default=None, metadata=OMITTED_IF_NONE)
    weights: WeightFacts | None = field(default=None, metadata=OMITTED_IF_NONE)
    dropped: str = field(default="", metadata=OMITTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFacts:
    """Everything that a run keeps beside its job and its positions.

    Attributes:
        identity: What must be equal for another run to continue this one.
        chunks: Indices of the chunks to score, in scoring order; None where a file does not say.
        run: Facts of the run; None where a file holds none.
        settings: Setting in notation, controls included, to its facts.
        controls: Setting in notation to its control.
        mixed: What changed each time the run was continued under other conditions than its own.
        files: File name of the model to the state of the file before it was read; empty where a
            version did not record it.
        unknown: Fields of the identity that were not known both times when the run was continued,
            see :mod:`scorer.runs.identity`.
    """

    identity: Identity
    chunks: tuple[int, ...] | None = field(default=None, metadata=OMITTED)
    run: RunFacts | None = field(default=None, metadata=OMITTED)
    settings: dict[str, SettingFacts] = field(default_factory=dict)
    controls: dict[str, str] = field(default_factory=dict)
    mixed: tuple[str, ...] = field(default=(), metadata=OMITTED)
    unknown: tuple[str, ...] = field(default=(), metadata=OMITTED)
    files: dict[str, FileStamp] = field(default_factory=dict, metadata=OMITTED)

    @property
    def fingerprints(self) -> dict[str, dict[str, str]]:
        """Setting in notation to what its key resolved to."""
        return {key: setting.fingerprint for key, setting in self.settings.items()}

    def to_json(self) -> dict[str, Any]:
        """The facts as JSON values."""
        values: dict[str, Any] = json_values(self)
        return values

    @classmethod
    def from_json(cls, data: Any) -> StoredFacts:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: A key is missing, unknown or of the wrong type.
        """
        return _READER.read(data)


_READER = JsonReader(StoredFacts, "a saved run")
