"""Several texts and lengths in Python: a run each, one typed report, faults that cost nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_runs import Small

from scorer import measure_kv_fidelity, measure_over_texts
from scorer.common.errors import InputError
from scorer.common.warning_categories import RunWarning
from scorer.runs.listing import find_run

pytestmark = pytest.mark.filterwarnings("ignore::scorer.common.warning_categories.QfidWarning")


def measure(small: Small, **options: Any) -> Any:
    values = {"model": str(small.model), "settings": "8,4", "max_chunks": 2}
    return measure_over_texts(**{**values, **options})


def test_each_text_and_length_is_a_saved_run(small: Small, tmp_path: Path) -> None:
    other = tmp_path / "other,text.md"
    other.write_text(small.text.read_text("utf-8")[::-1], "utf-8")
    found = measure(small, corpora=[small.text, other], chunk_lengths=[16, 32])
    assert [(row.chunk_length, row.setting) for row in found.rows[:4]] == [
        (16, "8"), (16, "4"), (32, "8"), (32, "4")
    ]  # fmt: skip
    assert found.texts == (small.text.name, other.name) and not found.not_scored
    for run in found.runs:
        saved = find_run(run.run)
        assert saved.finished and saved.job.chunk_length == run.chunk_length


def test_what_cannot_be_scored_stands_in_the_report(small: Small, tmp_path: Path) -> None:
    with pytest.warns(RunWarning, match="not scored: .* at 16 tokens: there is no file"):
        found = measure(
            small, corpora=[tmp_path / "gone.md", small.text], chunk_lengths=[16, 10**8]
        )
    assert len(found.runs) == 1
    reasons = [each.message for each in found.not_scored]
    assert sum("there is no file" in reason for reason in reasons) == 2
    assert sum("fewer than the 100000000 of a chunk" in reason for reason in reasons) == 1


def test_nothing_that_can_be_scored_is_an_error(small: Small, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        measure(small, corpora=tmp_path / "gone.md")
    with pytest.raises(InputError, match="no text or no length"):
        measure(small, corpora=[])


def test_one_text_functions_say_which_takes_several(small: Small) -> None:
    with pytest.raises(InputError, match="several names stand where one is taken"):
        measure_kv_fidelity(str(small.model), kv_bits=8, corpus=[small.text])  # type: ignore[call-overload]
