"""The shape of a model's KV cache and what a setting makes it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby, repeat
from typing import Any

from scorer.spec.quantizers.known import STOCK
from scorer.spec.sides import FULL_CACHE, LayerSides

KINDS = ("full", "sliding", "chunked", "latent", "index")
_MOST_CACHES = 1 << 20


@dataclass(frozen=True, slots=True)
class KVLayer:
    """One cache of keys and values.

    Attributes:
        kv_heads: Heads stored per token.
        k_dim: Elements of one key head.
        v_dim: Elements of one value head; 0 where only keys are stored.
        window: Most tokens kept, or None for all of them.
        kind: ``full``, ``sliding`` (the last ``window`` tokens), ``chunked`` (the tokens of the
            current chunk of ``window``), ``latent`` (one compressed head for all, multi-head
            latent attention) or ``index`` (keys that only choose which tokens to attend to).
    """

    kv_heads: int
    k_dim: int
    v_dim: int
    window: int | None = None
    kind: str = "full"

    def tokens(self, context: int | None) -> int | None:
        """Tokens held after ``context`` tokens; None in, None out: no token was dropped yet."""
        if context is None or self.window is None:
            return context
        return min(context, self.window)


@dataclass(frozen=True, slots=True)
class KVGeometry:
    """All caches of keys and values of a model.

    Attributes:
        layers: The caches that hold keys and values, in the order of the layers. Layers of
            another kind (state space, linear attention, convolution) and layers that read an
            earlier layer's cache have none.
        total_layers: Decoder layers of the model, those without a cache included.
        exact: Whether the caches were measured on the built model; else they are a guess by the
            usual names in ``config.json``, with no layers where it does not state them.
    """

    layers: tuple[KVLayer, ...]
    total_layers: int
    exact: bool = True

    def bytes_per_token(self, sides: Iterable[LayerSides], context: int | None = None) -> float:
        """Stored bytes per token.

        Args:
            sides: How each cache of ``layers`` is stored, in their order; what a setting's
                ``sides`` gives.
            context: Tokens in the cache. A sliding layer counts ``min(context, window)`` of
                them, so the figure depends on it; None means before any window is full.

        Returns:
            Bytes per token of context at the 16-bit deployment dtype. Source: definitions, "Cost".
        """
        return self._per_token(
            ((s.keys.bytes_per_element, s.values.bytes_per_element) for s in sides), context
        )

    def dequantized_bytes_per_token(
        self, sides: Iterable[LayerSides], context: int | None = None
    ) -> float:
        """Bytes per token of the quantized sides alone, dequantized to 16 bit.

        Attention that does not read the codes holds so much beside them. Arguments as of
        :meth:`bytes_per_token`.
        """
        return self._per_token(
            ((2.0 * s.keys.is_quantized, 2.0 * s.values.is_quantized) for s in sides), context
        )

    def _per_token(
        self, bytes_per_element: Iterable[tuple[float, float]], context: int | None
    ) -> float:
        """Bytes per token from those of an element of the keys and the values of each cache."""
        total = 0.0
        for layer, (keys, values) in zip(self.layers, bytes_per_element, strict=True):
            stored = layer.kv_heads * (layer.k_dim * keys + layer.v_dim * values)
            tokens = layer.tokens(context)
            total += stored if not context or tokens is None else stored * tokens / context
        return total

    def bytes_per_token_16bit(self, context: int | None = None) -> float:
        """Stored bytes per token without quantization, 2 bytes an element."""
        return self.bytes_per_token(repeat(FULL_CACHE, len(self.layers)), context)

    def legal_groups(self) -> tuple[int, ...]:
        """Group sizes of MLX's quantizer that divide the K and V dimension of every cache."""
        return STOCK.legal_groups(self.dims())

    @property
    def quantizable(self) -> bool:
        """Whether some group size divides the keys of every cache, or the values of every one."""
        return any(STOCK.legal_groups(dims) for dims in (self.k_dims(), self.v_dims()))

    def dims(self) -> set[int]:
        """K and V dimensions of all caches."""
        return self.k_dims() | self.v_dims()

    def k_dims(self) -> set[int]:
        """K dimensions of all caches."""
        return {layer.k_dim for layer in self.layers}

    def v_dims(self) -> set[int]:
        """V dimensions of all caches."""
        return {layer.v_dim for layer in self.layers}

    def to_json(self) -> dict[str, Any]:
        """The geometry as JSON values; equal neighbours are one entry with a ``count``."""
        return {
            "total_layers": self.total_layers,
            "exact": self.exact,
            "caches": [
                {
                    "count": sum(1 for _ in run),
                    "kind": layer.kind,
                    "kv_heads": layer.kv_heads,
                    "k_dim": layer.k_dim,
                    "v_dim": layer.v_dim,
                    "window": layer.window,
                }
                for layer, run in groupby(self.layers)
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> KVGeometry:
        """The geometry that :meth:`to_json` made the values of.

        Raises:
            ValueError: They are not such values.
        """
        layers: list[KVLayer] = []
        try:
            for run in data["caches"]:
                layer = KVLayer(
                    _whole(run["kv_heads"], 1),
                    _whole(run["k_dim"], 1),
                    _whole(run["v_dim"], 0),
                    None if run["window"] is None else _whole(run["window"], 1),
                    KINDS[KINDS.index(run["kind"])],
                )
                layers += [layer] * _whole(run["count"], 1, _MOST_CACHES - len(layers))
            return cls(tuple(layers), _whole(data["total_layers"], 0), data["exact"] is True)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"it describes no cache geometry: {error}") from None


def _whole(value: Any, low: int, high: int = 1 << 48) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError("a size is no whole number, or out of range")
    return value
