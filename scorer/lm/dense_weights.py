"""Quantized layers turned into dense ones of the same function, for a CPU.

MLX's quantized products on a CPU accumulate in the dtype of the scales, and are a hundred times
slower than those of dense float32 weights. mlx-lm's own ``dequantize_model`` leaves out a global
scale, and the layers of latent attention.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map, tree_unflatten

from scorer.device.stream_threads import each_in_threads


def cast(module: nn.Module, dtype: mx.Dtype) -> None:
    """Cast every floating-point parameter of a module, scales included."""
    module.update(
        tree_map(
            lambda p: p.astype(dtype) if mx.issubdtype(p.dtype, mx.floating) else p,
            module.parameters(),
        )
    )


def densify(module: nn.Module, threads: int = 1) -> bool:
    """Dequantize the weights of a model in float32, and cast every parameter to it.

    Scales and biases are cast first, so that nothing is rounded to fewer bits on the way. Layers
    of a class that is not known here stay quantized and compute in float32.

    Args:
        module: The model.
        threads: How many layers are dequantized at once: MLX does each on one core.

    Returns:
        Whether anything was quantized.
    """
    quantized = any("scales" in each for each in module.modules())
    cast(module, mx.float32)
    if not quantized:
        return False
    replaced: dict[str, nn.Module] = {}

    def replace(named: tuple[str, nn.Module]) -> None:
        name, layer = named
        dense = dense_layer(layer)
        if dense is not None:
            # One after the other: all codes and all dense weights at once would be half as much
            # again.
            mx.eval(dense.parameters())
            replaced[name] = dense

    layers = [named for named in module.named_modules() if "scales" in named[1]]
    if threads > 1:
        mx.eval(module.parameters())
    each_in_threads(replace, layers, threads)
    module.update_modules(tree_unflatten(list(replaced.items())))
    cast(module, mx.float32)
    return True


def dense_layer(layer: nn.Module) -> nn.Module | None:
    """A dense layer that computes what a quantized one does; None for any other layer.

    Args:
        layer: Any layer; its scales are float32.
    """
    from mlx_lm.models.mla import MultiLinear, QuantizedMultiLinear
    from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

    classes: dict[type, type] = {
        nn.QuantizedLinear: nn.Linear,
        nn.QuantizedEmbedding: nn.Embedding,
        QuantizedSwitchLinear: SwitchLinear,
        QuantizedMultiLinear: MultiLinear,
    }
    kind: Any = next((new for old, new in classes.items() if isinstance(layer, old)), None)
    if kind is None:
        return None
    dense: nn.Module = kind.__new__(kind)
    nn.Module.__init__(dense)
    dense.weight = dense_weight(layer)
    if "bias" in layer:
        dense.bias = layer.bias
    dense.train(layer.training)
    return dense


def dense_weight(layer: Any) -> mx.array:
    """The weight of a quantized layer, float32, in the shape of the dense one.

    Args:
        layer: A quantized layer whose scales are float32 or packed.
    """
    packed, scales, biases = layer.weight, layer.scales, layer.get("biases")

    def dequantized(
        w: mx.array, s: mx.array, b: mx.array | None, whole: mx.array | None
    ) -> mx.array:
        return mx.dequantize(
            w,
            s,
            b,
            layer.group_size,
            layer.bits,
            layer.mode,
            global_scale=whole,
            dtype=mx.float32,
        )

    whole = layer.get("global_scale")
    if whole is None:
        return dequantized(packed, scales, biases, None)
    # One global scale an expert, and MLX takes one a call.
    parts = [
        dequantized(packed[e], scales[e], None if biases is None else biases[e], whole[e])
        for e in range(packed.shape[0])
    ]
    return mx.stack(parts)
