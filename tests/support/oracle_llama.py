"""A Llama forward pass in NumPy, weights read straight from the file; shares nothing with scorer.

RMSNorm (Zhang & Sennrich 2019), rotary positions on half-split pairs (Su et al. 2021), grouped
queries (Ainslie et al. 2023), SwiGLU (Shazeer 2020), tied or untied head. Keys and values are
quantized per token and head where they enter the cache, after the rotation.

Run as a program it scores chunks by itself, without MLX in its process.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from oracle_affine import quantize, round_trip

Array = NDArray[Any]
_DTYPES = {"F16": np.float16, "F32": np.float32}
FULL = 16


@dataclass(frozen=True)
class Cached:
    """How keys and values are stored: bits of each (16: whole), group size, first quantized call.

    Attributes:
        k_bits: Bits of a key element.
        v_bits: Bits of a value element.
        group: Elements that share a scale and a bias.
        start: Tokens that run at full precision before everything stored is quantized.
    """

    k_bits: int = FULL
    v_bits: int = FULL
    group: int = 64
    start: int = 0


def read_safetensors(path: Path) -> dict[str, Array]:
    """Tensors of a safetensors file by name, widened to float32."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, entry in json.loads(raw[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        flat = np.frombuffer(raw[begin:end], _DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"]).astype(np.float32)
    return tensors


