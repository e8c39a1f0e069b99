"""Real ranks that share a run: on the loopback, or on the GPUs of one machine."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from deadline import DEADLINE
from rank_runs import (
    assert_same_bits,
    fake_ssh,
    over_ssh,
    rank_pids,
    scored_by_each,
    shared,
    stored,
    wait_until_gone,
)
from scorer_child import Child, scored_by_child
from tiny_models import write_tiny_model
from tiny_runs import Small, cells, failed, finished, numbers, planned, stored_cells

from scorer.device.rank_places import visible_gpus
from scorer.runs.listing import find_run, list_runs
from scorer.score import score
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.events import Event, Finished, Looked, RanksScored
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings
from scorer.stats.positions import Positions

ON_GPUS = os.environ["QFID_DEVICE"] != "cpu"
# On GPUs batches are whole.
CHUNKS = 12 if ON_GPUS else 11
CELLS = 2 * CHUNKS
JOB = Job(
    "demo",
    parse_settings("8,4@9"),
    CorpusSpec("builtin"),
    chunk_length=48,
    chunks="spread",
    max_chunks=CHUNKS,
    batch=2,
)
LONG = Job("demo", parse_settings("8,4,k8v4"), CorpusSpec("builtin"), chunk_length=64)
KILLS = 50
ROUNDING = 0.1 if ON_GPUS else 1e-3
"""Of a likelihood, nats: GPUs compute in 16 bit."""

pytestmark = pytest.mark.skipif(
    ON_GPUS and len(visible_gpus(os.environ)) < 2, reason="there are no two GPUs"
)


def run_of(job: Job, ranks: int, **environ: str) -> tuple[str, list[Event]]:
    events, code, errors = scored_by_child(shared(job, ranks), **environ)
    assert code == 0, (events[-1], errors)
    return planned(events).run, events


class Alone(NamedTuple):
    """The run of one process with one thread in its products."""

    positions: dict[tuple[str, int], Positions]
    numbers: Any


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QFID_DATA_DIR", str(tmp_path_factory.mktemp("alone")))
        run = planned(list(score(JOB))).run
        return Alone(stored(run), numbers(find_run(run).report()))


# Of two ranks, the run that one of them leaves is whole in the end as well.
@pytest.mark.parametrize(
    "ranks",
    [
        pytest.param(2, marks=() if ON_GPUS else pytest.mark.slow),
        pytest.param(3, marks=pytest.mark.skipif(ON_GPUS, reason="two")),
    ],
)
def test_the_numbers_are_those_of_one_process(alone: Alone, ranks: int) -> None:
    run, events = run_of(JOB, ranks, OMP_NUM_THREADS="2")
    assert_same_bits(alone.positions, stored(run))
    assert numbers(find_run(run).report()) == alone.numbers
    by_each = scored_by_each(events)
    assert len(by_each) == ranks and sum(by_each) == CELLS and all(by_each)
    # A chunk is told once it is saved, in the order of the grid.
    assert len(set(cells(events))) == CELLS
    last = [event for event in events if isinstance(event, RanksScored)][-1]
    # 48 bytes a position and setting, and what says whose they are.
    assert last.gathered < 60 * CELLS * 47


@pytest.mark.slow
def test_chunks_that_ranks_add_are_those_of_one_process(alone: Alone) -> None:
    """To a run that another number of ranks began."""
    run, _ = run_of(replace(JOB, max_chunks=4), 1, OMP_NUM_THREADS="1")
    events, code, errors = scored_by_child(shared(JOB, 2, run=run), OMP_NUM_THREADS="1")
    assert code == 0, (events[-1], errors)
    assert len(set(cells(events))) == CELLS - 2 * 4
    assert_same_bits(alone.positions, stored(run))
    assert numbers(find_run(run).report()) == alone.numbers


def test_a_rank_that_dies_is_named_and_the_run_goes_on_with_any_number(alone: Alone) -> None:
    with Child() as child:
        child.send(shared(JOB, 2))
        events = child.until("hello")
        # Known before the run is planned: all of it takes a few tenths of a second.
        (pid,) = rank_pids(child.process.pid)
        events += child.until("planned")
        os.kill(pid, signal.SIGKILL)
        events += child.rest()
        assert child.code() == 1
    fault = failed(events)
    assert fault.error == "RankLost" and "rank 1 (127.0.0.1) was ended by SIGKILL" in fault.message
    run = planned(events).run
    assert fault.run == run and fault.saved == len(cells(events)) < CELLS
    rest = list(score(JOB, run=run))
    assert finished(rest).complete
    assert sorted(cells(events) + cells(rest)) == sorted(set(cells(events) + cells(rest)))
    assert numbers(find_run(run).report()) == alone.numbers


def test_no_rank_outlives_rank_0() -> None:
    with Child() as child:
        child.send(shared(LONG, 2))
        child.until("chunk")
        pids = rank_pids(child.process.pid)
        assert len(pids) == 1
        child.process.kill()
        wait_until_gone(pids)


def test_an_interrupt_ends_all_and_keeps_what_was_gathered() -> None:
    with Child() as child:
        child.send(shared(LONG, 2))
        events = child.until("ranks")
        pids = rank_pids(child.process.pid)
        child.process.send_signal(signal.SIGINT)
        events += child.rest()
        assert child.code() == 130
        wait_until_gone(pids)
    assert isinstance(events[-1], Finished) and not events[-1].complete
    scored = find_run(planned(events).run).scored()
    assert sum(map(len, scored.values())) == len(cells(events))


@pytest.mark.skipif(ON_GPUS, reason="it names the arithmetic of the CPU")
def test_a_rank_elsewhere_that_computes_otherwise_is_refused(tmp_path: Path) -> None:
    path = fake_ssh(tmp_path, "export QFID_CPU_ARITHMETIC=mlx;")
    events, code, _ = scored_by_child(over_ssh(JOB, "elsewhere"), PATH=path)
    fault = failed(events)
    assert code == 2 and fault.error == "InputError"
    assert "rank 1 (elsewhere) does not compute what rank 0 does" in fault.message
    assert "arithmetic (`mlx`, rank 0 has `numpy`)" in fault.message


def test_a_rank_that_cannot_prepare_says_why(tmp_path: Path) -> None:
    path = fake_ssh(tmp_path, "exit 255;")
    events, code, _ = scored_by_child(over_ssh(JOB, "nowhere"), PATH=path)
    assert code == 1 and "rank 1 (nowhere) ended with code 255" in failed(events).message
    assert not list_runs()


def test_the_command_says_what_each_rank_did_and_follows_a_launcher(tmp_path: Path) -> None:
    words = ["kv", "demo", "--kv-bits=8", "--chunk-length=48", "--max-chunks=6", "--format=json"]
    command = [sys.executable, "-P", "-m", "qfid_tui.cli", *words]
    done = subprocess.run([*command, "--ranks=2"], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    assert "\nrank 0 (127.0.0.1): " in done.stderr and "\nrank 1 (127.0.0.1): " in done.stderr
    if ON_GPUS:
        return
    from scorer.device.rank_places import free_port

    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps([[f"127.0.0.1:{free_port()}"] for _ in range(2)]))
    processes = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"MLX_RANK": str(rank), "MLX_HOSTFILE": str(hosts)},
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=DEADLINE) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert said[1] == ("", "")
    one, other = json.loads(done.stdout), json.loads(said[0][0])
    assert numbers(one["settings"]) == numbers(other["settings"])


@pytest.mark.slow
def test_weights_and_dropped_settings_are_those_of_one_process(small: Small) -> None:
    job = small.job("8,w8:32,w8:32+8,w3:32,w3:32+4", max_chunks=24)
    job = replace(job, deployment=DeploymentSpec(), drop_beaten=True)
    events, code, errors = scored_by_child(shared(job, 2))
    assert code == 0, (events[-1], errors)
    here = list(score(job))
    assert numbers(finished(events).report) == numbers(finished(here).report)
    assert [e for e in events if e.kind == "setting_dropped"] == [
        e for e in here if e.kind == "setting_dropped"
    ]


@pytest.mark.slow
def test_ranks_stop_at_the_look_at_which_one_process_does() -> None:
    job = replace(
        JOB, settings=parse_settings("6,2"), chunks="random:1", max_chunks=40, until_settled=True
    )
    events, code, errors = scored_by_child(shared(job, 2))
    assert code == 0, (events[-1], errors)
    here = list(score(job))
    looks = [event for event in here if isinstance(event, Looked)]
    assert looks[0].looks == [30, 40] and looks[-1].stops
    assert [event for event in events if isinstance(event, Looked)] == looks
    run, alone_ = (stored(planned(each).run) for each in (events, here))
    assert list(run) == list(alone_) and len(run) == 2 * looks[-1].chunks
    assert numbers(finished(events).report) == numbers(finished(here).report)


def test_a_model_split_over_ranks_gives_the_figures_of_a_whole_one(alone: Alone) -> None:
    job = replace(JOB, max_chunks=4)
    request = shared(job, 2)
    request["ranks"]["shard"] = "tensor"
    events, code, errors = scored_by_child(request)
    assert code == 0, (events[-1], errors)
    found = stored(planned(events).run)
    assert len(found) == 2 * 4
    for key, positions in found.items():
        expected = alone.positions[key]
        np.testing.assert_allclose(positions.nll_ref, expected.nll_ref, atol=ROUNDING)
        # Rounding moves a key or value over a border now and then.
        assert np.median(np.abs(positions.kl - expected.kl)) < ROUNDING / 10
    report = find_run(planned(events).run).report()
    for row, whole in zip(report["settings"], alone.numbers["settings"], strict=True):
        for name in ("kv_bytes_per_token", "kv_layers_quantized", "measured_kv_bytes_per_token"):
            assert row[name] == whole[name]
    assert "tensor-parallel on 2 ranks" in planned(events).arithmetic
    # A whole model may not go on with it.
    refused = list(score(job, run=planned(events).run))
    assert failed(refused).exit_code == 2 and "arithmetic" in failed(refused).message


@pytest.mark.slow
def test_layers_split_over_ranks_give_the_figures_of_a_whole_model(
    small: Small, tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "qwen2", "qwen2", num_hidden_layers=3)
    job = replace(small.job("8:32,4:32", max_chunks=3), model=str(model))
    whole = list(score(job))
    request = shared(job, 2)
    request["ranks"]["shard"] = "pipeline"
    events, code, errors = scored_by_child(request)
    assert code == 0, (events[-1], errors)
    mine, theirs = stored(planned(whole).run), stored(planned(events).run)
    assert list(mine) == list(theirs)
    for key, positions in mine.items():
        np.testing.assert_allclose(theirs[key].nll_quant, positions.nll_quant, atol=ROUNDING / 100)
    rows = [numbers(find_run(planned(e).run).report())["settings"] for e in (whole, events)]
    for one, other in zip(*rows, strict=True):
        for name in ("kv_bytes_per_token", "kv_layers_quantized", "kv_layers_total"):
            assert one[name] == other[name]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_kills_at_random_instants_cost_nothing(alone: Alone, ranks: int) -> None:
    """Of any rank, rank 0 among them; each run is resumed with another number of ranks."""
    chance = random.Random(20261128 + ranks)
    kills, run = 0, None
    told: set[tuple[str, int]] = set()
    while kills < KILLS:
        size = ranks if kills % 3 else chance.choice([2, 3])
        request = shared(JOB, size, **({} if run is None else {"run": run}))
        events, killed = _killed(request, chance)
        kills += killed
        told |= set(cells(events))
        run = next((event.run for event in events if event.kind == "planned"), run)
        if run is not None:
            assert told <= stored_cells(find_run(run))
        if events and isinstance(events[-1], Finished) and events[-1].complete:
            assert run is not None
            assert numbers(find_run(run).report()) == alone.numbers
            run, told = None, set()


def _killed(request: dict[str, object], chance: random.Random) -> tuple[list[Event], bool]:
    """The events of a run of which one rank is killed."""
    events: list[Event] = []
    killed = threading.Event()
    with Child() as child:
        child.send(request)
        after = chance.randrange(1, 30)

        def kill() -> None:
            pids = [child.process.pid, *rank_pids(child.process.pid)]
            # A run that has just come to its end leaves nothing to kill.
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(pids), signal.SIGKILL)
                killed.set()

        timer = threading.Timer(chance.uniform(0, 0.1), kill)
        while (event := child.event()) is not None:
            events.append(event)
            if len(events) == after:
                timer.start()
                started = rank_pids(child.process.pid)
        timer.cancel()
        child.process.wait(DEADLINE)
        if len(events) >= after:
            wait_until_gone(started)
    return events, killed.is_set()
