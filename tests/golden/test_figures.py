"""The demo gives the figures kept in git, to the last bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden_figures import FIGURES, WORDS, other_machine, place, score
from golden_trees import ROOT


def test_the_demo_gives_the_kept_figures(tmp_path: Path) -> None:
    kept = json.loads(FIGURES.read_text("utf-8"))
    assert kept.pop("words") == list(WORDS)
    if reason := other_machine(kept.pop("machine")):
        pytest.skip(reason)
    where = place(ROOT, tmp_path / "data")
    where.check()
    assert score(where) == kept
