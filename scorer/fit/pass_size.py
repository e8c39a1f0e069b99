"""The size of a forward pass and of a tile of logits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from scorer.common.device_kind import DeviceKind

TILE_BYTES = 256 << 20
"""Bytes of one tile of float32 logits if memory allows."""

KEEP_TILES = 4
"""Reference logits of a batch are kept if twice their bytes are at most this many tiles."""

_SMALLEST_TILE = 16 << 20

# Tokens of a pass that keep a GPU busy; more only take memory (H100, 1B model in bfloat16: 2.9 ms
# per chunk of 512 with 2048 tokens, 2.5 ms with 4096). Fewer on a Mac, where the system shares the
# memory of the GPU.
_PASS_TOKENS = {"cuda": 4096, "metal": 2048}


@dataclass(frozen=True, slots=True)
class PassSize:
    """The size of a forward pass and of a tile of logits.

    Attributes:
        batch: Chunks per forward pass.
        tile_bytes: Bytes of one tile of float32 logits.
        workers: Batches that are scored at once, each on a core.
    """

    batch: int
    tile_bytes: int = TILE_BYTES
    workers: int = 1

    @property
    def keep_bytes(self) -> int:
        """Twice the bytes of the reference logits that are kept for all settings, at most."""
        return KEEP_TILES * self.tile_bytes

    def smaller(self) -> PassSize | None:
        """Return the next smaller size, or None.

        One batch at a time, then half the batch, then a quarter of the tile.
        """
        if self.workers > 1:
            return dataclasses.replace(self, workers=1)
        if self.batch > 1:
            return dataclasses.replace(self, batch=self.batch // 2)
        if self.tile_bytes > _SMALLEST_TILE:
            return dataclasses.replace(self, tile_bytes=self.tile_bytes // 4)
        return None

    def described(self) -> str:
        """Return the size in words, as in "scored … with 2 chunks at a time".

        How many workers there are is no matter of the numbers.
        """
        chunks = f"with {self.batch} chunk{'' if self.batch == 1 else 's'} at a time"
        tile = f" and tiles of {self.tile_bytes >> 20} MiB" if self.tile_bytes < TILE_BYTES else ""
        return chunks + tile

    def sizes(self) -> Iterator[PassSize]:
        """Yield this size and every smaller one, with ever fewer workers at first."""
        for workers in range(self.workers, 1, -1):
            yield dataclasses.replace(self, workers=workers)
        size: PassSize | None = dataclasses.replace(self, workers=1)
        while size is not None:
            yield size
            size = size.smaller()


def default_batch(device: DeviceKind, chunk_length: int) -> int:
    """Return the chunks per forward pass if the job does not name them and memory allows."""
    return 1 if device == "cpu" else max(1, _PASS_TOKENS[device] // chunk_length)
