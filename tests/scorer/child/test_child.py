"""The child process: what it says, how it ends, and that nothing outlives its parent."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from child_in_process import answered
from deadline import DEADLINE
from scorer_child import COMMAND, STUCK, Child, scored_by_child
from tiny_runs import Small, cells, failed, finished, numbers, planned, stored_cells

from scorer.common.interrupts import SAME_PRESS_SECONDS
from scorer.runs.listing import find_run, list_runs
from scorer.score import score
from scorer.spec.events import ChunkScored, Event, Failed, Finished, Hello, Planned, parse_line
from scorer.spec.job import Job

MANY = 120
"""Chunks of a job whose events fill the pipe: it cannot end before they are read."""


def long_job(small: Small) -> Job:
    return small.job("8,4,k8v4,k4v8,8@9,4@9", max_chunks=MANY)


def test_the_events_are_those_of_the_same_job_in_process(small: Small) -> None:
    """The input that ends after the report ends nothing."""
    with Child() as child:
        events = child.send(small.job("8,4@9")).until("finished")
        child.end_input()
        assert child.rest() == [] and child.code() == 0
    here = list(score(small.job("8,4@9")))
    assert [event.kind for event in events] == [event.kind for event in here]
    assert cells(events) == cells(here)
    assert numbers(finished(events).report) == numbers(finished(here).report)


def test_other_conditions_are_accepted_on_request(small: Small) -> None:
    run = planned(list(score(small.job("8")))).run
    request = small.job("8", max_chunks=3, batch=2).to_json() | {"run": run}
    refused, code = answered(request)
    assert code == 2 and "under other conditions" in failed(refused).message
    accepted, code, _ = scored_by_child(request | {"accept_changes": True})
    assert code == 0 and cells(accepted) == [("8", 2)]


NOISY = """
import os, sys
print("printed by a library")
sys.stdout.write("written by a library\\n")
sys.stdout.flush()
os.write(1, b"written by a library in C\\n")
os.system("echo said by a process of its own")
from mlx_lm.models.llama import Model, ModelArgs
"""


def test_what_libraries_print_never_garbles_the_events(small: Small, tmp_path: Path) -> None:
    folder = shutil.copytree(small.model, tmp_path / "noisy")
    (folder / "noisy.py").write_text(NOISY)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_file": "noisy.py"}))
    request = small.job("4", model=str(folder)).to_json() | {"allow_custom_code": True}
    events, code, errors = scored_by_child(request)
    assert code == 0 and finished(events).complete
    assert "written by a library in C" in errors and "said by a process of its own" in errors


def test_probe_says_hello_only() -> None:
    with Child("--probe") as child:
        (hello,) = child.rest()
        assert isinstance(hello, Hello) and child.code() == 0
    assert hello.device in ("cpu", "metal", "cuda") and hello.memory_total > hello.memory_free > 0
    assert {"qfid", "mlx", "mlx-lm", "numpy", "python"} <= set(hello.versions)
    assert list_runs() == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "is not a job in JSON"),
        (b"{", "is not a job in JSON"),
        (b"[]", "is not a job in JSON"),
        (b"null", "is not a job in JSON"),
        (b"\xff\xfe\x00", "is not a job in JSON"),
        (b"[" * 100_000, "is not a job in JSON"),
        (b"{}", "a job needs a `model`"),
        (b'{"model": "demo", "settings": ["7"]}', "`7` bits for the key side"),
        (b'{"model": "demo", "settings": ["8"], "run": 3}', "`run` must be a run's id"),
        (b'{"model": "demo", "settings": ["8"], "accept_changes": 1}', "`run` must be a run's"),
        (b'{"model": "demo", "settings": ["8"], "colour": 1}', "a job has no key `colour`"),
    ],
)
def test_a_garbage_request_is_one_failure(
    line: bytes, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (failure,), code = answered(line)
    assert isinstance(failure, Failed) and message in failure.message
    assert (code, failure.exit_code, capfd.readouterr()) == (2, 2, ("", ""))
    assert list_runs() == []


@pytest.mark.parametrize("line", [b"\xff{", b"[" * 100_000])
def test_a_child_ends_after_a_garbage_request(line: bytes) -> None:
    events, code, errors = scored_by_child(line)
    assert "is not a job in JSON" in failed(events).message
    assert (len(events), code, errors) == (1, 2, "")


def test_an_error_of_the_input_ends_with_its_exit_code(small: Small) -> None:
    events, code, errors = scored_by_child(small.job("8", model="nobody/nothing"))
    assert [event.kind for event in events] == ["hello", "failed"]
    assert (code, failed(events).error, errors) == (2, "ModelNotCached", "")
    assert failed(events).details == {"repo": "nobody/nothing", "revision": None}


def test_a_setting_that_fails_ends_with_code_1_and_a_report(small: Small, tmp_path: Path) -> None:
    import mlx.core as mx
    from tiny_runs import edit_weights

    model = shutil.copytree(small.model, tmp_path / "tiny-llama")

    def no_output(weights: dict[str, Any]) -> None:
        for name, value in weights.items():
            if "o_proj" in name:
                weights[name] = mx.zeros_like(value)

    edit_weights(model, no_output)
    events, code = answered(small.job("8", model=str(model)).to_json())
    assert code == 1
    assert finished(events).report["settings"][0]["status"] == "failed"


def test_an_error_of_ours_is_a_failure_that_names_it(small: Small, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from scorer.device.blas import preload_blas\n"
        "preload_blas()\n"
        "from scorer.lm.mlx_lm_import import import_mlx_lm\n"
        "import_mlx_lm(light=True)\n"
        "import scorer.lanes.kv.plan\n"
        "def broken(*a, **k): raise ZeroDivisionError('made by the test')\n"
        "scorer.lanes.kv.plan.plan_settings = broken\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    events, code, errors = scored_by_child(small.job("8"), PYTHONPATH=path)
    failure = failed(events)
    assert (code, failure.exit_code) == (1, 1)
    assert failure.message == "internal error: ZeroDivisionError: made by the test"
    assert "Traceback" in errors


def test_the_end_of_the_input_ends_the_child_at_once(small: Small) -> None:
    with Child() as child:
        run = planned(child.send(long_job(small)).until("chunk")).run
        child.end_input()
        events = child.rest()
        assert child.code() == 1
    assert not any(isinstance(event, Finished | Failed) for event in events)
    kept = find_run(run).scored()
    assert kept["8"] and find_run(run).info().state == "unfinished"


def test_the_end_of_the_input_before_a_request(small: Small) -> None:
    with Child() as child:
        child.end_input()
        assert not any(isinstance(event, Finished) for event in child.rest())
        assert child.code() in (1, 2)


def test_one_interrupt_saves_and_reports_what_is_scored_and_the_run_goes_on(small: Small) -> None:
    with Child() as child:
        before = child.send(long_job(small)).until("chunk")
        child.process.send_signal(signal.SIGINT)
        events = [*before, *child.rest()]
        assert child.code() == 130
        assert "Traceback" not in child.errors()
    end = finished(events)
    assert not end.complete and end.report["run"]["complete"] is False
    run = find_run(planned(events).run)
    assert stored_cells(run) == set(cells(events))
    assert run.report() == end.report and (run.path / "report.md").is_file()
    assert len(cells(events)) < 6 * MANY
    scored = run.scored()
    with Child() as child:
        plan = planned(child.send(long_job(small), run=run.id).until("planned"))
    assert plan.run == run.id and any(plan.done.values())
    assert plan.done == {name: len(scored.get(name, ())) for name in plan.settings}


def test_an_interrupt_before_the_first_chunk_has_nothing_to_report(small: Small) -> None:
    with Child() as child:
        child.send(long_job(small)).until("loading")
        child.process.send_signal(signal.SIGINT)
        last = child.rest()[-1]
        assert child.code() == 130
        assert "Traceback" not in child.errors()
    # The signal may come as late as the first chunk.
    assert isinstance(last, Failed) or (isinstance(last, Finished) and not last.complete)


@pytest.fixture
def stuck(tmp_path: Path) -> str:
    """PYTHONPATH of such a child."""
    (tmp_path / "sitecustomize.py").write_text(STUCK)
    return os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.mark.parametrize("threads", ["1", "2"])
def test_an_interrupt_in_a_pass_that_does_not_end_still_saves_and_reports(
    small: Small, stuck: str, threads: str
) -> None:
    with Child(PYTHONPATH=stuck, QFID_THREADS=threads) as child:
        before = child.send(small.job("8,4")).until("chunk") + child.until("chunk")
        child.process.send_signal(signal.SIGINT)
        events = [*before, *child.rest()]
        assert child.code() == 130
    end = finished(events)
    assert not end.complete and end.report["run"]["complete"] is False
    assert end.report["run"]["chunks"] == [0]
    run = find_run(planned(events).run)
    assert run.report() == end.report and (run.path / "report.md").is_file()
    assert run.info().state == "unfinished"


def test_an_interrupt_while_a_model_loads_has_nothing_to_report(
    small: Small, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes, scorer.lm.load\n"
        "scorer.lm.load.densify = lambda *_: ctypes.CDLL(None).sleep(1000)\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with Child(PYTHONPATH=path) as child:
        child.send(small.job("8")).until("loading")
        child.process.send_signal(signal.SIGINT)
        failure = failed(child.rest())
        assert child.code() == 130
    assert (failure.error, failure.run, failure.saved) == ("Interrupted", None, 0)


# Each signal is sent in one of these two, also where tests are to be quick.
@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGHUP]
)
def test_an_end_from_outside_does_not_wait_for_a_pass(
    small: Small, stuck: str, number: signal.Signals
) -> None:
    with Child(PYTHONPATH=stuck) as child:
        run = planned(child.send(small.job("8")).until("chunk")).run
        child.process.send_signal(number)
        child.rest()
        assert child.code() == 128 + number
    assert find_run(run).scored()["8"]


def test_a_second_interrupt_ends_the_child_at_once(small: Small, tmp_path: Path) -> None:
    # A child that never looks whether it was asked to stop: only the second interrupt can end it.
    (tmp_path / "sitecustomize.py").write_text(
        "import scorer.child.ending\n"
        "scorer.child.ending.GRACE = 1000.0\n"
        "scorer.child.ending.Ending.asked = lambda self: False\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with Child(PYTHONPATH=path) as child:
        run = planned(child.send(long_job(small)).until("chunk")).run
        child.process.send_signal(signal.SIGINT)
        child.until("chunk")
        # Within 200 ms of the first they would count as one.
        time.sleep(1.5 * SAME_PRESS_SECONDS)
        child.process.send_signal(signal.SIGINT)
        events = child.rest()
        assert child.code() == 130
    assert not any(isinstance(event, Finished | Failed) for event in events)
    assert find_run(run).scored()["8"]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
def test_a_termination_signal_ends_the_child_and_keeps_the_batches(
    small: Small, number: signal.Signals
) -> None:
    with Child() as child:
        events = child.send(long_job(small)).until("chunk")
        child.process.send_signal(number)
        rest = child.rest()
        assert child.code() == 128 + number
    assert not any(isinstance(event, Finished | Failed) for event in rest)
    run = find_run(planned(events).run)
    told = set(cells([*events, *rest]))
    assert told <= stored_cells(run)


def test_a_killed_child_leaves_a_run_that_resumes_to_the_same_report(small: Small) -> None:
    job = small.job("8,4", max_chunks=6)
    with Child() as child:
        events = child.send(job).until("chunk")
        child.process.kill()
        child.process.wait()
    run = find_run(planned(events).run)
    again = list(score(job, run=run.id))
    assert numbers(finished(again).report) == numbers(finished(list(score(job))).report)


PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
child.stdin.write(sys.argv[1].encode() + b"\\n")
child.stdin.flush()
child.wait()
"""


# Either way the child sees the end of its input.
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_no_child_outlives_its_parent(small: Small, number: signal.Signals) -> None:
    request = json.dumps(long_job(small).to_json())
    # The child inherits this pipe: it ends when the last of the two processes is gone.
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, request, *COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    timer = threading.Timer(DEADLINE, os.killpg, (parent.pid, signal.SIGKILL))
    timer.start()
    with parent:
        assert parent.stdout is not None
        events: list[Event | None] = []
        while not events or not isinstance(events[-1], ChunkScored):
            events.append(parse_line(parent.stdout.readline()))
        parent.send_signal(number)
        rest = [parse_line(line) for line in parent.stdout]
    assert timer.is_alive(), "the child outlived its parent"
    timer.cancel()
    assert not any(isinstance(event, Finished) for event in rest)
    (plan,) = (event for event in events if isinstance(event, Planned))
    # A process that is being ended closes its files first.
    deadline = time.monotonic() + DEADLINE
    while find_run(plan.run).info().state == "running":
        assert time.monotonic() < deadline
    assert find_run(plan.run).info().state == "unfinished"
