"""The items of the study of the verdict: right answers, held out by content, placed exactly."""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pytest

from scorer.bench.verdicts.items import TASKS, Item, new_item
from scorer.bench.verdicts.scoring import right_items
from scorer.bench.verdicts.windows import (
    START,
    WINDOW,
    Asked,
    make_held_out,
    make_training,
    places,
    text_of,
    window,
)


def solved(question: str) -> str:
    """The answer to a question, found by reading it."""
    kind, body = question[0], question[1:-1]
    if kind == "C":
        return body
    if kind == "G":
        return body.split("|")[0]
    if kind == "R":
        return "".join(reversed(body))
    if kind == "K":
        pairs, _, key = body.partition("?")
        return dict(pair.split(":") for pair in pairs.split(";"))[key]
    if kind in "AS":
        a, b = map(int, re.split(r"[+-]", body))
        return str(a + b if kind == "A" else a - b)[::-1]
    if kind == "J":
        pairs = (pair.split(":") for pair in body.split(","))
        parts = (f'"{k}":{v if v.isdigit() else chr(34) + v + chr(34)}' for k, v in pairs)
        return "{" + ",".join(parts) + "}"
    assert kind == "X"
    text, _, path = body.rpartition("}")
    _, outer, inner = path.split(".")
    return json.dumps(json.loads(text + "}")[outer][inner])


@pytest.mark.parametrize("task", TASKS)
def test_answers_are_right(task: str) -> None:
    rng = random.Random(5)
    items = [new_item(rng, held_out=bool(n % 2), task=task) for n in range(200)]
    assert [item.answer for item in items] == [solved(item.question) for item in items]
    assert {item.task for item in items} == {task}
    assert all(item.line.isascii() and item.line.count("\n") == 1 for item in items)


def test_no_question_is_trained_on_and_asked() -> None:
    rng = random.Random(6)
    trained = {new_item(rng, held_out=False, task="arithmetic").question for _ in range(3000)}
    asked = {new_item(rng, held_out=True, task="arithmetic").question for _ in range(3000)}
    assert not trained & asked
    # Both come from the same numbers: without the rule many would be equal.
    assert any(Item("arithmetic", q, "").held_out for q in asked)
    assert not any(Item("arithmetic", q, "").held_out for q in trained)


def test_a_window_is_full_and_its_answers_are_where_they_are_said_to_be() -> None:
    rng = random.Random(7)
    for number in range(20):
        items = window(rng, held_out=True)
        text = text_of(items)
        assert len(text) == WINDOW and text.startswith(START)
        assert len(text.rstrip("\n")) > WINDOW - 40
        for item, place in zip(items, places(items, number), strict=True):
            assert (place.task, place.window) == (item.task, number)
            assert text[place.first : place.end] == item.answer + "\n"
            assert text[: place.first].endswith(item.question)


def test_held_out_texts_are_made_once(tmp_path) -> None:
    made = make_held_out(tmp_path, items=3, drift_windows=2)
    counts = {task: sum(item.task == task for item in made.items) for task in TASKS}
    assert min(counts.values()) >= 3
    asked, drift = made.asked.read_text(), made.drift.read_text()
    assert len(drift) == 2 * WINDOW
    assert len(asked) == WINDOW * (1 + max(item.window for item in made.items))
    for item in made.items:
        at = item.window * WINDOW
        assert asked[at + item.end - 1] == "\n" and asked[at + item.first - 1] == "="
    before = made.asked.stat().st_mtime_ns
    assert make_held_out(tmp_path, items=3, drift_windows=2) == made
    assert made.asked.stat().st_mtime_ns == before
    assert drift[:WINDOW] not in asked


def test_training_windows_mark_their_answers(tmp_path) -> None:
    path = tmp_path / "text" / "train.npz"
    make_training(path, 5, processes=1)
    with np.load(path) as stored:
        codes, answers = stored["codes"], stored["answers"]
    assert codes.shape == answers.shape == (5, WINDOW)
    for row, marks in zip(codes, answers, strict=True):
        text = bytes(row).decode("ascii")
        marked = "".join(c if m else "\0" for c, m in zip(text, marks, strict=True))
        found = re.findall(r"[^\0]+", marked)
        lines = text[len(START) :].rstrip("\n").split("\n")
        questions = [line[: line.rindex("=") + 1] for line in lines]
        assert found[: len(lines)] == [f"{solved(question)}\n" for question in questions]
        assert not any(Item("", question, "").held_out for question in questions)


def test_an_item_is_right_where_all_its_tokens_are() -> None:
    hits = np.ones((2, WINDOW), bool)
    hits[0, 10] = hits[1, WINDOW - 1] = False
    items = [
        Asked("copy", 0, 5, 10),
        Asked("copy", 0, 10, 11),
        Asked("copy", 0, 11, WINDOW),
        Asked("copy", 1, 1, WINDOW - 1),
        Asked("copy", 1, WINDOW - 2, WINDOW),
    ]
    assert right_items(hits, items).tolist() == [True, False, True, True, False]
