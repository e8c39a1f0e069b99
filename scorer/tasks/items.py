"""Items of a task as one model answers them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# The length that an answer's likelihood is divided by before the answers are compared.
_LENGTHS: dict[str, Callable[[str], int]] = {
    "acc": lambda _: 1,
    "acc_norm": len,
    "acc_bytes": lambda text: len(text.encode()),
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answers to the items of a task, by one way to choose.

    Attributes:
        metric: ``acc``: the likeliest answer counts; ``acc_norm``: the likeliest per character;
            ``acc_bytes``: per byte.
        chosen: The answer to each item: number of the choice; of a task without choices, whether
            the right text is the likeliest.
        right: Whether that is right.
    """

    metric: str
    chosen: tuple[int, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class TaskItems:
    """The items of a task as one model answers them.

    Attributes:
        task: Name of the task.
        ids: Number of each item in the task.
        choices: How many answers there are to each item; 0 for a task without choices.
        answers: By each way to choose that the task names.
        metrics: Every metric of the harness over the items.
    """

    task: str
    ids: tuple[int, ...]
    choices: tuple[int, ...]
    answers: tuple[Answers, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def chance(self) -> float | None:
        """The accuracy of guessing; None for a task without choices."""
        if not self.choices or not all(self.choices):
            return None
        return sum(1 / count for count in self.choices) / len(self.choices)


def items_of(
    task: str,
    kind: str,
    samples: Sequence[Mapping[str, Any]],
    results: Mapping[str, Any],
    choices_of: Callable[[Any], Sequence[str]],
) -> TaskItems:
    """Make the items of a task from the samples that the harness logs.

    Args:
        task: Name of the task.
        kind: ``multiple_choice``, ``loglikelihood`` or ``loglikelihood_rolling``.
        samples: As ``evaluate`` of the harness logs them.
        results: Its results of the task.
        choices_of: Gives the answers to an item.
    """
    # With several filters an item is there once for each.
    first = samples[0]["filter"] if samples else None
    samples = [each for each in samples if each["filter"] == first]
    has_choices = kind == "multiple_choice"
    choices = [list(choices_of(each["doc"])) if has_choices else [] for each in samples]
    answers = []
    for metric, length in _LENGTHS.items():
        if not samples or any(metric not in each for each in samples):
            continue
        if kind == "multiple_choice":
            chosen = [
                best([score[0] for score in each["filtered_resps"]], texts, length)
                for each, texts in zip(samples, choices, strict=True)
            ]
        elif kind == "loglikelihood":
            chosen = [int(each["filtered_resps"][0][1]) for each in samples]
        else:
            continue
        right = tuple(bool(each[metric]) for each in samples)
        answers.append(Answers(metric, tuple(chosen), right))
    return TaskItems(
        task,
        tuple(int(each["doc_id"]) for each in samples),
        tuple(map(len, choices)),
        tuple(answers),
        {
            name.partition(",")[0]: float(value)
            for name, value in results.items()
            if isinstance(value, int | float)
            and name.endswith(f",{first}")
            and "_stderr," not in name
            and math.isfinite(value)
        },
    )


def best(likelihoods: Sequence[float], texts: Sequence[str], length: Callable[[str], int]) -> int:
    """The answer of the highest likelihood by length; the first of several.

    Args:
        likelihoods: Of each answer, nats; more than there are answers count for nothing.
        texts: The answers.
        length: What a likelihood is divided by.
    """
    scored = [value / max(1, length(text)) for value, text in zip(likelihoods, texts, strict=False)]
    return max(range(len(scored)), key=scored.__getitem__)
