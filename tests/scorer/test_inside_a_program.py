"""Calls from another program, several at once too, leave its process as it was."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlx.core as mx
import pytest
from deadline import DEADLINE
from process_state import nothing_changes
from project import ROOT
from tiny_runs import Small

from scorer import measure_kv_fidelity
from scorer.common.errors import InputError
from scorer.score import score
from scorer.spec.events import Planned

# The text is made up.
pytestmark = pytest.mark.filterwarnings("ignore::scorer.common.warning_categories.ReportWarning")

_LENT = (
    "HF_HUB_OFFLINE",
    "KMP_BLOCKTIME",
    "MLX_DISABLE_COMPILE",
    "MLX_ENABLE_TF32",
    "MLX_PTX_CACHE_DIR",
    "TOKENIZERS_PARALLELISM",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS",
    "TRANSFORMERS_VERBOSITY",
)


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A program that has set nothing of what a run sets."""
    for name in _LENT:
        monkeypatch.delenv(name, raising=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1000), hard))
    mx.enable_compile()
    yield
    mx.disable_compile()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def measure(small: Small, setting: str, kernel: Any = "auto") -> tuple[float, float]:
    report = measure_kv_fidelity(
        str(small.model),
        setting=setting,
        kernel=kernel,
        corpus=str(small.text),
        chunk_length=32,
        max_chunks=2,
    )
    return report.kl.mean, report.perplexity_quant


def test_a_call_leaves_the_process_as_it_was(small: Small) -> None:
    with nothing_changes():
        measure(small, "4")


def test_a_call_that_fails_leaves_the_process_as_it_was(small: Small) -> None:
    with nothing_changes(), pytest.raises(InputError):
        measure(small, "4:96")


def test_a_run_that_is_left_early_leaves_the_process_as_it_was(small: Small) -> None:
    with nothing_changes():
        events = score(small.job("4"))
        assert any(isinstance(event, Planned) for event in events)
        assert "MLX_ENABLE_TF32" in os.environ
        events.close()  # type: ignore[attr-defined]


def test_calls_at_once_give_the_numbers_of_single_ones(small: Small) -> None:
    calls = [("4", "auto"), ("4", "mlx-lm"), ("k8v4", "auto"), ("2", "auto")]
    alone = [measure(small, *call) for call in calls]
    assert len(set(alone)) > 2
    start = threading.Barrier(len(calls))

    def together(call: tuple[str, str]) -> tuple[float, float]:
        start.wait(DEADLINE)
        return measure(small, *call)

    with nothing_changes(), ThreadPoolExecutor(len(calls)) as pool:
        assert list(pool.map(together, calls)) == alone
    assert measure(small, "4", "mlx-lm") == alone[1]


PROGRAM = """
import logging, os, resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
variables = dict(os.environ)
from scorer import measure_kv_fidelity
from scorer.common.errors import InputError

def call():
    return measure_kv_fidelity("demo", kv_bits=8, max_chunks=1, chunk_length=32)

call()
assert dict(os.environ) == variables
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (500, hard)
from huggingface_hub import constants
assert constants.HF_HUB_OFFLINE is False
assert logging.getLogger("transformers").level == logging.WARNING
sys.stdout.flush()
child = os.fork()
if not child:
    try:
        call()
    except InputError as error:
        print(error.message, error.hint, sep="; ", flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_a_first_call_brings_no_setting_with_its_imports_and_a_fork_is_told_to_spawn() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "this process was forked from one in which MLX had worked, and MLX would hang here; "
        "start it another way: multiprocessing.get_context('spawn')\n"
    )