class Llama:
    """A model folder ready for forward passes.

    Args:
        folder: With config.json and model.safetensors.
        dtype: Of all arithmetic; keys and values enter the quantizer as float32 in any case.
        bits: Bits of a weight; 16 leaves them as they are.
        group: Elements of a weight that share a scale.
    """

    def __init__(self, folder: Path, dtype: type, bits: int = FULL, group: int = 64) -> None:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        self.dtype = dtype
        stored = read_safetensors(folder / "model.safetensors")
        self.weights: dict[str, Array] = {
            name: _quantized(tensor, bits, group, dtype) for name, tensor in stored.items()
        }
        self.layers = int(config["num_hidden_layers"])
        self.heads = int(config["num_attention_heads"])
        self.kv_heads = int(config["num_key_value_heads"])
        self.dim = int(config["head_dim"])
        self.epsilon = float(config["rms_norm_eps"])
        self.base = float(config["rope_theta"])

    def embed(self, tokens: NDArray[np.integer]) -> Array:
        """Embeddings (L, H) of tokens (L,)."""
        embedded: Array = self.weights["model.embed_tokens.weight"][tokens]
        return embedded

    def logits(self, embedded: Array, cached: Cached = Cached()) -> NDArray[np.float32]:
        """Logits (L, V) of embeddings (L, H)."""
        x: Array = embedded.astype(self.dtype)
        for layer in range(self.layers):
            name = f"model.layers.{layer}"
            x = x + self._attention(self._norm(x, f"{name}.input_layernorm"), name, cached)
            x = x + self._feed_forward(self._norm(x, f"{name}.post_attention_layernorm"), name)
        head = self.weights.get("lm_head.weight", self.weights["model.embed_tokens.weight"])
        logits: NDArray[np.float32] = (self._norm(x, "model.norm") @ head.T).astype(np.float32)
        return logits

    def _norm(self, x: Array, name: str) -> Array:
        scale = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.dtype(self.epsilon))
        normed: Array = x / scale * self.weights[f"{name}.weight"]
        return normed

    def _linear(self, x: Array, name: str) -> Array:
        product: Array = x @ self.weights[f"{name}.weight"].T
        return product

    def _feed_forward(self, x: Array, name: str) -> Array:
        gate = self._linear(x, f"{name}.mlp.gate_proj")
        up = self._linear(x, f"{name}.mlp.up_proj")
        return self._linear(gate / (1 + np.exp(-gate)) * up, f"{name}.mlp.down_proj")

    def _rotate(self, x: Array) -> Array:
        """Rotary positions on x (heads, L, D): element i turns with element i + D/2."""
        half = self.dim // 2
        frequencies = self.base ** (-np.arange(half) / half)
        angles = np.arange(x.shape[1])[:, None] * frequencies
        cosine: Array = np.cos(angles).astype(self.dtype)
        sine: Array = np.sin(angles).astype(self.dtype)
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * cosine - b * sine, b * cosine + a * sine], axis=-1)

    def _split(self, x: Array, heads: int) -> Array:
        return x.reshape(len(x), heads, self.dim).swapaxes(0, 1)

    def _attention(self, x: Array, name: str, cached: Cached) -> Array:
        projected = [self._linear(x, f"{name}.self_attn.{side}_proj") for side in "qkv"]
        q = self._rotate(self._split(projected[0], self.heads))
        k = self._rotate(self._split(projected[1], self.kv_heads))
        v = self._split(projected[2], self.kv_heads)
        stored = [
            round_trip(side.astype(np.float32), bits, cached.group).astype(self.dtype)
            if bits != FULL
            else side
            for side, bits in ((k, cached.k_bits), (v, cached.v_bits))
        ]
        n = cached.start
        parts = [self._attend(q[:, n:], stored[0], stored[1])]
        if n:
            parts.insert(0, self._attend(q[:, :n], k[:, :n], v[:, :n]))
        out = np.concatenate(parts, axis=1)
        return self._linear(out.swapaxes(0, 1).reshape(len(x), -1), f"{name}.self_attn.o_proj")

    def _attend(self, q: Array, k: Array, v: Array) -> Array:
        """The last queries (Hq, L, D) over all of keys and values (Hkv, T, D), causally."""
        length, total = q.shape[1], k.shape[1]
        repeats = self.heads // self.kv_heads
        future = np.arange(total)[None] > np.arange(total - length, total)[:, None]
        out = np.empty_like(q)
        for head in range(self.heads):
            scores = (q[head] @ k[head // repeats].T) / self.dtype(np.sqrt(self.dim))
            scores[future] = -np.inf
            weights: Array = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out[head] = weights @ v[head // repeats] / weights.sum(axis=-1, keepdims=True)
        return out


def _quantized(tensor: Array, bits: int, group: int, dtype: type) -> Array:
    """A matrix as its codes give it, scales and biases rounded to float16; others as they are."""
    if bits == FULL or tensor.ndim != 2 or tensor.shape[1] % group:
        return tensor.astype(dtype)
    # As it is stored: in float16.
    found = quantize(tensor.astype(np.float16), bits, group)
    scales, biases = (
        np.repeat(x.astype(dtype), group, axis=-1) for x in (found.scales, found.biases)
    )
    matrix: Array = found.codes.astype(dtype) * scales + biases
    return matrix


def log_softmax(logits: Array) -> NDArray[np.float64]:
    """Natural log-probabilities (…, V) of logits (…, V)."""
    wide = logits.astype(np.float64)
    result: NDArray[np.float64] = wide - np.logaddexp.reduce(wide, axis=-1, keepdims=True)
    return result


def main(folder: str, chunks: str, out: str, *notations: str) -> None:
    """Write reference logits, and KL and target likelihoods of every way to store the cache.

    Args:
        folder: Of the model.
        chunks: File of (C, L) tokens, of which each chunk's first L − 1 are read.
        out: File to write: ``logits`` (C, L − 1, V), ``nll_ref`` (C, L − 1), and for every
            notation ``kl NOTATION`` and ``nll NOTATION`` (C, L − 1), nats.
        notations: ``K,V,GROUP,START`` each.
    """
    model = Llama(Path(folder), np.float64)
    tokens = np.load(chunks)
    targets = tokens[:, 1:, None]
    embedded = [model.embed(chunk[:-1]) for chunk in tokens]
    logits = np.stack([model.logits(x) for x in embedded])
    log_p = log_softmax(logits)
    found = {"logits": logits, "nll_ref": -np.take_along_axis(log_p, targets, -1)[..., 0]}
    for notation in notations:
        cached = Cached(*map(int, notation.split(",")))
        log_q = log_softmax(np.stack([model.logits(x, cached) for x in embedded]))
        found[f"kl {notation}"] = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
        found[f"nll {notation}"] = -np.take_along_axis(log_q, targets, -1)[..., 0]
    np.savez(out, **found)  # type: ignore[arg-type]  # its keyword for pickling is no name here


if __name__ == "__main__":
    main(*sys.argv[1:])
