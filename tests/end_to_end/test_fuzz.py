"""Readers of files that anyone may have written answer, or refuse in one clear line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import fuzz_config
import fuzz_corpus
import fuzz_events
import fuzz_precision
import fuzz_runs
import pytest
from fuzz_inputs import FuzzCase
from hypothesis import HealthCheck, Phase, given, settings

CASES = [
    *fuzz_config.CASES,
    *fuzz_corpus.CASES,
    *fuzz_events.CASES,
    *fuzz_precision.CASES,
    *fuzz_runs.CASES,
]
PLAIN, SLOW = 50, 10_000


def fed(case: FuzzCase, folder: Path, examples: int) -> int:
    """Feed a reader so many examples; how many it was."""
    count = 0

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        # Shrinking what is found in thousands of examples takes longer than finding it.
        phases=(Phase.generate, Phase.shrink) if examples <= PLAIN else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case.values)
    def feed(value: Any) -> None:
        nonlocal count
        count += 1
        case.check(folder, value)

    feed()
    return count


def of_reader(reader: str) -> list[FuzzCase]:
    return [case for case in CASES if case.name.startswith(f"{reader}:")]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_some_of_anything_is_read_or_refused(case: FuzzCase, tmp_path: Path) -> None:
    # A reader's 100 examples are shared out among what can be done to its files.
    reader = case.name.split(":")[0]
    fed(case, tmp_path, -(-PLAIN // len(of_reader(reader))))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_anything_is_read_or_refused(case: FuzzCase, tmp_path: Path) -> None:
    reader = case.name.split(":")[0]
    began = time.monotonic()
    count = fed(case, tmp_path, -(-SLOW // len(of_reader(reader))))
    print(f"{case.name}: {count} examples in {time.monotonic() - began:.0f} s")
