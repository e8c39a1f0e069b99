"""The weights of a model, layer by layer, from its config and its weight headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scorer.models.config import read_object
from scorer.models.foreign_weights import foreign_layers, in_mlx_shapes
from scorer.models.packed_layers import PackedLayer, packed_layers
from scorer.models.stated_quantization import StatedQuantization, stated_quantization
from scorer.models.weight_tensors import Tensors, loaded_tensors, stored_tensors

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo


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


def read_layout(info: ModelInfo) -> WeightLayout:
    """Read what a model's weights are, layer by layer.

    Raises:
        InputError: Its config or the header of a weight file cannot be read.
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
