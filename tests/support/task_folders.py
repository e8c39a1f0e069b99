"""Folders with a task of lm-evaluation-harness, and a stand-in for the harness itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scorer.tasks.harness import TaskModel
from scorer.tasks.items import Answers, TaskItems, best
from scorer.tasks.requests import Request, Score
from scorer.tasks.task_files import TaskFile

YAML = """\
task: {name}
dataset_path: {path}
dataset_kwargs: {{data_files: {{test: items.jsonl}}}}
output_type: {kind}
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
ITEMS: tuple[dict[str, Any], ...] = (
    {"question": "Return the", "choices": ["name of the", "of", "bananas fly"], "answer": 0},
    {"question": "If the file", "choices": ["is", "does not exist", "and a"], "answer": 1},
    {"question": "A list of", "choices": ["strings", "an", "the other"], "answer": 0},
    {"question": "Raise an", "choices": ["exception", "if", "error when"], "answer": 0},
)


def task_folder(
    folder: Path,
    *,
    name: str = "words",
    path: str = "json",
    kind: str = "multiple_choice",
    more: str = "",
    items: Sequence[dict[str, Any]] = ITEMS,
) -> Path:
    """Make a folder with one task; ``more`` is added to its YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    text = YAML.format(name=name, path=path, kind=kind) + more
    (folder / "task.yaml").write_text(text, "utf-8")
    (folder / "items.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in items), "utf-8")
    return folder


class FakeHarness:
    """The tasks of :func:`task_folder` without lm-evaluation-harness.

    As the harness does, it asks for the likelihood of " " and each choice behind the question.
    """

    def __init__(self, tasks: Sequence[TaskFile], model: TaskModel, limit: int | None) -> None:
        self.model = model
        self._items = {}
        for task in tasks:
            lines = (task.path.parent / "items.jsonl").read_text("utf-8").splitlines()
            self._items[task.name] = [json.loads(line) for line in lines][:limit]

    @property
    def names(self) -> list[str]:
        return list(self._items)

    def _requests(self, item: dict[str, Any]) -> list[Request]:
        pairs = [(item["question"], f" {choice}") for choice in item["choices"]]
        return [request for pair in pairs for request in self.model.requests(pair)]

    def asked(self) -> list[Request]:
        every = [item for items in self._items.values() for item in items]
        return [request for item in every for request in self._requests(item)]

    def count(self) -> int:
        return sum(map(len, self._items.values()))

    def items(self, scores: Callable[[Request], Score]) -> list[TaskItems]:
        found = []
        for name, items in self._items.items():
            chosen = []
            for item in items:
                values = [scores(request).loglikelihood for request in self._requests(item)]
                chosen.append(best(values, item["choices"], lambda _: 1))
            right = [a == item["answer"] for a, item in zip(chosen, items, strict=True)]
            answers = Answers("acc", tuple(chosen), tuple(right))
            counts = tuple(len(item["choices"]) for item in items)
            found.append(TaskItems(name, tuple(range(len(items))), counts, (answers,)))
        return found
