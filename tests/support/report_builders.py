"""Small runs made by hand or by a seeded generator, for the tests of summaries and reports."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from scorer.report.build import build_report
from scorer.report.measured import ScoredSetting
from scorer.report.tree import Report
from scorer.runs.engagement import SideEngagement
from scorer.runs.facts import (
    ArithmeticFacts,
    DeviceFacts,
    RunFacts,
    SettingFacts,
    StoredFacts,
)
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.stats.positions import Positions
from scorer.text.provenance import CorpusFacts


def make_positions(
    *,
    chunk: Any,
    position: Any,
    kl: Any,
    nll_ref: Any = None,
    nll_quant: Any = None,
    flips: Any = None,
    top_p: Any = None,
) -> Positions:
    n = len(kl)
    ones = np.ones(n)
    flipped = np.zeros(n, bool) if flips is None else np.asarray(flips, bool)
    top = np.log(ones * 0.6 if top_p is None else np.asarray(top_p, float))
    return Positions(
        chunk=np.asarray(chunk, np.int32),
        position=np.asarray(position, np.int32),
        token=np.arange(n, dtype=np.int32),
        kl=np.asarray(kl, np.float64),
        nll_ref=np.asarray(ones if nll_ref is None else nll_ref, np.float64),
        nll_quant=np.asarray(ones * 1.1 if nll_quant is None else nll_quant, np.float64),
        top_ref=np.full(n, 5, np.int32),
        top_ref_logprob=top,
        top_quant=np.where(flipped, 6, 5).astype(np.int32),
        top_quant_logprob=top,
    )


def random_positions(
    *,
    n_chunks: int = 12,
    n_depth: int = 15,
    first: int = 0,
    scale: float = 0.005,
    flip_rate: float = 0.004,
    seed: int = 0,
    chunks: list[int] | None = None,
) -> Positions:
    random = np.random.RandomState(seed)
    ids = list(range(n_chunks)) if chunks is None else chunks
    n = len(ids) * n_depth
    effect = np.repeat(random.lognormal(0, 0.3, len(ids)), n_depth)
    kl = scale * effect * random.lognormal(0, 0.8, n)
    nll_ref = random.gamma(2, 1.2, n)
    return make_positions(
        chunk=np.repeat(ids, n_depth),
        position=np.tile(np.arange(first, first + n_depth), len(ids)),
        kl=kl,
        nll_ref=nll_ref,
        nll_quant=np.maximum(nll_ref + kl * random.normal(1, 1, n), 0.0),
        flips=random.uniform(size=n) < flip_rate,
        top_p=random.uniform(0.05, 1.0, n),
    )


BYTES = {"8": 12240.0, "6": 9360.0, "4:32": 7200.0, "4": 6480.0, "2": 3600.0}


def bytes_per_token(setting: KVSetting) -> float:
    return setting.bytes_per_token(KVGeometry((KVLayer(3, 64, 64),) * 30, 30))


def make_facts(
    settings: str | list[str] = "8",
    *,
    n_chunks: int = 12,
    chunk_length: int = 16,
    documents: dict[int, int | None] | None = None,
    **changes: Any,
) -> RunFacts:
    names = settings.split(",") if isinstance(settings, str) else settings
    parsed = tuple(KVSetting.parse(name) for name in names)
    values: dict[str, Any] = {
        "job": Job("local-test/SmolLM2", parsed, chunk_length=chunk_length, max_chunks=n_chunks),
        "model_id": "local-test/SmolLM2",
        "model_revision": "0123456789abcdef0123456789abcdef01234567",
        "model_files": {"model.safetensors": "ab" * 32, "config.json": 812},
        "architecture": "llama",
        "weight_bits": 16,
        "corpus": CorpusFacts(
            name="wikitext-2-raw",
            split="test",
            tokenizer_id="local-test/SmolLM2",
            chunk_length=chunk_length,
            stride=chunk_length,
            n_tokens=304_640,
            dataset_revision="b08601e04326c79dfdd32d625aee71d232d685c3",
            sha256="cd" * 32,
            unigram_perplexity=900.0,
            n_documents=60,
            total_chunks=595,
        ),
        "documents": documents or dict.fromkeys(range(n_chunks)),
        "chunks": tuple(range(n_chunks)),
        "chunk_length": chunk_length,
        "scored_from": 0,
        "device": DeviceFacts("cpu", "Test CPU", 16 << 30),
        "arithmetic": ArithmeticFacts(
            "float32", "MKL", "cpu, float32, weights dequantized, BLAS: MKL"
        ),
        "versions": {
            "qfid": "0.1.0",
            "mlx": "0.32.4",
            "mlx-lm": "0.32.2",
            "numpy": "2.4.6",
            "python": "3.11.7",
        },
        "batch": 1,
        "kv_bytes_per_token": {str(s): bytes_per_token(s) for s in parsed},
        "kv_bytes_per_token_16bit": 23040.0,
        "kv_layers": 30,
        "max_context": 8192,
    }
    return RunFacts(**{**values, **changes})


def scored(
    name: str,
    positions: Positions | None,
    control: Positions | None = None,
    **changes: Any,
) -> ScoredSetting:
    setting = KVSetting.parse(name)
    same_widths = setting.k_bits == setting.v_bits
    values: dict[str, Any] = {
        "arithmetic": "quantize, dequantize, attention",
        "kv_method": setting.kv_method.name,
        "kv_layers_quantized": 30,
        "kv_layers_total": 30,
        "engagement": (
            SideEngagement(
                layer="0",
                side="k",
                cache_class="CodesKVCache",
                bits=setting.k_bits,
                group_size=setting.group_size,
                tokens=15,
                stored_bytes=3060,
            ),
        ),
        "runnable_by_mlx_lm": same_widths,
        "seconds": 12.5,
        "peak_memory_bytes": 2 << 30,
    }
    return ScoredSetting(setting, SettingFacts(**{**values, **changes}), positions, control)


def built(facts: RunFacts, settings: list[ScoredSetting]) -> dict[str, Any]:
    """The report as JSON values."""
    return build_report(facts, settings).to_json()


def again(report: dict[str, Any]) -> Report:
    """The report that JSON values hold, after the trip through text that they make."""
    return Report.from_json(json.loads(json.dumps(report, allow_nan=False)))


def identity_of(facts: RunFacts) -> dict[str, Any]:
    """The identity of a run of these facts; the text is named after what was asked for."""
    return {
        "model": "demo",
        "model revision": "none",
        "model files": "ab" * 32,
        "model content": "cd" * 32,
        "corpus": facts.job.corpus.source,
        "tokenizer": "ef" * 32,
        "tokenizer versions": "tokenizers 0.23.3",
        "protocol": facts.job.protocol,
        "chunk length": facts.chunk_length,
        "chunks": ",".join(map(str, facts.chunks)),
        "batch": facts.batch,
        "kernel": facts.job.kernel,
        "device": f"{facts.device.kind} {facts.device.name}",
        "compute dtype": facts.arithmetic.compute_dtype,
        "BLAS": facts.arithmetic.blas,
        "arithmetic": "numpy",
        "mlx version": facts.versions["mlx"],
        "mlx-lm version": facts.versions["mlx-lm"],
        "BLAS version": "MKL 2026.2",
        "NumPy BLAS": "OpenBLAS 0.3.31",
    }


def stored_facts(
    facts: RunFacts,
    identity: dict[str, Any] | None = None,
    settings: dict[str, SettingFacts] | None = None,
) -> StoredFacts:
    """What a run of these facts stores; facts of its settings are made up."""
    names = [str(setting) for setting in facts.job.settings]
    return StoredFacts(
        identity=identity or identity_of(facts),
        chunks=facts.chunks,
        run=facts,
        settings=settings or {name: scored(name, None).facts for name in names},
    )


def by_turns() -> tuple[RunFacts, Positions]:
    """Twelve chunks of 400 positions, 2 of them flips, KL means 0.004 and 0.014 by turns."""
    n_chunks, size = 12, 400
    apart = np.tile([1.0, -1.0], size // 2)
    kl = [(0.004, 0.014)[i % 2] * (1 + (0.5 + 0.03 * i) * apart) for i in range(n_chunks)]
    positions = make_positions(
        chunk=np.repeat(range(n_chunks), size),
        position=np.tile(range(size), n_chunks),
        kl=np.concatenate(kl),
        nll_quant=np.ones(n_chunks * size),
        flips=np.tile(np.arange(size) < 2, n_chunks),
    )
    return make_facts("8", chunk_length=size + 1, n_chunks=n_chunks), positions
