"""The keys of mlx-quant-fidelity's report of weights, for a row with weights of its own.

Pure standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scorer.runs.weight_facts import WeightFacts

_AFFINE = "affine"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightKeys:
    """mlx-quant-fidelity's keys, with its meaning.

    Attributes:
        quant_model_id: Repo id, path, or the notation of weights made in memory.
        quant_revision: Commit of the repo; None where there is none.
        reference_model_id: Repo id, path, or ``demo``.
        reference_revision: Commit of the repo; None where there is none.
        quant_bits: Bits of most layers; None where nothing is quantized.
        quant_group_size: Elements of theirs that share a scale; None likewise.
        quant_mode: ``affine``, ``mxfp4``, ``mxfp8`` or ``nvfp4``, or llama.cpp's name of a type of
            a GGUF file, such as ``Q4_K``; None likewise.
        per_layer: Whether layers are stored in more than one format.
        reference_bits: Bits of the reference's layers; None where it is not quantized.
        quant_model_bytes: Bytes of the weights once loaded; of a GGUF file as they lie in it.
        reference_model_bytes: The same of the reference.
        quant_geometry: Bits, group size and number of layers of each format.
        quant_n_full_precision: Embedding and output head, as far as they are not quantized.
        quant_bits_per_weight: Bits of the model for each parameter.
        quant_precision: ``uniform`` or ``mixed``.
    """

    quant_model_id: str
    quant_revision: str | None
    reference_model_id: str
    reference_revision: str | None
    quant_bits: int | None
    quant_group_size: int | None
    quant_mode: str | None
    per_layer: bool
    reference_bits: int | None
    quant_model_bytes: int
    reference_model_bytes: int | None
    quant_geometry: tuple[tuple[int, ...], ...]
    quant_n_full_precision: int
    quant_bits_per_weight: float
    quant_precision: Literal["uniform", "mixed"]


def weight_keys(
    own: WeightFacts, reference: WeightFacts | None, model_id: str, revision: str | None
) -> WeightKeys:
    """The keys of a row.

    Args:
        own: Its weights.
        reference: The reference's; None where the run's facts do not say.
        model_id: The reference's repo id, path, or ``demo``.
        revision: Its commit; None where there is none.
    """
    first = own.formats[0] if own.formats else None
    mixed = len({(each.mode, each.bits, each.group_size) for each in own.formats}) > 1
    of_reference = reference.formats[0].bits if reference and reference.formats else None
    return WeightKeys(
        quant_model_id=own.name if own.model_id is None else own.model_id,
        quant_revision=own.model_revision,
        reference_model_id=model_id,
        reference_revision=revision,
        quant_bits=None if first is None else first.bits,
        quant_group_size=None if first is None else first.group_size,
        quant_mode=None if first is None else first.mode,
        per_layer=mixed,
        reference_bits=of_reference,
        quant_model_bytes=own.weight_bytes,
        reference_model_bytes=None if reference is None else reference.weight_bytes,
        quant_geometry=tuple((e.bits, e.group_size, e.layers) for e in own.formats),
        quant_n_full_precision=len(own.unquantized_layers),
        quant_bits_per_weight=own.bits_per_weight,
        quant_precision="mixed" if mixed else "uniform",
    )
