"""The memory that a model takes where it is deployed: weights, KV cache and prefill peak.

Pure functions without mlx: the app redraws with them on a key press.
"""

from __future__ import annotations

from dataclasses import dataclass

from scorer.common.device_kind import DeviceKind
from scorer.fit.cache_bytes import cache_bytes
from scorer.fit.prefill_peak import DEFAULT_STEP, PrefillShape, prefill_peak
from scorer.spec.geometry import KVGeometry
from scorer.spec.settings.kv import KVSetting


@dataclass(frozen=True, slots=True)
class TotalBytes:
    """Bytes of a deployment at a context.

    Attributes:
        weights: The weights as stored.
        cache: The KV caches of all sequences, the tokens they hold and no more.
        peak: What a prefill block takes beyond both: activations, attention scores, the
            unquantized tokens of a block, the room in the buffers of the caches.
    """

    weights: int
    cache: int
    peak: int

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return self.weights + self.cache + self.peak


def total_bytes(
    weights_bytes: int,
    geometry: KVGeometry,
    kv: KVSetting | None,
    shape: PrefillShape,
    context: int,
    parallel: int = 1,
    prefill_step: int = DEFAULT_STEP,
    device: DeviceKind = "metal",
) -> TotalBytes:
    """The bytes that a model with a setting takes. Source: definitions, "Total bytes".

    Args:
        weights_bytes: Bytes of the weights as stored.
        geometry: Its KV caches.
        kv: How they are stored; None for 16 bit.
        shape: Sizes of the model, and bytes of an element in the deployment.
        context: Tokens of a sequence, prompt and answer together; counted as a prompt of so many,
            the worst case.
        parallel: Sequences whose caches are held. One prompt runs at a time.
        prefill_step: Tokens of a prefill block, mlx-lm's ``--prefill-step-size``.
        device: The device of the deployment.
    """
    one = cache_bytes(geometry, kv, context, shape.element_bytes)
    peak = prefill_peak(geometry, kv, shape, context, prefill_step, device)
    return TotalBytes(weights_bytes, parallel * one, max(0, peak - one))
