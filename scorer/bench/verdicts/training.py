"""Trains a model on windows of items until its time is over."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_map

from scorer.bench.verdicts.attention import attention_facts
from scorer.bench.verdicts.items import TASKS
from scorer.bench.verdicts.models import ModelPlan, byte_ids, new_model, save_model
from scorer.bench.verdicts.scoring import right_items
from scorer.bench.verdicts.windows import WINDOW, HeldOut
from scorer.common.atomic_files import write_atomic
from scorer.common.errors import InputError

# Of the loss of a token that is no answer: what questions hold is random, and only their form can
# be learned; but verdicts are of all tokens.
_QUESTION_WEIGHT = 0.1
# Shares of the time in which the learning rate rises, and of the rate that is left at the end.
_WARM_UP = 0.05
_LAST_RATE = 0.02
# Steps are queued on a GPU before their losses are asked for.
_AHEAD = 20
# Held-out windows that are asked at the end.
_SHOWN_WINDOWS = 48

Tree = Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """How models are trained.

    Attributes:
        batch: Windows of a step.
        seconds: Time of the training loop, which begins once the first step is over.
        steps: Steps at most; None for as many as there is time for.
        dtype: What forward and backward pass compute in; the weights are float32.
        seed: Of weights and windows.
    """

    batch: int = 32
    seconds: float = 60.0
    steps: int | None = None
    dtype: str = "bfloat16"
    seed: int = 0


def train(
    plan: ModelPlan, windows: Path, folder: Path, recipe: Recipe, held_out: HeldOut | None = None
) -> None:
    """Train a model and write its folder; `training.json` in it says how that went.

    Args:
        plan: The model.
        windows: Windows to train on, see :func:`scorer.bench.verdicts.windows.make_training`.
        folder: Of the model.
        recipe: How.
        held_out: Has the items of which some are asked in the end, to show how well it went.

    Raises:
        InputError: There are no windows.
        ArithmeticError: The loss is not finite.
    """
    if not windows.exists():
        raise InputError(f"there is no `{windows}`", "make it first: the step `text`")
    with np.load(windows) as stored:
        codes, answers = stored["codes"], stored["answers"]
    model = new_model(plan, recipe.seed)
    params = model.parameters()
    count = sum(value.size for _, value in tree_flatten(params))
    print(f"{plan.name}: {count:,} parameters, {len(codes):,} windows", flush=True)
    batches = _batches(len(codes), recipe)
    ids = byte_ids()[codes]
    step, optimizer = _stepper(model, getattr(mx, recipe.dtype))

    def one(rows: np.ndarray[Any, Any]) -> mx.array:
        nonlocal params
        loss: mx.array
        weights = np.where(answers[rows, 1:], 1.0, _QUESTION_WEIGHT).astype(np.float32)
        loss, params = step(params, mx.array(ids[rows]), mx.array(weights))
        mx.async_eval(loss, params, optimizer.state)  # type: ignore[no-untyped-call]
        return loss

    optimizer.learning_rate = mx.array(0.0)
    mx.eval(one(next(batches)))
    started = time.monotonic()
    done, losses = 0, list[float]()
    told = -math.inf
    while (spent := time.monotonic() - started) < recipe.seconds:
        share = spent / recipe.seconds
        if recipe.steps is not None:
            if done >= recipe.steps:
                break
            share = max(share, done / recipe.steps)
        optimizer.learning_rate = mx.array(plan.rate * rate_share(share))
        loss = one(next(batches))
        done += 1
        if done % _AHEAD == 0:
            losses.append(float(np.array(loss)))
            if not math.isfinite(losses[-1]):
                raise ArithmeticError(f"the loss of {plan.name} is {losses[-1]} at step {done}")
            if spent - told > 5:
                print(f"{plan.name}: step {done}, loss {losses[-1]:.3f}, {spent:.0f} s", flush=True)
                told = spent
    mx.eval(params)
    seconds = time.monotonic() - started
    model.update(params)
    facts = attention_facts(model, mx.array(ids[:4]))
    folder.mkdir(parents=True, exist_ok=True)
    told_of = {
        "parameters": count,
        "steps": done,
        "seconds": seconds,
        "tokens": done * recipe.batch * WINDOW,
        "device": str(mx.default_device()),
        "recipe": asdict(recipe),
        "losses": losses,
        **facts,
    }
    write_atomic(folder / "training.json", json.dumps(told_of))
    save_model(plan, model, folder)
    shown = {**facts, **(_accuracy(model, held_out) if held_out else {})}
    listed = ", ".join(f"{name} {value:.3f}" for name, value in shown.items())
    print(f"{plan.name}: {done} steps in {seconds:.0f} s; {listed}", flush=True)


def _accuracy(model: nn.Module, held_out: HeldOut) -> dict[str, float]:
    """Share of right answers by task, over the first windows."""
    text = np.frombuffer(held_out.asked.read_bytes()[: _SHOWN_WINDOWS * WINDOW], np.uint8)
    ids = byte_ids()[text].reshape(-1, WINDOW)
    hits = np.ones(ids.shape, np.bool_)
    for row, each in enumerate(ids):
        top = mx.argmax(model(mx.array(each[None, :-1])), axis=-1)
        hits[row, 1:] = np.array(top)[0] == each[1:]
    items = [item for item in held_out.items if item.window < len(ids)]
    right = right_items(hits, items)
    tasks = np.array([item.task for item in items])
    return {task: float(right[tasks == task].mean()) for task in TASKS if (tasks == task).any()}


def rate_share(share: float) -> float:
    """Share of the peak learning rate once a share of the time is over: a rise, then a cosine."""
    if share < _WARM_UP:
        return (share + 1e-3) / (_WARM_UP + 1e-3)
    fallen = (1 + math.cos(math.pi * min(1.0, (share - _WARM_UP) / (1 - _WARM_UP)))) / 2
    return _LAST_RATE + (1 - _LAST_RATE) * fallen


def _batches(windows: int, recipe: Recipe) -> Iterator[np.ndarray[Any, Any]]:
    """Rows of windows for each step, each window once before any comes again."""
    rng = np.random.default_rng(recipe.seed)
    size = min(recipe.batch, windows)
    while True:
        order = rng.permutation(windows)
        for start in range(0, windows - size + 1, size):
            yield order[start : start + size]


def _stepper(model: nn.Module, dtype: mx.Dtype) -> tuple[Callable[..., Any], optim.Optimizer]:
    optimizer = optim.AdamW(1e-3, betas=[0.9, 0.98], weight_decay=0.05)
    optimizer.init(model.trainable_parameters())

    def loss_of(params: Tree, ids: mx.array, weights: mx.array) -> mx.array:
        """Weighted mean of the losses of ids (b, 512) int32; weights (b, 511) float32."""
        model.update(tree_map(lambda value: value.astype(dtype), params))
        logits = model(ids[:, :-1]).astype(mx.float32)
        losses = nn.losses.cross_entropy(logits, ids[:, 1:])
        found: mx.array = (losses * weights).sum() / weights.sum()
        return found

    def step(params: Tree, ids: mx.array, weights: mx.array) -> tuple[mx.array, Tree]:
        loss, gradients = mx.value_and_grad(loss_of)(params, ids, weights)
        gradients, _ = optim.clip_grad_norm(gradients, 1.0)
        return loss, optimizer.apply_gradients(gradients, params)

    if mx.default_device() == mx.gpu:
        step = mx.compile(step, inputs=optimizer.state, outputs=optimizer.state)
    return step, optimizer
