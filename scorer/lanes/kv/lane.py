"""A lane turns a batch of tokens into logits; the loop compares lanes with one reference lane."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
from mlx_lm.models import base as mlx_lm_base
from mlx_lm.models import cache as mlx_lm_cache
from numpy.typing import NDArray

from scorer.common.errors import SettingFailed
from scorer.device.dispatch import begin
from scorer.lanes.base import Begun, finished
from scorer.lanes.kv.attention_over_codes import attend_codes
from scorer.lanes.kv.caches import CodesKVCache, codes_cache, convert_caches, dequantized_cache
from scorer.lanes.kv.engagement import PendingEngagement
from scorer.lanes.prefixes import Prefixes
from scorer.lm.caches import fresh_caches, holds_kv, replace_caches, walk
from scorer.lm.numpy_functions import applied
from scorer.lm.split_model import SplitModel
from scorer.runs.engagement import Engagement
from scorer.spec.settings.kv import FULL_PRECISION, KVSetting

Arithmetic = str
DEQUANTIZED = "dequantized"
CODES = "codes"
MLX_LM = "mlx-lm"


class KVLane:
    """A model with its KV cache quantized as one setting says.

    Attributes:
        setting: The setting.
        arithmetic: ``dequantized``, ``codes`` (our cache of codes) or ``mlx-lm`` (its own class).
        engagement: What was quantized in the last forward pass.
        prefixes: Where full-precision prefixes come from; shared by the lanes of a run.
    """

    def __init__(
        self,
        split: SplitModel,
        setting: KVSetting,
        arithmetic: Arithmetic,
        prefixes: Prefixes | None = None,
    ) -> None:
        self.split = split
        self.prefixes = Prefixes(split) if prefixes is None else prefixes
        self.setting = setting
        self.arithmetic = arithmetic
        self.engagement: Engagement | None = None

    def make_caches(self, held: list[Any] | None = None) -> list[Any]:
        """Caches of this lane: fresh ones, or in place of ``held``, filled by a prefix."""
        makers: dict[Arithmetic, Callable[[Any], Any]] = {
            DEQUANTIZED: lambda cache: dequantized_cache(cache, self.setting),
            CODES: lambda cache: codes_cache(cache, self.setting),
            MLX_LM: self._mlx_lm_cache,
        }
        caches = fresh_caches(self.split.model) if held is None else held
        return replace_caches(caches, makers[self.arithmetic])

    def _mlx_lm_cache(self, cache: Any) -> Any:
        if type(cache) is not mlx_lm_cache.KVCache:
            raise SettingFailed(f"mlx-lm cannot quantize a `{type(cache).__name__}`")
        if self.setting.start:
            return cache
        return mlx_lm_cache.QuantizedKVCache(
            group_size=self.setting.group_size, bits=self.setting.k_bits
        )

    def begin(self, tokens: mx.array) -> Begun:
        """Begin a forward pass over tokens (B, T); settling it looks at what was quantized.

        In deployment the states of the prefix are those of the full-precision cache, and only
        positions from ``start`` on may be scored.

        Raises:
            SettingFailed: A layer that was asked for did not quantize, or, when it is settled, K or
                V was not finite.
        """
        start = self.setting.start
        with codes_attention():
            if start:
                prefix, held = self.prefixes.take(tokens, start)
                caches = self.make_caches(held)
                with applied(self.split.arithmetic):
                    convert_caches(caches, self.setting)
                rest = self.split.hidden(tokens[:, start:], caches)
                hidden = mx.concatenate([prefix, rest], axis=1)
            else:
                caches = self.make_caches()
                hidden = self.split.hidden(tokens, caches)
        pending = PendingEngagement(caches, self.setting, tokens.shape[1])
        begin(hidden, *pending.checks)

        def settle(found: Sequence[NDArray[Any]]) -> None:
            self.engagement = pending.settled(found)

        return Begun(hidden, pending.checks, settle)

    def hidden(self, tokens: mx.array) -> mx.array:
        """Final hidden states of tokens (B, T), evaluated.

        Raises:
            SettingFailed: As :meth:`begin`.
        """
        return finished(self.begin(tokens))

    def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
        """Logits (B, stop − start, V) of a block of positions."""
        return self.split.logits(hidden, start, stop)


def mlx_lm_class_holds(caches: list[Any], setting: KVSetting, dims: list[tuple[int, int]]) -> bool:
    """Whether mlx-lm's own quantized cache class can hold the setting from the first token.

    Args:
        caches: Fresh caches of the model.
        setting: The setting.
        dims: K and V dimension of every cache of keys and values.

    mlx-lm allocates ``dim // (32 // bits)`` words a row where the quantizer gives
    ``dim · bits / 32``, holds one width for both sides, and has no rotating quantized cache.
    """
    if setting.k_bits != setting.v_bits or setting.k_bits == FULL_PRECISION:
        return False
    plain = all(
        type(layer.cache) is mlx_lm_cache.KVCache for layer in walk(caches) if holds_kv(layer.cache)
    )
    if not plain or any(isinstance(cache, mlx_lm_cache.CacheList) for cache in caches):
        return False
    if setting.start:
        return True
    words = 32 // setting.k_bits
    return all(d // words == d * setting.k_bits // 32 for pair in dims for d in pair)


@contextmanager
def codes_attention() -> Iterator[None]:
    """Let every loaded model module attend over :class:`CodesKVCache`.

    Model files import ``scaled_dot_product_attention`` by name, so it is replaced in each of
    them; caches of any other class go on to mlx-lm's own function.
    """
    original = mlx_lm_base.scaled_dot_product_attention

    def attend(
        queries: mx.array,
        keys: Any,
        values: Any,
        cache: Any,
        scale: float,
        mask: Any = None,
        sinks: Any = None,
    ) -> mx.array:
        if not isinstance(cache, CodesKVCache) or not cache.converting:
            plain: mx.array = original(
                queries, keys, values, cache=cache, scale=scale, mask=mask, sinks=sinks
            )
            return plain
        if sinks is not None:
            raise ValueError("attention over codes does not support attention sinks")
        return attend_codes(queries, cache.sides, scale, mask, keys, values)

    patched = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("mlx_lm.models.") or name == "custom_model"
        if getattr(module, "scaled_dot_product_attention", None) is original
    ]
    for module in patched:
        module.scaled_dot_product_attention = attend  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in patched:
            module.scaled_dot_product_attention = original  # type: ignore[attr-defined]
