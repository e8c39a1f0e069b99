"""What must hold of every architecture that scores, checked on a tiny random model of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from kv_cases import dequantized_cache
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import QuantizedKVCache
from numpy.typing import NDArray

from scorer.common.errors import InputError
from scorer.device.backend import start_backend
from scorer.engine.preparation import Preparation
from scorer.engine.prepared import Prepared
from scorer.lanes.base import completed
from scorer.lanes.kv.caches import CodesKVCache
from scorer.lanes.kv.engagement import Engagement
from scorer.lanes.kv.lane import CODES, DEQUANTIZED, MLX_LM, KVLane
from scorer.lm.caches import LayerCache, fresh_caches, holds_kv, is_filled, replace_caches, walk
from scorer.lm.patches import pass_options
from scorer.models.resolve import resolve_model
from scorer.runs.listing import find_run
from scorer.score import score
from scorer.spec.events import Event, Failed, Finished, Planned, SettingFailedEvent
from scorer.spec.geometry import KVLayer
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_settings

GROUP = 32
LENGTH = 64
START = 24
STRESS = "8:32,8:32~dequantized,4:32,2:32,k8v4:32"
DEPLOYMENT = "2:32@24"
QUICK = ("k8v4:32", DEPLOYMENT)

# mlx-lm's own arithmetic depends on where a chunk is cut: a window's mask one token wider than its
# cache; sparse blocks counted from the end.
NO_DEPLOYMENT = frozenset({"plamo3", "phi3small"})

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """A finished run over a tiny model.

    Attributes:
        rows: The report's rows by setting.
        kl: KL of every position by the setting it is stored under.
    """

    rows: dict[str, dict[str, Any]]
    kl: dict[str, NDArray[np.float64]]


def job_of(model: Path, text: Path, settings: str = STRESS, **changes: Any) -> Job:
    values: dict[str, Any] = {"chunk_length": LENGTH, "max_chunks": 3, "batch": 1} | changes
    return Job(str(model), parse_settings(settings), CorpusSpec(str(text)), **values)


def scored(job: Job) -> Scored:
    """Score a job in this process; nothing may fail."""
    events: list[Event] = list(score(job))
    last = events[-1]
    assert not isinstance(last, Failed), f"{last.message} ({last.hint})"
    assert isinstance(last, Finished) and last.complete
    for event in events:
        assert not isinstance(event, SettingFailedEvent), f"{event.message} ({event.hint})"
    (plan,) = (event for event in events if isinstance(event, Planned))
    kl = {
        name: np.concatenate([positions.kl for positions, _ in batches])
        for name, batches in find_run(plan.run).read().items()
        if batches
    }
    return Scored({row["setting"]: row for row in last.report["settings"]}, kl)


def settings_of(model: Path) -> str:
    refused = resolve_model(str(model)).architecture in NO_DEPLOYMENT
    return STRESS if refused else f"{STRESS},{DEPLOYMENT}"


def prepared(job: Job, tokens: Path) -> Prepared:
    """A job made ready, without a run."""
    preparation = Preparation(job, start_backend(), tokens)
    for _ in preparation.steps():
        pass
    assert preparation.result is not None
    return preparation.result


def shapes(layers: tuple[KVLayer, ...]) -> list[tuple[int, int, int, int | None]]:
    return [(layer.kv_heads, layer.k_dim, layer.v_dim, layer.window) for layer in layers]


def as_numpy(x: mx.array) -> Array:
    return np.array(x.astype(mx.float32))


def distance(a: Array, b: Array) -> float:
    """Mean absolute difference; equal infinities are no difference."""
    with np.errstate(invalid="ignore"):
        return float(np.where(a == b, 0.0, np.abs(a - b)).mean())


def check_geometry(ready: Prepared) -> None:
    """What is kept of config.json gives the caches that the loaded model fills."""
    read = resolve_model(ready.job.model).geometry
    assert read.exact
    assert shapes(read.layers) == shapes(ready.geometry.layers)
    assert ready.model.vocab_rows == ready.vocab


def check_reference(ready: Prepared) -> None:
    """Body and tail apart give the model's own logits, in a batch as alone."""
    ids = mx.array(ready.corpus.ids[:, :-1])
    model: Any = ready.split.model
    with pass_options(arithmetic=ready.split.arithmetic):
        plain = as_numpy(model(ids, cache=fresh_caches(model)))
    hidden = ready.reference.hidden(ids)
    blocks = [ready.reference.logits(hidden, a, min(a + 25, LENGTH - 1)) for a in range(0, 63, 25)]
    split = np.concatenate([as_numpy(block) for block in blocks], axis=1)
    np.testing.assert_allclose(split, plain, rtol=1e-5, atol=1e-5)
    with pass_options(arithmetic=ready.split.arithmetic):
        alone = as_numpy(model(ids[1:2], cache=fresh_caches(model)))
    np.testing.assert_allclose(alone[0], plain[1], rtol=1e-3, atol=1e-3)


