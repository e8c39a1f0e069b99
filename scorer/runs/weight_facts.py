"""What a run keeps of a set of weights: where they come from, and their precision.

Pure standard library.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scorer.common.json_values import OMITTED

GGUF_NOTE = (
    "The weights of a GGUF file, dequantized and computed by MLX: llama.cpp's kernels, which round "
    "activations too, are not measured."
)
"""What the reader of figures about a GGUF file should know."""


@dataclass(frozen=True, slots=True)
class StoredFormat:
    """The layers of a model that are stored in one format.

    Attributes:
        mode: ``affine``, ``mxfp4``, ``mxfp8`` or ``nvfp4``, or the method of another program:
            llama.cpp's name of a type of a GGUF file, such as ``Q4_K``.
        bits: Bits of a code.
        group_size: Elements that share a scale.
        layers: How many layers there are.
        parameters: Elements of their weights.
        global_scale: Whether there is a scale for the whole tensor too.
    """

    mode: str
    bits: int
    group_size: int
    layers: int
    parameters: int
    global_scale: bool = field(default=False, metadata=OMITTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFacts:
    """A set of weights: the reference's or a candidate's.

    Attributes:
        name: Short name: ``w4``, or the last part of the repo id or path.
        model_id: Repo id, or path of a folder or GGUF file; None for weights made of the reference
            in memory.
        model_revision: Commit of the repo; None where there is none.
        precision: In plain words, one line.
        bits_per_weight: Bits of the model for each parameter, as mlx-lm counts them.
        weight_bytes: Bytes of the model once it is loaded for use, not as it is computed here; of a
            GGUF file those of its tensors, which llama.cpp holds as they are.
        formats: Quantized layers by format, those with most parameters first; empty where nothing
            is quantized.
        unquantized_layers: Matrices that could be quantized and are not: embedding and output head.
        predicted: Whether bytes and bits are predicted from headers, and may differ a little.
        files: File name to SHA-256, or to size in bytes where the hash was not known; empty for
            weights made of the reference.
        notes: What the reader should know of this precision, one sentence each.
    """

    name: str
    model_id: str | None = None
    model_revision: str | None = None
    precision: str
    bits_per_weight: float
    weight_bytes: int
    formats: tuple[StoredFormat, ...] = ()
    unquantized_layers: tuple[str, ...] = field(default=(), metadata=OMITTED)
    predicted: bool = field(default=False, metadata=OMITTED)
    files: dict[str, str | int] = field(default_factory=dict, metadata=OMITTED)
    notes: tuple[str, ...] = field(default=(), metadata=OMITTED)

    @property
    def is_quantized(self) -> bool:
        """Whether any layer is quantized."""
        return bool(self.formats)
