"""Makes the report of tasks from the answers to their items. Pure standard library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scorer.stats.paired_shares import PairedCounts, together, wilson
from scorer.tasks.items import Answers, TaskItems
from scorer.tasks.report import AnswersPart, ChoicePart, Share, TaskPart
from scorer.tasks.results import REFERENCE


def task_parts(
    reference: Sequence[TaskItems], settings: Mapping[str, Sequence[TaskItems]]
) -> tuple[TaskPart, ...]:
    """Compare the answers of settings with those of the reference.

    Args:
        reference: The items of each task as the full-precision model answers them.
        settings: By setting, the same items in the same order.
    """
    found = []
    for index, task in enumerate(reference):
        own = {setting: items[index] for setting, items in settings.items()}
        metrics = {REFERENCE: dict(task.metrics)}
        metrics |= {setting: dict(items.metrics) for setting, items in own.items()}
        choices = []
        for place, answers in enumerate(task.answers):
            rows = (
                answers_part(setting, answers, items.answers[place], len(own))
                for setting, items in own.items()
            )
            right = share(sum(answers.right), len(answers.right))
            choices.append(ChoicePart(metric=answers.metric, reference=right, settings=tuple(rows)))
        found.append(
            TaskPart(
                task=task.task,
                items=len(task.ids),
                chance=task.chance,
                choices=tuple(choices),
                metrics=metrics,
            )
        )
    return tuple(found)


def share(count: int, n: int) -> Share:
    """A share of n items with its interval; n at least 1."""
    return Share(count=count, share=count / n, interval=wilson(count, n))


def answers_part(
    setting: str, reference: Answers, answers: Answers, comparisons: int = 1
) -> AnswersPart:
    """Compare a setting's answers with the reference's, item by item.

    Args:
        setting: The setting in notation.
        reference: The reference's answers.
        answers: The setting's.
        comparisons: Settings that are compared with the reference in one table.
    """
    n = len(reference.right)
    pairs = list(zip(reference.right, answers.right, strict=True))
    counts = PairedCounts(
        both=pairs.count((True, True)),
        first=pairs.count((True, False)),
        second=pairs.count((False, True)),
        neither=pairs.count((False, False)),
    )
    changed = [a != b for a, b in zip(reference.chosen, answers.chosen, strict=True)]
    flips = sum(changed)
    wrong = sum(flip and pair == (False, False) for flip, pair in zip(changed, pairs, strict=True))
    simultaneous = counts.interval(together(comparisons))
    return AnswersPart(
        setting=setting,
        accuracy=share(counts.both + counts.second, n),
        difference=counts.difference,
        difference_interval=counts.interval(),
        simultaneous_interval=simultaneous,
        told_apart=not simultaneous.holds(0.0),
        p_value=counts.p_value(),
        flips=share(flips, n),
        to_wrong=share(counts.first, n),
        to_right=share(counts.second, n),
        wrong_to_wrong=share(wrong, n),
    )