def check_every_layer_counts(ready: Prepared) -> int:
    """A forward in which only one cache is quantized changes the logits, for each cache.

    Returns:
        Caches of keys and values.
    """
    ids = mx.array(ready.corpus.ids[:1, :-1])
    model: Any = ready.split.model
    reference = as_numpy(model(ids, cache=fresh_caches(model)))
    setting = KVSetting(2, 2, GROUP)
    used = fresh_caches(model)
    mx.eval(model(ids, cache=used))
    places = [e.index for e in walk(used) if holds_kv(e.cache) and is_filled(e.cache)]
    for place in places:
        caches = fresh_caches(model)
        (chosen,) = (entry.cache for entry in walk(caches) if entry.index == place)

        def only_chosen(entry: LayerCache, chosen: Any = chosen) -> Any:
            cache = entry.cache
            return dequantized_cache(cache, setting) if cache is chosen else cache

        logits = as_numpy(model(ids, cache=replace_caches(caches, only_chosen)))
        assert distance(logits, reference) > 0, f"cache {place} does not reach the logits"
    return len(places)


def check_numbers(model: Path, text: Path, thorough: bool) -> Scored:
    """Drift is there, grows as bits fall, and is the same alone and in a batch.

    Without ``thorough`` on two chunks, and what a batch gives is left to :func:`check_deployed`.
    """
    chunks = 3 if thorough else 2
    one = scored(job_of(model, text, settings_of(model), max_chunks=chunks))
    mean = {name: float(kl.mean()) for name, kl in one.kl.items()}
    assert 0 < mean["8:32"] < mean["4:32"] < mean["2:32"]
    assert 0 < mean["k8v4:32"]
    assert "8:32~dequantized" not in mean
    assert one.rows["8:32~dequantized"]["kl"] == one.rows["8:32"]["kl"]
    if DEPLOYMENT in mean:
        assert 0 < mean[DEPLOYMENT]
        assert one.rows[DEPLOYMENT]["n_positions"] == chunks * (LENGTH - 1 - START)
    else:
        with pytest.raises(InputError, match="when a chunk is run in two parts"):
            prepared(job_of(model, text, DEPLOYMENT), text.parent / "tokens")
    if not thorough:
        return one
    together = scored(job_of(model, text, "4:32,2:32", max_chunks=chunks, batch=chunks))
    for name in ("4:32", "2:32"):
        # Rounding differs with the shape of a product, and the quantizer amplifies it.
        assert abs(float(together.kl[name].mean()) / mean[name] - 1) < 0.05, name
    return one


