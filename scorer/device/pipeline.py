"""How far a GPU is given work ahead of what is waited for.

A GPU stands still while the host builds the next graph or reads a result; work queued beyond what
covers that only holds memory. Measured on an H100 with a 1B model in bfloat16, batches of 8 × 512
tokens: a layer takes 1 ms and 0.3 GiB, a tile 0.5 ms and 0.13 GiB; building a layer takes the host
0.3 ms. ``QFID_PIPELINE`` is ``ahead`` (the default) or ``plain``. Imports no mlx.
"""

from __future__ import annotations

from dataclasses import dataclass

from scorer.common.device_kind import DeviceKind
from scorer.common.switches import is_enabled

VARIABLE = "QFID_PIPELINE"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What may be queued.

    Attributes:
        tiles: Tiles, or else one pass, begun before the oldest step is waited for; 0 for none.
        layers: Layers of a pass (see :mod:`scorer.lm.layer_window`); 0 leaves that to MLX.
    """

    tiles: int
    layers: int

    @property
    def saves_aside(self) -> bool:
        """Whether results are saved while the device works on; else nobody would work meanwhile."""
        return self.tiles > 0


PLAIN = Pipeline(0, 0)


def choose_pipeline(device: DeviceKind, batch: int) -> Pipeline:
    """The pipeline of a device for passes of ``batch`` chunks.

    Metal's own command buffers are short, so that MLX queues no more than a layer or two there.

    Raises:
        InputError: ``QFID_PIPELINE`` holds something else than it may.
    """
    if device == "cpu" or not is_enabled(VARIABLE, "ahead"):
        return PLAIN
    # One chunk alone is a long one, or memory is short.
    layers = 4 if batch > 1 else 1
    return Pipeline(2, layers if device == "cuda" else 0)
