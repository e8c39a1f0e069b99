"""A made-up report of tasks."""

from __future__ import annotations

from scorer.tasks.build import task_parts
from scorer.tasks.items import Answers, TaskItems
from scorer.tasks.report import SettingPart, TasksReport


def answers(chosen: list[int], gold: list[int], metric: str = "acc") -> Answers:
    return Answers(metric, tuple(chosen), tuple(a == b for a, b in zip(chosen, gold, strict=True)))


def made_report(task: str = "words", model: str = "demo") -> TasksReport:
    gold = [0] * 40
    one, two = [0] * 30 + [1] * 10, [0] * 18 + [2] * 12 + [1] * 10
    reference = TaskItems(task, tuple(range(40)), (4,) * 40, (answers(one, gold),), {"acc": 0.75})
    worse = TaskItems(task, tuple(range(40)), (4,) * 40, (answers(two, gold),), {"acc": 0.45})
    return TasksReport(
        results="demo-1",
        model_id=model,
        model_revision=None,
        settings=(
            SettingPart(setting="8", quantized_requests=160),
            SettingPart(setting="2", quantized_requests=160),
            SettingPart(setting="k8v2", quantized_requests=160, error="no finite likelihood"),
        ),
        tasks=task_parts([reference], {"8": [reference], "2": [worse]}),
        requests=160,
        cut_requests=0,
        limit=40,
        harness_version="0.4.13",
        versions={"mlx": "1"},
        device="cpu x",
        arithmetic="cpu, float32",
        conditions={"device": "cpu x"},
    )
