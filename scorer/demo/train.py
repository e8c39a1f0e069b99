"""Makes the demo model: `python -m scorer.demo.train [--out DIR] [--steps N] [--text FILE]`.

Trains the tokenizer and a small Llama on the standard library's documentation. One thirtieth of
the training text is used for validation, to choose the step whose weights are kept. The held-out
documents of `scorer.demo.text` are evaluated once, at the end, for the figures in the README.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import numpy.typing as npt
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models import llama

from scorer.demo import demo_model_path
from scorer.demo.perplexity import chunked, model_perplexity, unigram_perplexity
from scorer.demo.text import Collected, collect
from scorer.demo.tokenizer import save_tokenizer, train_tokenizer

Tokens = npt.NDArray[np.int32]

CONTEXT = 2048
CHUNK = 512

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    # With 4096 the 16-bit weights would be just above 6 000 000 bytes.
    "vocab_size": 4032,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
    "eos_token_id": 0,
    "torch_dtype": "float16",
}


@dataclass(frozen=True)
class Recipe:
    """How the model is trained.

    Attributes:
        steps: Optimizer steps.
        tokens: Tokens per step; windows of 512, 1024 and 2048 tokens alternate.
        rate: Peak learning rate.
        dropout: Dropout rate on both branches of a block.
        seed: Seed of weights, windows and dropout.
    """

    steps: int = 2000
    tokens: int = 32_768
    rate: float = 2e-3
    dropout: float = 0.1
    seed: int = 0


class _Block(llama.TransformerBlock):  # type: ignore[misc]
    """mlx-lm's block with dropout on both branches and the same names of weights."""

    def __init__(self, args: llama.ModelArgs, dropout: float) -> None:
        super().__init__(args)
        self.dropout = nn.Dropout(dropout)

    def __call__(self, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        x = x + self.dropout(self.self_attn(self.input_layernorm(x), mask, cache))
        x = x + self.dropout(self.mlp(self.post_attention_layernorm(x)))
        return x


def new_model(config: dict[str, Any], dropout: float) -> llama.Model:
    """Return a model of the given `config.json` with new random float32 weights."""
    args = llama.ModelArgs.from_dict(config)
    model = llama.Model(args)
    model.model.layers = [_Block(args, dropout) for _ in range(args.num_hidden_layers)]
    return model


def windows(tokens: Tokens, recipe: Recipe, longest: int = CONTEXT) -> Iterator[mx.array]:
    """Yield one batch of windows at random offsets for each step.

    Every length is used equally often, so that late positions are trained too.

    Args:
        tokens: (n,) int32, the training tokens.
        recipe: Number of steps, tokens per step, seed.
        longest: Longest window, tokens.

    Yields:
        (recipe.tokens // length, length + 1) int32.
    """
    random = np.random.default_rng(recipe.seed)
    lengths = [length for length in (CHUNK, 1024, 2048) if length <= longest]
    for step in range(recipe.steps):
        length = min(lengths[step % len(lengths)], len(tokens) - 1)
        starts = random.integers(0, len(tokens) - length, max(1, recipe.tokens // length))
        yield mx.array(tokens[starts[:, None] + np.arange(length + 1)])


def train(model: llama.Model, text: Tokens, validation: Tokens, recipe: Recipe) -> int:
    """Train in place and keep the weights of the step with the best validation perplexity.

    Args:
        model: Result of `new_model`.
        text: (n,) int32, the training tokens.
        validation: (m, 512) int32, chunks that are not trained on.
        recipe: Hyperparameters.

    Returns:
        The step whose weights were kept.
    """
    warmup = max(1, min(200, recipe.steps // 10))
    schedule = optim.join_schedules(
        [
            optim.linear_schedule(0.0, recipe.rate, warmup),
            optim.cosine_decay(recipe.rate, max(1, recipe.steps - warmup), recipe.rate / 100),
        ],
        [warmup],
    )
    optimizer = optim.AdamW(schedule, betas=[0.9, 0.95], weight_decay=0.1)
    loss_and_gradients = nn.value_and_grad(model, _loss)
    state = [model.state, optimizer.state, mx.random.state]

    def step(batch: mx.array) -> mx.array:
        """Update the weights with (b, length + 1) int32 tokens; return the loss, () float32."""
        loss: mx.array
        loss, gradients = loss_and_gradients(model, batch)
        gradients, _ = optim.clip_grad_norm(gradients, 1.0)
        optimizer.update(model, gradients)
        return loss

    if mx.default_device() == mx.gpu:
        step = mx.compile(step, inputs=state, outputs=state)
    check_every = max(1, recipe.steps // 30)
    best, best_step, best_weights = math.inf, 0, model.parameters()
    started = time.monotonic()
    for number, batch in enumerate(windows(text, recipe), start=1):
        model.train()
        loss = step(batch)
        mx.eval(state, loss)
        if number % check_every == 0 or number == recipe.steps:
            model.eval()
            perplexity = model_perplexity(model, validation)
            if perplexity < best:
                best, best_step = perplexity, number
                best_weights = tree_map(mx.array, model.parameters())
                mx.eval(best_weights)
            print(
                f"step {number}: loss {loss.item():.3f}, validation perplexity {perplexity:.2f}, "
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )
    model.update(best_weights)
    model.eval()
    return best_step


def _loss(model: llama.Model, batch: mx.array) -> mx.array:
    logits = model(batch[:, :-1]).astype(mx.float32)
    loss: mx.array = nn.losses.cross_entropy(logits, batch[:, 1:], reduction="mean")
    return loss


def make(
    out: Path,
    text: Collected,
    recipe: Recipe,
    config: dict[str, Any] = CONFIG,
    command: str = "",
) -> None:
    """Train tokenizer and model on `text` and write the model folder.

    Args:
        out: Folder to write; created if missing.
        text: Training text, and the held-out documents for the figures in the README.
        recipe: Hyperparameters.
        config: The model's `config.json`.
        command: The command line, for the README.
    """
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(text.training, config["vocab_size"])
    training, validation = _split(np.array(tokenizer.encode(text.training).ids, dtype=np.int32))
    joined = "\n\n".join(body for _, body in text.documents)
    held_out = chunked(np.array(tokenizer.encode(joined).ids, dtype=np.int32), CHUNK)
    print(f"{len(training)} training tokens, {held_out.size} held out", flush=True)

    mx.random.seed(recipe.seed)
    model = new_model(config, recipe.dropout)
    best_step = train(model, training, validation, recipe)
    weights = {name: value.astype(mx.float16) for name, value in _flat(model).items()}
    largest = max(np.abs(np.array(value)).max() for value in weights.values())
    if not np.isfinite(largest):
        raise OverflowError("a weight is out of float16's range")
    mx.save_safetensors(str(out / "model.safetensors"), weights, metadata={"format": "mlx"})
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_tokenizer(tokenizer, out, CONTEXT)

    # The figures are for the weights as shipped: rounded to 16 bit, computed in 32.
    model.load_weights([(name, value.astype(mx.float32)) for name, value in weights.items()])
    perplexity, unigram = model_perplexity(model, held_out), unigram_perplexity(held_out)
    (out / "README.md").write_text(
        f"""# The demo model

A Llama of {sum(value.size for value in weights.values()):,} parameters \
({config["num_hidden_layers"]} layers, {config["num_attention_heads"]} query heads and \
{config["num_key_value_heads"]} key-value heads of {config["head_dim"]}), made to show and test
measurements with, not to write text. License: that of this package; the text it was trained on
is Python's documentation (PSF License).

- Made by `{command}` on {mx.default_device()} with the text of CPython {text.python}
- Trained on {len(training):,} tokens of its standard library's docstrings, comments and \
`pydoc` topics, in windows of 512 to {CONTEXT}; weights of step {best_step} of {recipe.steps}
- Held-out documents, {len(held_out)} chunks of {CHUNK} tokens: perplexity {perplexity:.1f}, \
where the unigram model (the chunks' own token frequencies) has {unigram:.0f}
"""
    )
    print(f"held-out perplexity {perplexity:.2f}, unigram {unigram:.1f}, step {best_step}")
    print(f"largest weight {largest:.2f}", flush=True)


def _split(tokens: Tokens) -> tuple[Tokens, Tokens]:
    """Return training tokens (n,) and validation chunks (m, 512): every thirtieth chunk."""
    chunks = chunked(tokens, CHUNK)
    validates = np.arange(len(chunks)) % 30 == 15 % max(1, len(chunks))
    return chunks[~validates].ravel(), chunks[validates]


def _flat(model: llama.Model) -> dict[str, mx.array]:
    return dict(tree_flatten(model.parameters()))


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, train the model and write it."""
    parser = argparse.ArgumentParser(prog="python -m scorer.demo.train", description=__doc__)
    parser.add_argument("--out", type=Path, default=demo_model_path(), help="folder to write")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--tokens", type=int, default=Recipe.tokens, help="tokens per step")
    parser.add_argument("--rate", type=float, default=Recipe.rate, help="peak learning rate")
    parser.add_argument("--dropout", type=float, default=Recipe.dropout)
    parser.add_argument(
        "--text", type=Path, help="output of scorer.demo.text; default: text of this Python"
    )
    options = parser.parse_args(arguments)
    text = Collected(**json.loads(options.text.read_text("utf-8"))) if options.text else collect()
    recipe = Recipe(options.steps, options.tokens, options.rate, options.dropout)
    command = f"python -m scorer.demo.train --steps {recipe.steps}"
    make(options.out, text, recipe, command=command)


if __name__ == "__main__":
    main()
