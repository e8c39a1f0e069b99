"""Saved runs of the built-in model on texts of a test's own, for the token inspector."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report_builders import make_facts, stored_facts

from scorer.common.folders import cache_folder, runs_folder
from scorer.demo import demo_model_path
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.facts import SettingFacts
from scorer.runs.grid import CellKey
from scorer.runs.listing import Run, new_run
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings
from scorer.stats.positions import Positions
from scorer.text.tokens.cache import TokenizedText, save_tokens
from scorer.text.tokens.tokenizer_file import load_tokenizer_file

PROSE = (
    "The river rose in the night, and by morning the lower fields were under water.\n\n"
    "Nobody in the village could remember a flood in June. They carried the sheep to the chapel "
    "and waited; the bells rang every hour, so that those on the far bank would know.\n"
)
HALVES = "A naïve café in 東京 sold 🎉 cakes;\n\tcafe\u0301 is not café. Привет\x1b[2J!\n"
SCALES = {"8": 0.0005, "4": 0.08, "2": 1.5}


def demo_ids(text: str) -> NDArray[np.int32]:
    return load_tokenizer_file(demo_model_path()).encode(text, special_tokens=False)


def positions_of(
    chunk: int, ids: NDArray[np.int32], scale: float = 0.1, *, first: int = 0, **columns: Any
) -> Positions:
    """Drift from a seeded generator over the tokens of one chunk; ``columns`` replace its own."""
    random = np.random.RandomState(chunk * 31 + int(1e4 * scale))
    n = len(ids) - 1
    kl = scale * random.lognormal(0, 1.5, n)
    top = np.roll(ids[1:], 3)
    values: dict[str, Any] = {
        "chunk": np.full(n, chunk, np.int32),
        "position": np.arange(n, dtype=np.int32),
        "token": ids[1:],
        "kl": kl,
        "nll_ref": random.gamma(2, 1.2, n),
        "nll_quant": random.gamma(2, 1.5, n),
        "top_ref": top,
        "top_ref_logprob": np.log(random.uniform(0.05, 1.0, n)),
        "top_quant": np.where(kl > 2 * scale, np.roll(ids[1:], 4), top).astype(np.int32),
        "top_quant_logprob": np.log(random.uniform(0.05, 1.0, n)),
    }
    return Positions(**{**values, **columns}).select(slice(first, None))


def token_run(
    text: str = PROSE,
    settings: str = "8,4,2",
    *,
    model: str = "demo",
    length: int = 32,
    chunks: Sequence[int] = (0, 1, 2),
    name: str | None = None,
    kept: bool = True,
    scored: Mapping[str, Sequence[int]] | None = None,
    first: int = 0,
    corpus: Mapping[str, Any] | None = None,
    identity: Mapping[str, Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    same_as: Mapping[str, str] | None = None,
    **job: Any,
) -> Run:
    """Write a run as the scorer does.

    Args:
        text: Repeated until it fills the chunks.
        settings: The job's settings.
        model: What the job names; the tokens are the built-in model's.
        length: Tokens of a chunk.
        chunks: Indices of the chunks that were planned.
        name: The run's id; None for one of its own.
        kept: Keep the tokenized text beside the runs, as the scorer does.
        scored: Setting to its scored chunks; all of them where it is not named.
        first: First scored position of a chunk; a setting's start may raise it.
        corpus: Changes to the facts of the text.
        identity: Changes to the run's identity.
        columns: Changes to the positions of every chunk.
        same_as: Setting to the one of the same arithmetic, which holds its positions.
        job: Changes to the job.
    """
    tokenizer = load_tokenizer_file(demo_model_path())
    ids = demo_ids(text)
    ids = np.tile(ids, 1 + (max(chunks) + 1) * length // len(ids))
    if kept:
        save_tokens(
            cache_folder() / "tokens" / "tokens-0.npz", TokenizedText(ids, np.zeros(0, np.int64))
        )
    parsed = parse_settings(settings)
    values = {"chunk_length": length, "max_chunks": len(chunks), **job}
    made = Job(model, parsed, **values)
    facts = make_facts(settings, n_chunks=len(chunks), chunk_length=length)
    facts = dataclasses.replace(
        facts,
        job=made,
        model_id=model,
        model_revision=None,
        chunks=tuple(chunks),
        documents=dict.fromkeys(chunks),
        corpus=dataclasses.replace(facts.corpus, **(corpus or {})),
    )
    same = same_as or {}
    conditions = {"model": model, "tokenizer": tokenizer.sha256, **(identity or {})}
    own = {str(setting): SettingFacts(same_as=same.get(str(setting))) for setting in parsed}
    run = new_run(made, stored_facts(facts, conditions, own))
    with run.open_writer() as writer:
        for setting in parsed:
            if str(setting) in same:
                continue
            begin = max(first, setting.start)
            for chunk in (scored or {}).get(str(setting), chunks):
                own = ids[chunk * length : (chunk + 1) * length]
                scale = SCALES.get(str(setting), 0.1)
                writer.append(
                    CellKey(str(setting), chunk),
                    positions_of(chunk, own, scale, first=begin, **(columns or {})),
                    ChunkFacts(),
                )
    if name is None:
        return run
    run.path.rename(runs_folder() / name)
    return Run(runs_folder() / name)
