"""Running out of memory is recognized by what the libraries say; nothing else is taken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_saved_runs import opening, save_run, script, started

from scorer.common.errors import InputError, WillNotFit
from scorer.common.out_of_memory import is_out_of_memory, says_out_of_memory

SAID = [
    "[malloc] Unable to allocate 8589934592 bytes.",
    "[metal::malloc] Attempting to allocate 34359738368 bytes which is greater than the maximum "
    "allowed buffer size of 9534832640 bytes.",
    "[metal::malloc] Resource limit (499000) exceeded.",
    "[METAL] Command buffer execution failed: Insufficient Memory "
    "(00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory).",
    "cudaMallocManaged(&data, size) failed: out of memory",
    "cudaMallocAsync(&data, size, stream) failed: out of memory",
    "cudaMallocManaged failed: an illegal memory access was encountered.",
    "cudaGraphLaunch(exec, stream) failed: out of memory",
    "cublasLtMatmul failed: CUBLAS_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
]
OTHERS = [
    "[metal::Device] Unable to build metal library from source",
    "[broadcast_shapes] Shapes (3,4) and (5) cannot be broadcast.",
    "[METAL] Command buffer execution failed: Caused GPU Timeout Error "
    "(00000002:kIOGPUCommandBufferCallbackErrorTimeout).",
    "There is no Stream(gpu, 0) in current thread.",
    "cudaGraphLaunch(exec, stream) failed: an illegal instruction was encountered",
    "",
]


@pytest.mark.parametrize("text", SAID)
def test_what_the_libraries_say(text: str) -> None:
    assert says_out_of_memory(text) and is_out_of_memory(RuntimeError(text))


@pytest.mark.parametrize("text", OTHERS)
def test_other_errors_are_not_taken_for_it(text: str) -> None:
    assert not says_out_of_memory(text) and not is_out_of_memory(RuntimeError(text))


def test_errors_of_ours_are_none() -> None:
    assert not is_out_of_memory(InputError("out of memory"))
    assert not is_out_of_memory(WillNotFit("out of memory"))


def test_the_hosts_memory_is_python_s_own_error() -> None:
    with pytest.raises(MemoryError) as numpys:
        np.empty(1 << 60, np.uint8)
    assert is_out_of_memory(numpys.value)


@pytest.mark.parametrize(
    ("words", "last", "code"),
    [
        ("[METAL] Command buffer execution failed: Insufficient Memory", "!abort", 3),
        ("something else", "!abort", 1),
    ],
)
def test_a_child_that_memory_ended_ends_the_command_with_its_own_code(
    tmp_path: Path, words: str, last: str, code: int
) -> None:
    run = save_run(chunks=1, finished=False)
    path = script(tmp_path / "s", opening(run), f"!say {words}", last)
    with started(path, "kv", "demo") as process:
        _, err = process.communicate()
    assert process.returncode == code
    assert words in err and f"`qfid resume {run.id}` continues" in err
    assert ("--batch 1" in err) is (code == 3)
