"""The memory that a model takes where it is deployed: weights, KV cache and prefill peak.

Pure functions without mlx: the app redraws with them on a key press.
"""

from __future__ import annotations

from dataclasses import dataclass

from scorer.common.device_kind import DeviceKind
from scorer.fit.cache_bytes import CacheKind, cache_bytes, cache_kinds
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
    prices = Prices(geometry, shape, context, parallel, device)
    return prices.bytes_of(weights_bytes, kv, prefill_step)


class Prices:
    """The bytes of many settings at one context; what they have in common is computed once.

    Arguments as of :func:`total_bytes`.
    """

    def __init__(
        self,
        geometry: KVGeometry,
        shape: PrefillShape,
        context: int,
        parallel: int = 1,
        device: DeviceKind = "metal",
    ) -> None:
        self._geometry = geometry
        self._shape = shape
        self._context = context
        self._parallel = parallel
        self._device = device
        self._kinds: dict[KVSetting | None, tuple[CacheKind, ...]] = {}
        self._found: dict[tuple[KVSetting | None, int], tuple[int, int]] = {}
        self._beyond: dict[
            tuple[KVSetting | None, tuple[int, ...]], tuple[tuple[int, int, int], ...]
        ] = {}

    def bytes_of(self, weights_bytes: int, kv: KVSetting | None, prefill_step: int) -> TotalBytes:
        """The bytes of a setting, as :func:`total_bytes` gives them."""
        found = self._found.get((kv, prefill_step))
        if found is None:
            found = self._found[kv, prefill_step] = self._cache_and_peak(kv, prefill_step)
        return TotalBytes(weights_bytes, *found)

    def beyond_weights(
        self, kv: KVSetting | None, steps: tuple[int, ...]
    ) -> tuple[tuple[int, int, int], ...]:
        """For each prefill step: the step, bytes of caches and peak together, bytes of the peak."""
        found = self._beyond.get((kv, steps))
        if found is None:
            priced = [(step, self.bytes_of(0, kv, step)) for step in steps]
            found = tuple((step, bytes.total, bytes.peak) for step, bytes in priced)
            self._beyond[kv, steps] = found
        return found

    def _cache_and_peak(self, kv: KVSetting | None, step: int) -> tuple[int, int]:
        if kv is not None and kv.start > self._context:
            # A cache that never holds as many tokens never quantizes.
            kv = None
        kinds = self._kinds.get(kv)
        if kinds is None:
            kinds = cache_kinds(self._geometry, kv, self._shape.element_bytes)
            self._kinds[kv] = kinds
        one = cache_bytes(kinds, self._context)
        start = None if kv is None else kv.start
        peak = prefill_peak(kinds, start, self._shape, self._context, step, self._device)
        return self._parallel * one, max(0, peak - one)
