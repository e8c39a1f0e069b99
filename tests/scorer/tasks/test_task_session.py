"""Tasks on the built-in model without lm-evaluation-harness, whose place a stand-in takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from task_folders import FakeHarness, task_folder

from scorer.common.errors import InputError, Interrupted, SettingFailed, WillNotFit
from scorer.demo import demo_model_path
from scorer.device.backend import running_backend
from scorer.device.host_memory import HostMemory
from scorer.device.memory_watch import MemoryWatch
from scorer.lanes.kv.lane import DEQUANTIZED, KVLane
from scorer.lm.caches import fresh_caches
from scorer.lm.load import load
from scorer.lm.model_handle import ModelHandle
from scorer.lm.patches import patched
from scorer.lm.split_model import SplitModel
from scorer.spec.events import (
    Event,
    Finished,
    RequestsScored,
    SettingFailedEvent,
    TasksPlanned,
    Warned,
)
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_settings
from scorer.spec.tasks_job import TasksJob
from scorer.tasks import harness, session
from scorer.tasks.report import TasksReport
from scorer.tasks.requests import Request
from scorer.tasks.session import TasksSession


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(harness, "Harness", FakeHarness)
    monkeypatch.setattr(harness, "import_harness", lambda _: None)
    monkeypatch.setattr(harness, "harness_version", lambda: "stand-in")
    monkeypatch.setattr(session, "check_installed", lambda: None)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(task_folder(tmp_path / "tasks"))


def events(job: TasksJob, stop: object = None) -> Iterator[Event]:
    with running_backend() as backend, MemoryWatch() as watch:
        asked = stop if callable(stop) else lambda: False
        yield from TasksSession(job, backend, asked, watch, False).events()


def report_of(job: TasksJob) -> TasksReport:
    (last,) = [each for each in events(job) if isinstance(each, Finished)]
    return TasksReport.from_json(last.report)


def kept(tmp_path: Path) -> dict[str, dict[int, list[object]]]:
    """By setting and number of the request, what is stored."""
    (file,) = (tmp_path / "data" / "tasks").glob("*/scores.jsonl")
    found: dict[str, dict[int, list[object]]] = {}
    for line in file.read_text("ascii").splitlines():
        values = json.loads(line.partition(" ")[2])
        for name, key in (("reference", "reference"), (values["setting"], "scores")):
            numbered = enumerate(values[key], values["first"])
            found.setdefault(name, {}).update(dict(numbered))
    return found


def test_likelihoods_are_those_of_the_model(folder: str, tmp_path: Path) -> None:
    """Against whole logits of each request alone, in float64."""
    job = TasksJob("demo", parse_settings("8,2"), (folder,))
    report = report_of(job)
    (task,) = report.tasks
    assert [row.setting for row in task.choices[0].settings] == ["8", "2"]
    assert task.items == 4 and task.chance == pytest.approx(1 / 3)
    requests = FakeRequests(folder).requests
    scores = kept(tmp_path)
    assert set(scores) == {"reference", "8", "2"}
    with running_backend() as backend, patched():
        split = SplitModel(load(demo_model_path(), backend).module, backend.arithmetic)
        for number, request in enumerate(requests):
            tokens = mx.array([request.ids[:-1]])
            hidden = split.hidden(tokens, fresh_caches(split.model))
            expected = oracle(split, hidden, request)
            value, greedy = scores["reference"][number]
            assert value == pytest.approx(expected[0], abs=1e-5) and greedy == expected[1]
            for bits in (8, 2):
                lane = KVLane(ModelHandle(split), KVSetting(bits, bits, 64), DEQUANTIZED)
                value, greedy = scores[str(bits)][number]
                expected = oracle(split, lane.hidden(tokens), request)
                # Attention over codes rounds otherwise than over restored keys.
                assert value == pytest.approx(expected[0], abs=2e-3)


class FakeRequests:
    """The requests of the tasks of a folder, in the order in which they are numbered."""

    def __init__(self, folder: str) -> None:
        from scorer.lm.tokenizer import load_tokenizer
        from scorer.tasks.task_files import find_tasks

        model = harness.TaskModel(load_tokenizer(demo_model_path()), 0, 2048)
        asked = FakeHarness(find_tasks([folder]), model, None).asked()
        self.requests = sorted(set(asked))


def oracle(split: SplitModel, hidden: mx.array, request: Request) -> tuple[float, bool]:
    logits = np.array(split.logits(hidden, 0, request.length - 1))[0].astype(np.float64)
    top = logits.max(axis=-1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
    rows = range(request.first, request.length - 1)
    total = sum(logs[row, request.ids[row + 1]] for row in rows)
    return float(total), all(int(logits[row].argmax()) == request.ids[row + 1] for row in rows)


def test_no_bit_depends_on_the_batch(folder: str, tmp_path: Path) -> None:
    job = TasksJob("demo", parse_settings("4,8@4"), (folder,), batch=1)
    one = report_of(job)
    alone = kept(tmp_path)
    for batch in (32,):
        (file,) = (tmp_path / "data" / "tasks").glob("*/scores.jsonl")
        file.unlink()
        again = report_of(TasksJob("demo", job.settings, job.tasks, batch=batch))
        assert kept(tmp_path) == alone and again == one


def test_what_a_kill_leaves_is_gone_on_with(folder: str, tmp_path: Path) -> None:
    job = TasksJob("demo", parse_settings("8,4"), (folder,), batch=1)
    whole = report_of(job)
    expected = kept(tmp_path)
    (file,) = (tmp_path / "data" / "tasks").glob("*/scores.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    # A process that died in the middle of a line.
    file.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    found = list(events(job))
    (planned,) = [each for each in found if isinstance(each, TasksPlanned)]
    scored = [each for each in found if isinstance(each, RequestsScored)]
    assert planned.done == 5 and planned.total == 2 * planned.requests == len(lines)
    assert len(scored) == len(lines) - 5 and scored[-1].done == planned.total
    assert isinstance(found[-1], Finished)
    assert TasksReport.from_json(found[-1].report) == whole and kept(tmp_path) == expected


def test_stopping_says_what_is_saved(folder: str) -> None:
    job = TasksJob("demo", parse_settings("8"), (folder,), batch=1)
    seen: list[Event] = []

    def stop() -> bool:
        return sum(isinstance(each, RequestsScored) for each in seen) >= 2

    with pytest.raises(Interrupted, match=r"\d+ of 12 requests are saved") as caught:
        for event in events(job, stop):
            seen.append(event)
    assert caught.value.hint == "the same command goes on"
    (planned,) = [each for each in events(job) if isinstance(each, TasksPlanned)]
    assert planned.done >= 2


def test_settings_that_are_added_are_scored_alone(folder: str) -> None:
    one = report_of(TasksJob("demo", parse_settings("8"), (folder,)))
    found = list(events(TasksJob("demo", parse_settings("8,4"), (folder,))))
    (planned,) = [each for each in found if isinstance(each, TasksPlanned)]
    assert planned.done == planned.requests and planned.total == 2 * planned.requests
    assert isinstance(found[-1], Finished)
    both = TasksReport.from_json(found[-1].report)
    first, alone = (each.tasks[0].choices[0].settings[0] for each in (both, one))
    # Two comparisons are to hold at once now.
    assert replace(first, simultaneous_interval=alone.simultaneous_interval) == alone


def test_a_prefix_that_covers_a_request_leaves_it_as_it_is(folder: str, tmp_path: Path) -> None:
    report = report_of(TasksJob("demo", parse_settings("2@4,2@100"), (folder,)))
    requests = FakeRequests(folder).requests
    scores = kept(tmp_path)
    assert scores["2@100"] == scores["reference"]
    for number, request in enumerate(requests):
        same = scores["2@4"][number] == scores["reference"][number]
        assert same == (request.length - 1 <= 4), request
    four, hundred = report.settings
    assert 0 < four.quantized_requests < len(requests) and hundred.quantized_requests == 0
    assert any("`2@100` keeps the first 100 tokens" in each for each in report.warnings)


def test_other_weights_are_scored_too(folder: str) -> None:
    report = report_of(TasksJob("demo", parse_settings("w4,w4+8"), (folder,), limit=2))
    assert [row.setting for row in report.tasks[0].choices[0].settings] == ["w4", "w4+8"]
    assert report.tasks[0].items == 2 and report.limit == 2


def test_a_setting_that_fails_costs_the_others_nothing(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = KVLane.begin

    def failing(self: KVLane, tokens: mx.array) -> object:
        if self.setting.k_bits == 2:
            raise SettingFailed("no number")
        return begin(self, tokens)

    monkeypatch.setattr(KVLane, "begin", failing)
    found = list(events(TasksJob("demo", parse_settings("2,8"), (folder,))))
    failed = [each for each in found if isinstance(each, SettingFailedEvent)]
    assert [each.setting for each in failed] == ["2"]
    assert isinstance(found[-1], Finished)
    report = TasksReport.from_json(found[-1].report)
    assert [each.setting for each in report.failed] == ["2"]
    assert [row.setting for row in report.tasks[0].choices[0].settings] == ["8"]


def test_code_of_a_task_is_told(tmp_path: Path) -> None:
    task_folder(tmp_path / "own", more="process_docs: !function utils.f\n")
    (tmp_path / "own" / "utils.py").write_text("def f(docs):\n    return docs\n")
    job = TasksJob("demo", parse_settings("8"), (str(tmp_path / "own"),))
    with pytest.raises(InputError, match=r"runs Python of its own: .*utils\.py"):
        list(events(job))
    with running_backend() as backend, MemoryWatch() as watch:
        first = next(TasksSession(job, backend, lambda: False, watch, True).events())
    assert isinstance(first, Warned) and "utils.py" in first.message


def test_too_little_memory_is_told_in_words_of_requests(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: object) -> HostMemory:
        return HostMemory(1 << 30, 1 << 20)

    monkeypatch.setattr("scorer.engine.preparation.device_memory", none_left)
    with pytest.raises(WillNotFit) as caught:
        list(events(TasksJob("demo", parse_settings("8"), (folder,))))
    assert caught.value.hint == "take a smaller model, or free memory; --force tries all the same"
    assert "chunk" not in caught.value.message
