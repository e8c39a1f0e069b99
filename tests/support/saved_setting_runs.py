"""A saved run with drift from a seeded generator and tokens of the built-in model, for screens."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from report_builders import make_facts, stored_facts

from scorer.demo import demo_model_path
from scorer.report.from_run import finished_report
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.facts import SettingFacts
from scorer.runs.grid import CellKey
from scorer.runs.listing import Run, new_run
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings
from scorer.stats.positions import Positions
from scorer.text.tokens.tokenizer_file import load_tokenizer_file

CHUNKS = (3, 9, 15, 21, 27, 33)
LENGTH = 128
DRIFT = {"8": 0.0004, "6": 0.006, "4": 0.13, "2": 3.0}
TEXT = (
    "The river rose in the night, and by morning the lower fields were under water.\n"
    "Nobody in the village could remember a flood in June. They carried the sheep to the chapel "
    "and waited; the bells rang every hour, so that those on the far bank would know.\n"
)


def saved_run(
    settings: str = "8,6,4,2", *, report: bool = True, scored: Sequence[int] = CHUNKS
) -> Run:
    """Write a run as the scorer does.

    Args:
        settings: Its settings.
        report: Whether it is finished.
        scored: The chunks that are scored.
    """
    tokenizer = load_tokenizer_file(demo_model_path())
    job = Job("demo", parse_settings(settings), chunk_length=LENGTH, max_chunks=len(CHUNKS))
    facts = make_facts(settings, n_chunks=len(CHUNKS), chunk_length=LENGTH)
    facts = dataclasses.replace(
        facts,
        job=job,
        model_id="demo",
        model_revision=None,
        chunks=CHUNKS,
        documents={chunk: i for i, chunk in enumerate(CHUNKS)},
    )
    own = SettingFacts(kv_layers_quantized=30, kv_layers_total=30, runnable_by_mlx_lm=True)
    identity = {"model": "demo", "tokenizer": tokenizer.sha256}
    settings_facts = {str(setting): own for setting in job.settings}
    run = new_run(job, stored_facts(facts, identity, settings_facts))
    add_chunks(run, scored)
    if report:
        run.save_report(finished_report(run).to_json(), "# report\n")
    return run


def add_chunks(run: Run, chunks: Sequence[int]) -> None:
    """Score chunks under every setting of a run."""
    tokenizer = load_tokenizer_file(demo_model_path())
    ids = tokenizer.encode(TEXT * 4, special_tokens=False)[:LENGTH]
    with run.open_writer() as writer:
        for setting in run.job.settings:
            for chunk in chunks:
                key = CellKey(str(setting), chunk)
                positions = _positions(key.setting, chunk, ids)
                writer.append(key, positions, ChunkFacts(seconds=1.0))


def _positions(setting: str, chunk: int, ids: np.ndarray) -> Positions:
    random = np.random.RandomState(chunk * 31 + len(setting) + ord(setting[0]))
    n = len(ids) - 1
    scale = DRIFT[setting] * random.lognormal(0, 0.3)
    kl = scale * random.lognormal(0, 1.2, n)
    if chunk == CHUNKS[0]:
        kl[:3] = (0.0, -1e-9, 0.0)
    nll = random.gamma(2, 1.2, n)
    top = np.roll(ids[1:], 1)
    flipped = random.uniform(size=n) < min(0.6, 2 * scale)
    return Positions(
        chunk=np.full(n, chunk, np.int32),
        position=np.arange(n, dtype=np.int32),
        token=ids[1:].astype(np.int32),
        kl=kl,
        nll_ref=nll,
        nll_quant=np.maximum(nll + kl * random.normal(1, 1, n), 0.0),
        top_ref=top.astype(np.int32),
        top_ref_logprob=np.log(random.uniform(0.05, 1.0, n)),
        top_quant=np.where(flipped, np.roll(ids[1:], 2), top).astype(np.int32),
        top_quant_logprob=np.log(random.uniform(0.05, 1.0, n)),
    )
