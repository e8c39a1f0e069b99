"""A run saved by an earlier version: listed, reported by present rules, resumed where made.

``golden_figures.py --saved-run`` made it; it is kept as that version wrote it. What this version
reports of it is in ``saved_run/now``, which ``golden_figures.py --saved-report`` writes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from golden_compare import Columns, read_positions, settled
from golden_figures import (
    AGAIN,
    AGAIN_MD,
    MACHINE,
    PRINTED,
    SAVED_NAME,
    SAVED_RUN,
    other_machine,
    saved_place,
)
from golden_trees import Place

from scorer.device.backend import start_backend

POSITIONS = "positions.arrow"
STORED = json.loads((SAVED_RUN / "report.json").read_text("utf-8"))
MADE_AGAIN = json.loads((SAVED_RUN / AGAIN).read_text("utf-8"))
MARKDOWN = (SAVED_RUN / AGAIN_MD).read_text("utf-8")


@pytest.fixture
def saved(tmp_path: Path) -> Place:
    return saved_place(tmp_path / "data")


# What a run says once a later version has gone on with it: what that version did not record.
UNKNOWN = "it is not known whether these were the same before and after"


def alike(stored: Any, made: Any) -> bool:
    """Whether JSON values are equal, numbers up to how another C library rounds."""
    if isinstance(stored, dict):
        return isinstance(made, dict) and all(
            name in made and alike(value, made[name]) for name, value in stored.items()
        )
    if isinstance(stored, list):
        return isinstance(made, list) and len(stored) == len(made) and all(map(alike, stored, made))
    if isinstance(stored, float) and isinstance(made, float):
        return math.isclose(stored, made, rel_tol=1e-9, abs_tol=1e-12)
    return bool(stored == made)


def test_it_is_listed(saved: Place) -> None:
    (listed,) = json.loads(saved.qfid("runs", "--format", "json"))
    assert listed["id"] == SAVED_NAME and listed["state"] == "finished" and not listed["reason"]
    assert listed["model"] == "demo" and listed["settings"] == ["8", "k8v4"]
    assert (listed["chunks_done"], listed["chunks_planned"]) == (4, 4)


def alike_columns(before: Columns, after: Columns, *, exactly: bool) -> bool:
    """Whether what is kept of the positions of a chunk is equal: to the last bit, or rounded."""
    tolerance = 0.0 if exactly else 1e-4
    return before.keys() == after.keys() and all(
        np.allclose(before[name], after[name], rtol=tolerance, atol=tolerance) for name in before
    )


ESTIMATES = (
    *("n_chunks", "n_positions", "kl", "kl_quantiles", "kl_by_depth", "by_confidence", "verdict"),
    *("flip_rate", "perplexity_ref", "perplexity_quant", "nll_correlation", "delta_p"),
)


def test_its_report_has_its_estimates_and_says_which_rules_changed_a_verdict(saved: Place) -> None:
    report = json.loads(saved.report("json"))
    for before, now in zip(STORED["settings"], report["settings"], strict=True):
        assert all(alike(before[key], now[key]) for key in ESTIMATES)
    assert [row["verdict_shown"] for row in STORED["settings"]] == ["marginal?", "marginal"]
    assert [row["verdict_shown"] for row in report["settings"]] == ["marginal?", "marginal?"]
    said = report["run"]["warnings"][0]
    assert said.startswith("`k8v4` was reported as marginal and is marginal? by the present rules")
    assert settled(saved.report("md")) == settled((SAVED_RUN / PRINTED).read_text("utf-8"))
    assert json.loads((saved.run / "report.json").read_text("utf-8")) == STORED
    assert (saved.run / POSITIONS).read_bytes() == (SAVED_RUN / POSITIONS).read_bytes()


def test_its_report_is_made_again_from_its_positions(saved: Place) -> None:
    (saved.run / "report.json").unlink()
    (saved.run / "report.md").unlink()
    assert alike(MADE_AGAIN, json.loads(saved.report("json")))
    assert settled(saved.report("md")) == settled(MARKDOWN)
    assert (saved.run / POSITIONS).read_bytes() == (SAVED_RUN / POSITIONS).read_bytes()


def cut(path: Path) -> None:
    """Tear the last chunk of a file off half-way."""
    data = path.read_bytes()
    stream = pa.BufferReader(data)
    with pa.ipc.open_stream(stream) as reader:
        ends = [stream.tell()]
        for _ in reader:
            ends.append(stream.tell())
    assert ends[-1] == len(data) and len(ends) == 1 + 4
    path.write_bytes(data[: (ends[-2] + ends[-1]) // 2])


def test_what_is_missing_is_scored_where_it_was_made(saved: Place) -> None:
    if reason := other_machine(json.loads((SAVED_RUN / MACHINE).read_text("utf-8"))):
        pytest.skip(reason)
    before = read_positions(SAVED_RUN / POSITIONS)
    cut(saved.run / POSITIONS)
    # It was made with MKL for what MLX multiplies, which is nothing of the demo.
    same_blas = start_backend().blas == "MKL"
    report = saved.resume(*[] if same_blas else ["--accept-changes"])
    after = read_positions(saved.run / POSITIONS)
    # The stored report is there still, so that the new one says what it said otherwise.
    changed, *warnings = report["run"]["warnings"]
    assert "by the present rules" in changed
    mixed = [text for text in warnings if "(--accept-changes): BLAS" in text]
    assert len(mixed) == (not same_blas)
    warnings = [text for text in warnings if text not in mixed]
    (unknown,) = [text for text in warnings if UNKNOWN in text]
    for field in ("model content", "tokenizer versions", "BLAS version", "NumPy BLAS"):
        assert field in unknown
    assert [text for text in warnings if text != unknown] == MADE_AGAIN["run"]["warnings"]
    assert unknown in saved.report("md")
    # Products have another height than in the version that saved it: the last bits differ.
    (torn,) = [key for key in before if not alike_columns(before[key], after[key], exactly=True)]
    assert torn == list(before)[-1] and before.keys() == after.keys()
    assert alike_columns(before[torn], after[torn], exactly=False)
