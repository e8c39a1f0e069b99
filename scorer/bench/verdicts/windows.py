"""Windows of text in which items stand one behind the other, for training and to be scored.

A window is one chunk: its tokens are the bytes of the text, so that chunks of a file of windows are
the windows.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scorer.bench.verdicts.items import TASKS, Item, new_item
from scorer.common.atomic_files import write_atomic

WINDOW = 512
"""Tokens of a window."""
START = "^"
"""The first byte of every window: something to look at where nothing else is worth it."""
# Once an item does not fit, only those of the shortest task are tried, so many in a row.
_SHORTEST = "arithmetic"
_TRIES = 4
_WINDOWS_AT_A_TIME = 256

Ids = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Asked:
    """Where the answer to an item stands in a text.

    Attributes:
        task: Its task.
        window: Number of the window.
        first: Place of the answer's first token in the window.
        end: Place behind its last one, which is the end of the line.
    """

    task: str
    window: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Where the texts lie that models are scored on.

    Attributes:
        drift: The text that verdicts are of.
        asked: The text whose answers are read.
        items: Its items.
    """

    drift: Path
    asked: Path
    items: tuple[Asked, ...]


def window(rng: random.Random, *, held_out: bool) -> list[Item]:
    """The items of a window, which is nearly full of them."""
    items: list[Item] = []
    left, refused = WINDOW - len(START), 0
    while refused < _TRIES:
        item = new_item(rng, held_out=held_out, task=_SHORTEST if refused else None)
        if len(item.line) <= left:
            items.append(item)
            left -= len(item.line)
        else:
            refused += 1
    return items


def text_of(items: list[Item]) -> str:
    """The text of a window; ends of lines fill what items leave of it."""
    return (START + "".join(item.line for item in items)).ljust(WINDOW, "\n")


def places(items: list[Item], number: int) -> Iterator[Asked]:
    """Where the answers of a window stand.

    Args:
        items: Those of the window.
        number: Number of the window.
    """
    at = len(START)
    for item in items:
        end = at + len(item.line)
        yield Asked(item.task, number, at + len(item.question), end)
        at = end


def make_held_out(folder: Path, items: int, drift_windows: int, seed: int = 1) -> HeldOut:
    """Write both held-out texts, or read what an earlier call with the same numbers wrote.

    Args:
        folder: Where to write.
        items: Items of each task, at least.
        drift_windows: Windows of the text that verdicts are of.
        seed: Where the items come from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drift, asked, listed = (folder / name for name in ("drift.txt", "asked.txt", "items.json"))
    wanted = {"items": items, "drift_windows": drift_windows, "seed": seed}
    if listed.exists():
        stored = json.loads(listed.read_text())
        if stored["wanted"] == wanted:
            return HeldOut(drift, asked, tuple(Asked(**each) for each in stored["items"]))
    rng = random.Random(f"drift {seed}")
    parts = [text_of(window(rng, held_out=True)) for _ in range(drift_windows)]
    write_atomic(drift, "".join(parts))
    rng = random.Random(f"asked {seed}")
    texts: list[str] = []
    found: list[Asked] = []
    counts: Counter[str] = Counter()
    while min(counts[task] for task in TASKS) < items:
        made = window(rng, held_out=True)
        found += places(made, len(texts))
        texts.append(text_of(made))
        counts.update(item.task for item in made)
    write_atomic(asked, "".join(texts))
    write_atomic(listed, json.dumps({"wanted": wanted, "items": [asdict(each) for each in found]}))
    return HeldOut(drift, asked, tuple(found))


def _training_part(seed: int, count: int) -> tuple[Ids, NDArray[np.bool_]]:
    rng = random.Random(f"training {seed}")
    text: list[str] = []
    answers = np.zeros((count, WINDOW), np.bool_)
    for row in range(count):
        items = window(rng, held_out=False)
        text.append(text_of(items))
        for place in places(items, row):
            answers[row, place.first : place.end] = True
    codes = np.frombuffer("".join(text).encode("ascii"), np.uint8)
    return codes.reshape(count, WINDOW), answers


def make_training(path: Path, windows: int, processes: int | None = None) -> None:
    """Write windows to train on, unless the file is there.

    Args:
        path: The file: ``codes`` (n, 512) uint8, the ASCII text; ``answers`` (n, 512) bool, what of
            it is an answer.
        windows: How many, rounded up to whole parts.
        processes: That make them; None for one on each core.
    """
    if path.exists():
        return
    parts = -(-windows // _WINDOWS_AT_A_TIME)
    count = min(windows, _WINDOWS_AT_A_TIME)
    make = partial(_training_part, count=count)
    if processes == 1:
        made = list(map(make, range(parts)))
    else:
        workers = processes or os.cpu_count()
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            made = list(pool.map(make, range(parts), chunksize=4))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.npz")
    np.savez(
        temporary,
        codes=np.concatenate([codes for codes, _ in made]),
        answers=np.concatenate([answers for _, answers in made]),
    )
    temporary.replace(path)
