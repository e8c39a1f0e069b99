"""Reports of runs that compare weights, made of random positions: no model is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from report_builders import make_facts, random_positions, stored_facts

from scorer.report.build import build_report
from scorer.report.from_run import finished_report
from scorer.report.measured import ScoredSetting
from scorer.report.tree import Report
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.facts import RunFacts, SettingFacts
from scorer.runs.grid import CellKey
from scorer.runs.listing import Run, new_run
from scorer.runs.shape_facts import ShapeFacts
from scorer.runs.weight_facts import GGUF_NOTE, StoredFormat, WeightFacts
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.job import Job
from scorer.spec.settings.base import Setting
from scorer.spec.settings.registry import parse_settings
from scorer.spec.settings.weights import (
    MadeWeights,
    StoredWeights,
    WeightsSource,
    cache_of,
    weights_of,
)
from scorer.stats.positions import Positions

REPO = "w=quants/a-rather-long-name-of-SmolLM2-135M-Instruct-4bit"
SHORT = "a-rather-long-name-of-SmolLM2-135M-Instruct-4bit"
GRID = f"8,4,w8,w8+8,w8+4,w6,w6+8,wmxfp8,{REPO},{REPO}+8,{REPO}+4"
LAYERS = (KVLayer(3, 64, 64),) * 30
BITS = {"w8": 8.5, "w6": 6.5, "w4": 4.5, "w3": 3.5, "wmxfp8": 8.25}
PARAMETERS = 134_500_000

DRIFT = {
    "": 0.0,
    "w8": 0.0005,
    "w6": 0.003,
    "w4": 0.05,
    "w3": 0.6,
    "wmxfp8": 0.009,
    REPO: 0.4,
    "8": 0.0002,
    "4": 0.03,
}
"""KL mean of each part, nats; that of a pair is the sum."""


def facts_of(source: WeightsSource) -> WeightFacts:
    bits = BITS.get(source.key, 4.5)
    if isinstance(source, MadeWeights):
        stored = StoredFormat(source.mode, source.bits, source.group_size, 211, PARAMETERS)
        names: dict[str, Any] = {"name": source.key}
    elif source.is_gguf:
        stored = StoredFormat("Q4_K", 4, 32, 211, PARAMETERS)
        names = {"name": source.name, "model_id": source.model, "notes": (GGUF_NOTE,)}
    else:
        stored = StoredFormat("affine", 4, 64, 211, PARAMETERS)
        names = {
            "name": source.name,
            "model_id": source.model,
            "model_revision": None if source.is_path else "c" * 40,
        }
    return WeightFacts(
        precision=f"{stored.bits} bit, groups of {stored.group_size}, {bits:g} bits per weight",
        bits_per_weight=bits,
        weight_bytes=round(PARAMETERS * bits / 8),
        formats=(stored,),
        **names,
    )


def weights_report(
    settings: str = GRID,
    *,
    deployment: DeploymentSpec | None = None,
    waiting: tuple[str, ...] = (),
    dropped: dict[str, str] | None = None,
    n_depth: int = 60,
    **changes: Any,
) -> Report:
    """The report of a run of these settings.

    Args:
        settings: The settings.
        deployment: Where the model is to run.
        waiting: Those that were not scored.
        dropped: Those that were scored on 8 of 12 chunks, and why.
        n_depth: Positions of a chunk.
        changes: Facts of the run.
    """
    parsed = parse_settings(settings)
    facts = facts_of_run(parsed, deployment, n_depth, **changes)
    return build_report(facts, rows_of(parsed, waiting, dropped or {}, n_depth))


def facts_of_run(
    parsed: Sequence[Setting], deployment: DeploymentSpec | None, n_depth: int, **changes: Any
) -> RunFacts:
    job = Job(
        "local-test/SmolLM2",
        parsed,
        chunk_length=n_depth + 1,
        max_chunks=12,
        deployment=deployment,
    )
    geometry = KVGeometry(LAYERS, 30)
    return make_facts(
        "8",
        **{
            "job": job,
            "chunk_length": n_depth + 1,
            "kv_bytes_per_token": {s.key: s.bytes_per_token(geometry) for s in parsed},
            "weights": WeightFacts(
                name="SmolLM2",
                model_id="local-test/SmolLM2",
                model_revision="0" * 40,
                precision="16 bit (bfloat16)",
                bits_per_weight=16.0,
                weight_bytes=2 * PARAMETERS,
                notes=("The reference is stored in 16 bit (bfloat16).",),
            ),
            "shape": ShapeFacts(576, 1536, 9, 49152, 30, LAYERS),
        }
        | changes,
    )


def rows_of(
    parsed: Sequence[Setting], waiting: Sequence[str], dropped: Mapping[str, str], n_depth: int
) -> list[ScoredSetting]:
    rows = []
    for i, setting in enumerate(parsed):
        source, cache = weights_of(setting), cache_of(setting)
        drift = DRIFT.get("" if source is None else source.key, 0.05)
        drift += DRIFT.get("" if cache is None else cache.key, 0.01)
        positions = random_positions(
            n_chunks=8 if setting.key in dropped else 12,
            n_depth=n_depth,
            scale=drift / 1.4,
            flip_rate=min(0.4, 3 * drift),
            seed=i,
        )
        own = SettingFacts(
            arithmetic="quantize, dequantize, attention" if cache else "KV cache at full precision",
            kv_method=setting.kv_method.name,
            kv_layers_quantized=30 if cache else 0,
            kv_layers_total=30,
            runnable_by_mlx_lm=not (isinstance(source, StoredWeights) and source.is_gguf),
            weights=None if source is None else facts_of(source),
            dropped=dropped.get(setting.key, ""),
            seconds=1.0,
            peak_memory_bytes=1 << 28,
        )
        scored = None if setting.key in waiting else positions
        rows.append(ScoredSetting(setting, own, scored, None))
    return rows


def save_weights_run(settings: str = "8,w8,w8+8", n_depth: int = 20) -> Run:
    """A finished run that compares weights, as the scorer saves it."""
    parsed = parse_settings(settings)
    facts = facts_of_run(parsed, None, n_depth)
    rows = rows_of(parsed, (), {}, n_depth)
    own = {row.setting.key: row.facts for row in rows}
    run = new_run(facts.job, stored_facts(facts, settings=own))
    with run.open_writer() as writer:
        for row in rows:
            assert isinstance(row.positions, Positions)
            for chunk in np.unique(row.positions.chunk):
                part = row.positions.select(row.positions.chunk == chunk)
                writer.append(CellKey(row.setting.key, int(chunk)), part, ChunkFacts(seconds=0.5))
    run.save_report(finished_report(run).to_json(), "# report\n")
    return run
