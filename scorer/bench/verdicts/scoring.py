"""Scores a trained model under every setting: the report of a run, and the answers to all items.

The report is that of the product, of a child process. Answers come from the same lanes over the
same engine: an item is answered rightly where the likeliest token at every place of the answer is
the answer's, which is when greedy decoding writes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.bench.readme.measuring import measured_report
from scorer.bench.verdicts.windows import WINDOW, Asked, HeldOut
from scorer.common.atomic_files import write_atomic
from scorer.common.folders import cache_folder
from scorer.common.json_values import json_values
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings

SETTINGS = (
    "8,6,5,4,3,2,4:32,3:32,2:32,k8v4,k4v8,k8v2,"
    "w8,w6,w5,w4,w3,w2,w4:32,w3:32,"
    "w8+4,w4+8,w4+4,w3+8,w3+3"
)
"""What is scored where nobody says: caches, weights, and both."""
REFERENCE = "reference"
"""The name that the answers of the full-precision model are kept under."""

Right = NDArray[np.bool_]


def score_model(model: Path, held_out: HeldOut, settings: str, out: Path, batch: int) -> None:
    """Score a model under all settings, unless that is done.

    Args:
        model: Folder of the model.
        held_out: The texts.
        settings: The settings in notation.
        out: Folder of the results, which are ``report.json`` and ``answers.npz``.
        batch: Windows of a pass where answers are read.

    Raises:
        QfidError: The model cannot be scored.
    """
    out.mkdir(parents=True, exist_ok=True)
    asked = parse_settings(settings)
    report = out / "report.json"
    if not _holds(report, settings):
        job = Job(
            model=str(model.resolve()),
            settings=asked,
            corpus=CorpusSpec(str(held_out.drift.resolve())),
            chunk_length=WINDOW,
        )
        found = measured_report(job, {"MLX_ENABLE_TF32": "0"})
        write_atomic(report, json.dumps({"asked": settings, "report": json_values(found)}))
    answers = out / "answers.npz"
    if not _holds(out / "asked.json", settings):
        job = Job(
            model=str(model.resolve()),
            settings=asked,
            corpus=CorpusSpec(str(held_out.asked.resolve())),
            chunk_length=WINDOW,
            batch=batch,
        )
        part = out / ".answers.npz"
        right = answers_of(job, held_out.items)
        np.savez_compressed(part, **right)
        part.replace(answers)
        write_atomic(out / "asked.json", json.dumps({"asked": settings}))


def _holds(path: Path, settings: str) -> bool:
    if not path.exists():
        return False
    stored: dict[str, Any] = json.loads(path.read_text())
    return bool(stored["asked"] == settings)


def answers_of(job: Job, items: Sequence[Asked]) -> dict[str, Any]:
    """Which items the model answers rightly, (items,) bool by setting, and for the reference.

    A setting that gives no usable number is left out.

    Args:
        job: The model, the settings, and the text of the items.
        items: The items, by window.

    Raises:
        QfidError: The model cannot be scored.
    """
    from scorer.device.backend import running_backend
    from scorer.engine.outcomes import LaneFailed, Scored
    from scorer.lm.mlx_lm_import import import_mlx_lm

    hits: dict[str, Right] = {}
    failed: set[str] = set()
    windows = 1 + max(item.window for item in items)
    with running_backend() as backend:
        import_mlx_lm(light=True)
        for outcome in _outcomes(job, backend):
            if isinstance(outcome, LaneFailed):
                print(f"{outcome.lane.key} failed: {outcome.error.message}", flush=True)
                failed.add(outcome.lane.key)
            if not isinstance(outcome, Scored):
                continue
            for chunk in outcome.chunks:
                window = int(chunk.chunk[0])
                for key, top in ((REFERENCE, chunk.top_ref), (outcome.lane.key, chunk.top_quant)):
                    if key not in hits:
                        hits[key] = np.zeros((windows, WINDOW), np.bool_)
                    # Position t predicts token t + 1.
                    hits[key][window, 1:] = top == chunk.token
    return {key: right_items(each, items) for key, each in hits.items() if key not in failed}


def right_items(hits: Right, items: Sequence[Asked]) -> Right:
    """Which items are right, (items,) bool: those whose every token is.

    Args:
        hits: (windows, 512) bool, whether a token is the likeliest one at its place.
        items: The items.
    """
    # Whether an answer holds a miss: the misses before its end, less those before it begins.
    misses = np.concatenate(([0], np.cumsum(~hits.ravel())))
    first = np.array([item.window * WINDOW + item.first for item in items])
    end = np.array([item.window * WINDOW + item.end for item in items])
    right: Right = misses[end] == misses[first]
    return right


def _outcomes(job: Job, backend: Any) -> Any:
    """Every outcome of scoring all windows under all settings."""
    from scorer.engine.batch_scorers import Scoring, batch_scorer
    from scorer.engine.outcomes import ScoreTask
    from scorer.engine.preparation import Preparation
    from scorer.engine.tiles import Batch
    from scorer.metrics.reduce import Metrics

    preparation = Preparation(job, backend, cache_folder() / "tokens")
    try:
        for _ in preparation.steps():
            pass
        prepared = preparation.result
        assert prepared is not None
        try:
            lanes = {lane.key: lane for lane in prepared.lanes()}
            ids = prepared.corpus.ids
            tasks = [
                ScoreTask(Batch(tuple(range(at, at + len(part))), part, 0), list(lanes.values()))
                for at in range(0, len(ids), prepared.size.batch)
                if len(part := ids[at : at + prepared.size.batch])
            ]
            metrics = Metrics.for_device(backend.kind)
            scoring = Scoring(prepared, None, lanes, metrics, backend.kind, prepared.size, 0)
            yield from batch_scorer(scoring, _never, batches=len(tasks)).score(iter(tasks))
        finally:
            prepared.release()
    finally:
        preparation.close()


def _never() -> bool:
    return False
