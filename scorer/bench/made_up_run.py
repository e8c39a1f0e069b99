"""A saved run of made-up positions, as large as asked: what a report of a long run is measured on.

No model is run. The numbers follow a seeded generator and look like those of a real run: a KL with
a long tail, some flips, and an effect that the positions of a chunk share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scorer.common.atomic_files import write_atomic
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.facts import (
    ArithmeticFacts,
    DeviceFacts,
    RunFacts,
    SettingFacts,
    StoredFacts,
)
from scorer.runs.grid import CellKey
from scorer.runs.positions_format import StoredChunk
from scorer.runs.run import Run
from scorer.runs.run_files import job_json
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.job import Job
from scorer.stats.positions import Positions
from scorer.text.provenance import CorpusFacts

_CREATED = "2026-01-01T00:00:00+00:00"
_CHUNKS_PER_DOCUMENT = 10
_GEOMETRY = KVGeometry((KVLayer(3, 64, 64),) * 30, 30)
_VOCABULARY = 49_152
# Cells appended with one wait for the disk.
_BATCH = 64
_FACTS = ChunkFacts(seconds=0.5, peak_memory_bytes=1 << 30)


def save_made_up_run(folder: Path, job: Job, chunks: int) -> Run:
    """Save a run whose settings are scored on every chunk.

    Args:
        folder: The run's folder, which exists.
        job: What the run says was asked; its model is not looked at.
        chunks: Number of chunks.
    """
    identity = {"model": job.model, "corpus": "made up", "chunks": f"the first {chunks}"}
    facts = StoredFacts(
        identity=identity,
        chunks=tuple(range(chunks)),
        run=_run_facts(job, chunks),
        settings={setting.key: SettingFacts() for setting in job.settings},
    )
    write_atomic(folder / "job.json", job_json(job, facts, _CREATED))
    run = Run(folder)
    with run.open_writer() as writer:
        for start in range(0, chunks, _BATCH):
            batch = range(start, min(start + _BATCH, chunks))
            for number, setting in enumerate(job.settings):
                cells = _cells(setting.key, number, batch, job.chunk_length)
                writer.append_all(list(cells))
    return run


def _cells(setting: str, number: int, chunks: Sequence[int], length: int) -> Iterator[StoredChunk]:
    """The cells of a setting on some chunks; a larger ``number`` drifts more."""
    n = length - 1
    shape = (len(chunks), n)
    # The reference is the same for every setting.
    text, random = (np.random.default_rng((chunks[0], seed)) for seed in (0, number + 1))
    token, top = text.integers(0, _VOCABULARY, (2, *shape), dtype=np.int32)
    nll_ref = text.gamma(2.0, 1.2, shape)
    top_logprob = np.log(text.uniform(0.05, 1.0, shape))
    scale = 10.0 ** (number / 2 - 3.5) * text.lognormal(0.0, 0.3, (len(chunks), 1))
    kl = scale * random.lognormal(0.0, 1.5, shape)
    nll_quant = np.maximum(nll_ref + kl * random.normal(1.0, 1.0, shape), 0.0)
    flipped = random.uniform(size=shape) < np.sqrt(kl) / 4
    top_quant = np.where(flipped, (top + 1) % _VOCABULARY, top).astype(np.int32)
    place = np.arange(n, dtype=np.int32)
    for row, chunk in enumerate(chunks):
        yield StoredChunk(
            CellKey(setting, chunk),
            Positions(
                chunk=np.full(n, chunk, np.int32),
                position=place,
                token=token[row],
                kl=kl[row],
                nll_ref=nll_ref[row],
                nll_quant=nll_quant[row],
                top_ref=top[row],
                top_ref_logprob=top_logprob[row],
                top_quant=top_quant[row],
                top_quant_logprob=top_logprob[row],
            ),
            _FACTS,
        )


def _run_facts(job: Job, chunks: int) -> RunFacts:
    settings = job.settings
    return RunFacts(
        job=job,
        model_id=job.model,
        model_revision=None,
        model_files={},
        architecture="made up",
        weight_bits=16,
        corpus=CorpusFacts(
            name="made up",
            split="none",
            tokenizer_id="made up",
            chunk_length=job.chunk_length,
            stride=job.chunk_length,
            n_tokens=chunks * job.chunk_length,
            total_chunks=chunks,
        ),
        documents={chunk: chunk // _CHUNKS_PER_DOCUMENT for chunk in range(chunks)},
        chunks=tuple(range(chunks)),
        chunk_length=job.chunk_length,
        scored_from=0,
        device=DeviceFacts("cpu", "made up"),
        arithmetic=ArithmeticFacts("float32", "none", "made up"),
        versions={},
        batch=1,
        kv_bytes_per_token={
            setting.key: setting.bytes_per_token(_GEOMETRY, job.chunk_length)
            for setting in settings
        },
        kv_bytes_per_token_16bit=_GEOMETRY.bytes_per_token_16bit(job.chunk_length),
        kv_layers=len(_GEOMETRY.layers),
        equal_chunks={},
    )
