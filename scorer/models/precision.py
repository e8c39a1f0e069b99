"""The precision in which a model's weights are stored, from its config and its weight headers.

Config and tensors disagree in the wild: mlx-lm goes by the shapes of the tensors, so a model whose
``config.json`` states a wrong number of bits still loads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scorer.models.config import read_object
from scorer.models.foreign_weights import foreign_layers, in_mlx_shapes
from scorer.models.packed_layers import PARTS, PackedLayer, packed_layers
from scorer.models.stated_quantization import StatedQuantization, stated_quantization
from scorer.models.weight_tensors import (
    FLOATS,
    Tensors,
    is_tied,
    loaded_tensors,
    stored_tensors,
)
from scorer.spec.weight_format import WeightFormat

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo

_EMBEDDINGS = ("embed_tokens", "word_embeddings", "wte", "tok_embeddings", "embed_in", "embeddings")
_HEADS = ("lm_head", "embed_out", "output")


@dataclass(frozen=True, slots=True)
class QuantizedLayers:
    """The layers of a model that are stored in one format.

    Attributes:
        format: The format.
        scales: MLX's name of the dtype of their scales, such as ``float16``; ``uint8`` in modes
            other than affine.
        layers: How many there are.
        parameters: Elements of their weights.
    """

    format: WeightFormat
    scales: str
    layers: int
    parameters: int


@dataclass(frozen=True, slots=True)
class WeightPrecision:
    """The precision of a model's weights.

    Attributes:
        quantized: Its quantized layers by format, those with most parameters first.
        unquantized: MLX's name of a dtype to the elements that are stored in it, of everything
            that is not quantized, most elements first.
        embedding: Format of the token embedding; None if it is not quantized.
        head: Format of the output head; None if it is not quantized. The embedding's where that
            serves as the head.
        tied: Whether the token embedding serves as the output head.
        parameters: As mlx-lm counts them.
        stored_bytes: Bytes of the tensors in its files that mlx-lm loads.
        loaded_bytes: Bytes of the model once it is loaded. They differ where mlx-lm converts the
            weights of another program.
        exact: Whether all this is certain; False where mlx-lm changes the weights in ways that
            the headers do not show.
        disagreements: What config and tensors say otherwise, one sentence each.
    """

    quantized: tuple[QuantizedLayers, ...]
    unquantized: tuple[tuple[str, int], ...]
    embedding: WeightFormat | None
    head: WeightFormat | None
    tied: bool
    parameters: int
    stored_bytes: int
    loaded_bytes: int
    exact: bool = True
    disagreements: tuple[str, ...] = ()

    @property
    def bits_per_weight(self) -> float:
        """Bits of the loaded model, all of it, for each parameter.

        It is mlx-lm's ``compute_bits_per_weight``, but for constants that a model computes when it
        is built, such as scaled rotary frequencies: some hundred bytes.
        """
        return 8 * self.loaded_bytes / self.parameters if self.parameters else 0.0

    @property
    def is_quantized(self) -> bool:
        """Whether any layer is quantized."""
        return bool(self.quantized)

    @property
    def line(self) -> str:
        """The precision in plain words, one line."""
        from scorer.models.precision_words import line_of

        return line_of(self)


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """The weights of a model, layer by layer.

    Attributes:
        config: The whole of its ``config.json``.
        stored: The tensors of its files that mlx-lm loads.
        tensors: The same in MLX's shapes.
        packed: Its quantized layers by path.
        stated: What the config says of quantization.
        foreign: Paths of layers that are stored in fewer bits than mlx-lm makes of them.
    """

    config: Mapping[str, Any]
    stored: Tensors
    tensors: Tensors
    packed: Mapping[str, PackedLayer]
    stated: StatedQuantization | None
    foreign: frozenset[str]


def read_precision(info: ModelInfo) -> WeightPrecision:
    """Read in what precision a model's weights are stored.

    Args:
        info: A model that :func:`scorer.models.resolve.resolve_model` or a listing has found.

    Raises:
        InputError: Its config or the header of a weight file cannot be read.
    """
    return precision_of(read_layout(info))


def read_layout(info: ModelInfo) -> WeightLayout:
    """Read what a model's weights are, layer by layer.

    Raises:
        InputError: As of :func:`read_precision`.
    """
    config = read_object(info.path / "config.json")
    stated = stated_quantization(config, info.path)
    stored = loaded_tensors(stored_tensors(info.path), config)
    tensors = in_mlx_shapes(stored, stated)
    return WeightLayout(
        config=config,
        stored=stored,
        tensors=tensors,
        packed=packed_layers(tensors, config, stated),
        stated=stated,
        foreign=foreign_layers(stored, stated),
    )


def precision_of(layout: WeightLayout) -> WeightPrecision:
    """The precision of weights that :func:`read_layout` has read."""
    from scorer.models.precision_words import disagreements

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
        if path in parents or (path in elements and last in PARTS):
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
