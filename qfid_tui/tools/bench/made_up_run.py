"""A synthetic long run: its events as a recording, and its tokens as a saved run."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qfid_tui.process.recording import write_recording
from qfid_tui.state.choices import Choices
from scorer.spec.events import ChunkScored, Failed, Hello, Planned, Progress
from scorer.stats.depth import DEPTH_SPANS

SETTINGS = ("8", "6", "5", "4", "3", "2", "k8v4", "k16v4")


def choices(chunks: int) -> Choices:
    """Return choices of the demo model with eight settings."""
    added = ("k8v4", "k16v4")
    return Choices(
        model="demo",
        ticked=(8, 6, 5, 4, 3, 2),
        added=added,
        ticked_added=added,
        max_chunks=chunks,
    )


def record(path: Path, chunks: int, *, every: float = 0.0, progress: bool = False) -> None:
    """Write a recording of a run.

    Args:
        path: The file.
        chunks: Number of chunks; every setting is scored on each.
        every: Seconds between two events.
        progress: Include an event for every forward pass, as the scorer emits.
    """
    events = enumerate(_events(chunks, progress))
    write_recording(path, {}, ((every * i, event) for i, event in events))


def _events(chunks: int, progress: bool) -> Iterator[dict[str, Any]]:
    names = list(SETTINGS)
    yield Hello("cpu", "made up", 16 << 30, 8 << 30, "none", {}).to_json()
    yield Planned(
        run="made-up",
        run_path="",
        model="demo",
        settings=names,
        chunks=list(range(chunks)),
        done=dict.fromkeys(names, 0),
        positions_per_chunk=dict.fromkeys(names, 511),
        kv_bytes_per_token={name: 400.0 + 160 * i for i, name in enumerate(reversed(names))},
        kv_bytes_per_token_16bit=2560.0,
        batch=1,
        arithmetic="made up",
    ).to_json()
    rng = random.Random(0)
    for chunk in range(chunks):
        for i, name in enumerate(names):
            if progress:
                yield Progress(chunk, name, i + 1, len(names), 1 << 30).to_json()
            kl = 10 ** (-4 + 0.5 * i) * math.exp(rng.gauss(0, 0.3))
            flips = min(511, round(511 * kl))
            yield ChunkScored(
                name,
                chunk,
                511,
                kl,
                9 * kl,
                5 * kl,
                flips,
                1500.0,
                1500.0 + 511 * kl,
                0.01,
                [64 * kl * (1 + 0.1 * span) for span in range(DEPTH_SPANS)],
                kl_squares=1022 * kl * kl,
                kl_p99_so_far=5 * 10 ** (-4 + 0.5 * i),
                positions_so_far=511 * (chunk + 1),
            ).to_json()
    # There are no positions that a report could be made of: it ends as a run that was stopped.
    yield Failed("Interrupted", "made up", exit_code=130, run="made-up").to_json()


def save_tokens_run(chunks: int, length: int) -> str:
    """Save a run of the demo model with synthetic results; return its id.

    Args:
        chunks: Number of chunks.
        length: Tokens per chunk.
    """
    import numpy as np

    from scorer.demo import demo_model_path
    from scorer.runs.chunk_facts import ChunkFacts
    from scorer.runs.facts import SettingFacts, StoredFacts
    from scorer.runs.grid import CellKey
    from scorer.runs.listing import new_run
    from scorer.spec.job import Job
    from scorer.spec.settings.registry import parse_settings
    from scorer.stats.positions import Positions
    from scorer.text.tokens.tokenizer_file import load_tokenizer_file

    tokenizer = load_tokenizer_file(demo_model_path())
    text = "The river rose in the night, and by morning 東京 was under water.\n\n" * 8
    ids = np.resize(tokenizer.encode(text, special_tokens=False), chunks * length).astype(np.int32)
    job = Job("demo", parse_settings("4"), chunk_length=length, max_chunks=chunks)
    facts = StoredFacts(
        identity={"model": "demo", "tokenizer": tokenizer.sha256},
        chunks=tuple(range(chunks)),
        settings={"4": SettingFacts()},
    )
    run = new_run(job, facts)
    rng = np.random.default_rng(0)
    n = length - 1
    with run.open_writer() as writer:
        for chunk in range(chunks):
            own = ids[chunk * length + 1 : (chunk + 1) * length]
            quantized = np.where(rng.random(n) < 0.2, np.roll(own, 1), own).astype(np.int32)
            positions = Positions(
                chunk=np.full(n, chunk, np.int32),
                position=np.arange(n, dtype=np.int32),
                token=own,
                kl=np.exp(rng.normal(-3, 2, n)),
                nll_ref=rng.exponential(3, n),
                nll_quant=rng.exponential(3, n),
                top_ref=own,
                top_ref_logprob=-rng.exponential(1, n),
                top_quant=quantized,
                top_quant_logprob=-rng.exponential(1, n),
            )
            writer.append(CellKey("4", chunk), positions, ChunkFacts())
    return run.id