def check_rows(one: Scored, ready: Prepared) -> None:
    """Every row says which layers were quantized, how, and which were not."""
    caches = fresh_caches(ready.split.model)
    for name, row in one.rows.items():
        setting = KVSetting.parse(name)
        skipped = sum(row["kv_layers_skipped"].values())
        assert row["kv_layers_quantized"] + skipped == row["kv_layers_total"] == len(caches)
        assert row["kv_partial"] is (skipped > 0)
        sides = row["engagement"]
        assert len(sides) == 2 * len(ready.geometry.layers)
        for number, side in enumerate(sides):
            layer = ready.geometry.layers[number // 2]
            width = layer.v_dim if number % 2 else layer.k_dim
            assert side["side"] == "kv"[number % 2]
            assert side["class"].startswith("Dequantized")
            assert side["bits"] == (setting.v_bits if number % 2 else setting.k_bits)
            assert side["group_size"] == GROUP
            assert side["stored_bytes"] is None
            assert side["tokens"] == (LENGTH - 1 if width else 0)


def mlx_lm_runs(ready: Prepared) -> bool:
    """What mlx-lm's own generation does with ``--kv-bits 8``: all caches quantized, or not."""
    model: Any = ready.split.model
    caches = fresh_caches(model)
    prompt = mx.array(ready.corpus.ids[0, :40])
    try:
        list(
            generate_step(
                prompt,
                model,
                max_tokens=2,
                prompt_cache=caches,
                prefill_step_size=16,
                kv_bits=8,
                kv_group_size=GROUP,
                quantized_kv_start=0,
            )
        )
    except (AttributeError, TypeError, ValueError, NotImplementedError):
        return False
    filled = [e.cache for e in walk(caches) if holds_kv(e.cache) and is_filled(e.cache)]
    return all(isinstance(cache, QuantizedKVCache) for cache in filled)


def check_runnable(one: Scored, ready: Prepared) -> bool:
    """A report calls a setting runnable exactly where mlx-lm runs it, and warns elsewhere."""
    runs = mlx_lm_runs(ready)
    for name, row in one.rows.items():
        setting = KVSetting.parse(name)
        expected = runs and setting.k_bits == setting.v_bits
        assert row["runnable_by_mlx_lm"] is expected, name
        warned = any("mlx-lm cannot run" in warning for warning in row["warnings"])
        assert warned is not expected, name
    return runs


def check_deployed(model: Path, text: Path, tokens: Path, thorough: bool) -> dict[str, str]:
    """The deployed path over codes is the dequantized one up to rounding, alone and in a batch.

    Args:
        model: Its folder.
        text: What is scored.
        tokens: The folder of the tokens that are kept.
        thorough: Compare every setting, not the least bits and two widths alone.

    Returns:
        Arithmetic of every setting under ``--kernel mlx-lm``.
    """
    settings = settings_of(model).replace("8:32~dequantized,", "")
    ready = prepared(job_of(model, text, settings, kernel="mlx-lm"), tokens)
    ids = mx.array(ready.corpus.ids[:2, :-1])
    hidden = ready.reference.hidden(ids)
    reference = as_numpy(ready.reference.logits(hidden, 0, LENGTH - 1))
    for row in ready.planned:
        assert (row.arithmetic == MLX_LM) is row.runnable_by_mlx_lm
        if not thorough and str(row.setting) not in QUICK:
            continue
        found = {}
        for arithmetic in {row.arithmetic, DEQUANTIZED}:
            lane = KVLane(ready.handle, row.setting, arithmetic)
            hidden, engagement = completed(lane.begin(ids))
            logits = as_numpy(lane.logits(hidden, 0, LENGTH - 1))
            found[arithmetic] = logits[:, row.setting.start :]
            assert isinstance(engagement, Engagement)
            check_stored_bytes(arithmetic, engagement, ready)
        own, other = found[row.arithmetic], found[DEQUANTIZED]
        drift = distance(other, reference[:, row.setting.start :])
        assert distance(own, other) < 0.1 * drift, row.setting
        lane = KVLane(ready.handle, row.setting, DEQUANTIZED)
        hidden, _ = completed(lane.begin(ids[1:]))
        alone = as_numpy(lane.logits(hidden, 0, LENGTH - 1))[:, row.setting.start :]
        # Rounding differs with the shape of a product, and the quantizer amplifies it.
        assert distance(alone, other[1:]) < 0.2 * drift, row.setting
    return {str(row.setting): row.arithmetic for row in ready.planned}


def check_stored_bytes(arithmetic: str, engagement: Engagement, ready: Prepared) -> None:
    """Stored bytes follow from the shapes: codes, and a float32 scale and bias per group."""
    for number, side in enumerate(engagement.sides):
        layer = ready.geometry.layers[number // 2]
        if arithmetic == DEQUANTIZED:
            assert side.stored_bytes is None
            continue
        width = layer.v_dim if number % 2 else layer.k_dim
        per_token = layer.kv_heads * width * (side.bits / 8 + 2 * 4 / GROUP)
        assert side.tokens == LENGTH - 1
        assert side.stored_bytes == side.tokens * per_token
        assert (
            side.cache_class
            == {
                CODES: CodesKVCache.__name__,
                MLX_LM: QuantizedKVCache.__name__,
            }[arithmetic]
        )


@dataclass(frozen=True)
class Outcome:
    """What was found of an architecture that scores.

    Attributes:
        caches: Caches of keys and values.
        total: Entries of the model's list of caches.
        runs: Whether mlx-lm runs the 8-bit setting on it.
        arithmetic: How each setting is computed with ``--kernel mlx-lm``.
        rows: The report's rows by setting.
    """

    caches: int
    total: int
    runs: bool
    arithmetic: dict[str, str]
    rows: dict[str, dict[str, Any]]


def check_architecture(model: Path, text: Path, *, thorough: bool = True) -> Outcome:
    """All checks of a model folder; the first that fails raises.

    Without ``thorough`` see :func:`check_numbers` and :func:`check_deployed`.
    """
    tokens = text.parent / "tokens"
    ready = prepared(job_of(model, text), tokens)
    check_geometry(ready)
    check_reference(ready)
    caches = check_every_layer_counts(ready)
    one = check_numbers(model, text, thorough)
    check_rows(one, ready)
    runs = check_runnable(one, ready)
    arithmetic = check_deployed(model, text, tokens, thorough)
    total = len(fresh_caches(ready.split.model))
    return Outcome(caches, total, runs, arithmetic, one.rows)


def check_quantized_weights(model: Path, text: Path) -> None:
    """A model whose weights are quantized scores like any other."""
    one = scored(job_of(model, text, "8:32,2:32"))
    assert 0 < one.kl["8:32"].mean() < one.kl["2:32"].mean()


def check_made_weights(model: Path, text: Path) -> None:
    """Weights are made of a model in memory; together and in turns give the same bits.

    Where the architecture does not give its hidden states, turns are refused in one line.
    """
    job = job_of(model, text, "w4:32,w4:32+4:32")
    together = scored(job)
    assert all(kl.mean() > 0 for kl in together.kl.values()) and len(together.kl) == 2
    events = list(score(replace(job, one_at_a_time=True)))
    last = events[-1]
    if isinstance(last, Failed):
        assert last.exit_code == 2 and "hidden states" in last.message, last
        return
    (run,) = (event.run for event in events if isinstance(event, Planned))
    for name, batches in find_run(run).read().items():
        kl = np.concatenate([positions.kl for positions, _ in batches])
        np.testing.assert_array_equal(kl, together.kl[name], name)


def refused(model: Path, text: Path) -> str:
    """The message of a model that cannot be scored: one line, a hint, the user's exit code."""
    (*_, last) = score(job_of(model, text))
    assert isinstance(last, Failed) and last.exit_code == 2, last
    assert "\n" not in last.message and last.hint
    return last.message
