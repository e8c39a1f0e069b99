"""The kernels that MLX compiles on CUDA for attention over codes: two for each width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scorer.device.kernel_tasks import KernelTask
from scorer.spec.geometry import KVGeometry
from scorer.spec.settings.kv import FULL_PRECISION, KVSetting

# MLX has a kernel for few rows and one for many; from 33 on it takes the latter.
_LENGTH = 65


def trial_length(tokens: int) -> int:
    """Tokens, ``tokens`` at most, that select the kernels of a longer pass; odd from 2 on."""
    length = min(tokens, _LENGTH)
    return length - 1 if length > 2 and length % 2 == 0 else length


def attention_tasks(
    settings: Sequence[KVSetting],
    geometry: KVGeometry,
    query_heads: int,
    length: int,
    dtype: str,
) -> Iterator[KernelTask]:
    """Tasks of the settings that are scored as a runtime computes them.

    The shapes are those that :func:`scorer.lanes.kv.attention_over_codes.attend_codes` gives to
    ``mx.quantized_matmul``, of one sequence and one KV head.

    Args:
        settings: Settings of a job.
        geometry: The model's caches.
        query_heads: Query heads of the model.
        length: Tokens of a forward pass.
        dtype: Compute dtype, such as ``bfloat16``.
    """
    tokens = trial_length(length)
    for setting in settings:
        if setting.path != "deployed":
            continue
        for heads, k_dim, v_dim in dict.fromkeys(
            (layer.kv_heads, layer.k_dim, layer.v_dim) for layer in geometry.layers
        ):
            rows = tokens * max(1, query_heads // max(1, heads))
            sides = ((setting.v_bits, v_dim, "values"), (setting.k_bits, k_dim, "keys"))
            for bits, dim, name in sides:
                if bits == FULL_PRECISION or not dim:
                    continue
                keys = name == "keys"
                yield KernelTask(
                    f"{bits}-bit {name}",
                    "quantized_matmul",
                    dtype,
                    x=(1, 1, rows, dim if keys else tokens),
                    matrix=(1, 1, tokens, dim),
                    transpose=keys,
                    bits=bits,
                    group_size=setting.group_size,
                )
