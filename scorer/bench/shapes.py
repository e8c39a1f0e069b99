"""Models with random weights and the shapes of real models, for benchmarks."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map

from scorer.device.backend import Backend

# Values of config.json; `bits` quantizes the weights in groups of 64.
_CONFIGS: dict[str, dict[str, int]] = {
    "llama-1b": {
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 8192,
        "vocab_size": 128_256,
    },
    "smollm-135m": {
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "vocab_size": 49_152,
    },
    "wide-vocabulary": {
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 256,
        "vocab_size": 128_256,
    },
    "tiny": {
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 256,
        "vocab_size": 512,
    },
}
_CONFIGS["llama-1b-4bit"] = {**_CONFIGS["llama-1b"], "bits": 4}


def config_of(shape: str) -> dict[str, Any]:
    """Return the config.json of a shape, a Llama with tied embeddings."""
    return {
        "model_type": "llama",
        "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0,
        "tie_word_embeddings": True,
        **_CONFIGS[shape],
    }


def random_model(shape: str, backend: Backend, seed: int = 0) -> nn.Module:
    """Return an evaluated model: bfloat16 on a GPU, dense float32 on the CPU, as in scoring.

    Matrices are normal with standard deviation 1/√fan-in, norms are 1.
    """
    from mlx_lm.models import llama

    config = config_of(shape)
    bits = config.pop("bits", None)
    model: nn.Module = llama.Model(llama.ModelArgs.from_dict(config))
    keys = iter(mx.random.split(mx.random.key(seed), 1024))
    dtype = mx.float32 if backend.kind == "cpu" else mx.bfloat16

    def random_weights(parameter: mx.array) -> mx.array:
        """Return random weights of the same shape (…,) in the compute dtype."""
        if parameter.ndim < 2:
            return parameter.astype(dtype)
        scale = 1 / math.sqrt(parameter.shape[-1])
        return mx.random.normal(parameter.shape, dtype=dtype, scale=scale, key=next(keys))

    model.update(tree_map(random_weights, model.parameters()))
    if bits is not None and backend.kind != "cpu":
        nn.quantize(model, group_size=64, bits=bits)
    model.eval()
    mx.eval(model.parameters())
    return model
