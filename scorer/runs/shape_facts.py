"""The sizes of a model that a run keeps: the memory of a deployment follows from them.

Pure standard library.
"""

from __future__ import annotations

from dataclasses import dataclass

from scorer.spec.geometry import KVGeometry, KVLayer


@dataclass(frozen=True, slots=True)
class ShapeFacts:
    """The sizes of a model.

    Attributes:
        hidden: Elements of a hidden state.
        inner: Elements of the widest intermediate state of a token.
        heads: Query heads.
        vocab: Columns of the logits.
        total_layers: Decoder layers, those without a cache included.
        layers: Its caches of keys and values, in the order of the layers.
    """

    hidden: int
    inner: int
    heads: int
    vocab: int
    total_layers: int
    layers: tuple[KVLayer, ...]

    @property
    def geometry(self) -> KVGeometry:
        """The caches as a geometry."""
        return KVGeometry(self.layers, self.total_layers)
