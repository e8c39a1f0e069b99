"""The precision in which a model's weights are stored, from its config and its weight headers.

Config and tensors disagree in the wild: mlx-lm goes by the shapes of the tensors, so a model whose
``config.json`` states a wrong number of bits still loads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from scorer.models.disagreements import disagreements
from scorer.models.packed_layers import PARTS
from scorer.models.weight_layout import WeightLayout, read_layout
from scorer.models.weight_precision import QuantizedLayers, WeightPrecision
from scorer.models.weight_tensors import FLOATS, Tensors, is_tied
from scorer.spec.weight_format import WeightFormat

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo

_EMBEDDINGS = ("embed_tokens", "word_embeddings", "wte", "tok_embeddings", "embed_in", "embeddings")
_HEADS = ("lm_head", "embed_out", "output")


def read_precision(info: ModelInfo) -> WeightPrecision:
    """Read in what precision a model's weights are stored.

    Args:
        info: A model that :func:`scorer.models.resolve.resolve_model` or a listing has found.

    Raises:
        InputError: Its config or the header of a weight file cannot be read.
    """
    return precision_of(read_layout(info))


def precision_of(layout: WeightLayout) -> WeightPrecision:
    """The precision of weights that :func:`read_layout` has read."""
    formats = {path: (layer.format, layer.scales) for path, layer in layout.packed.items()}
    elements = {path: layer.elements for path, layer in layout.packed.items()}
    base = None if layout.stated is None else layout.stated.base
    exact = True
    for path in layout.foreign:
        weight = layout.tensors.get(f"{path}.weight")
        if weight is not None and base is not None:
            factor = 4 if base.mode == "bitnet" else 1
            formats[path] = (base, FLOATS.get(weight.dtype, "bfloat16"))
            elements[path] = factor * weight.elements
            exact = exact and base.mode != "bitnet"
    tied = is_tied(layout.config) or not any(_is_in(path, _HEADS) for path in _paths(layout))
    embedding = _format_of(formats, _EMBEDDINGS)
    return WeightPrecision(
        quantized=quantized_layers(formats, elements),
        unquantized=unquantized(layout, formats),
        embedding=embedding,
        head=embedding if tied else _format_of(formats, _HEADS),
        tied=tied,
        parameters=parameters_of(layout.tensors, elements),
        stored_bytes=sum(tensor.bytes for tensor in layout.stored.values()),
        loaded_bytes=sum(tensor.bytes for tensor in layout.tensors.values()),
        exact=exact,
        disagreements=disagreements(layout),
    )


def quantized_layers(
    formats: Mapping[str, tuple[WeightFormat, str]], elements: Mapping[str, int]
) -> tuple[QuantizedLayers, ...]:
    """Count layers and elements by format, those with most elements first.

    Args:
        formats: Path of a layer to its format and the dtype of its scales.
        elements: Path of a layer to the elements of its weight.
    """
    counts: dict[tuple[WeightFormat, str], list[int]] = {}
    for path, key in formats.items():
        count = counts.setdefault(key, [0, 0])
        count[0] += 1
        count[1] += elements[path]
    found = [QuantizedLayers(*key, *count) for key, count in counts.items()]
    return tuple(sorted(found, key=lambda each: (-each.parameters, each.format.words)))


def unquantized(layout: WeightLayout, formats: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Dtype to elements of what is not quantized, most elements first.

    Args:
        layout: The weights.
        formats: Paths of the layers that count as quantized.
    """
    packed = {f"{path}.{part}" for path in formats for part in ("weight", *PARTS)}
    counts: dict[str, int] = {}
    for name, tensor in layout.tensors.items():
        if name not in packed and tensor.dtype in FLOATS:
            dtype = FLOATS[tensor.dtype]
            counts[dtype] = counts.get(dtype, 0) + tensor.elements
    return tuple(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def parameters_of(tensors: Tensors, elements: Mapping[str, int]) -> int:
    """The number of parameters as ``mlx_lm.utils.get_total_parameters`` counts them.

    It counts those of modules that hold no others, and no scales.

    Args:
        tensors: The tensors in MLX's shapes.
        elements: Path of each quantized layer to the elements of its weight.
    """
    parents: set[str] = set()
    for name in tensors:
        path = name.rpartition(".")[0].rpartition(".")[0]
        while path and path not in parents:
            parents.add(path)
            path = path.rpartition(".")[0]
    total = 0
    for name, tensor in tensors.items():
        path, _, last = name.rpartition(".")
        if not path or path in parents or (path in elements and last in PARTS):
            continue
        total += elements[path] if path in elements and last == "weight" else tensor.elements
    return total


def _paths(layout: WeightLayout) -> Iterable[str]:
    return (name.rpartition(".")[0] for name in layout.tensors)


def _format_of(
    formats: Mapping[str, tuple[WeightFormat, str]], names: tuple[str, ...]
) -> WeightFormat | None:
    found = (format for path, (format, _) in formats.items() if _is_in(path, names))
    return next(found, None)


def _is_in(path: str, names: tuple[str, ...]) -> bool:
    """Whether a path is that of one of the named layers, not of a part of a decoder layer."""
    return path.rpartition(".")[2] in names and not any(map(str.isdigit, path.split(".")))
