"""Makes the items of the tasks that come with this package: ``python -m scorer.tasks.own_tasks``.

``continuations`` asks which words follow, in documents of Python that the demo model was not
trained on; the wrong answers follow the same word elsewhere. ``everyday`` asks for sums, opposites,
plurals, capitals and values of Python expressions. The order of everything is that of a generator
with a fixed seed, so that the files can be made again.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from scorer.demo.corpus import builtin_documents

FOLDER = Path(__file__).resolve().parent / "own"
_SEED = 17
_CONTINUATIONS = 240
_WORDS, _CONTEXT = 3, 28
_SENTENCE = re.compile(r"[A-Z][A-Za-z ,;()'-]{90,}\.")

Item = dict[str, object]


def continuations() -> list[Item]:
    """Items with a beginning and four ways to go on, the right one at a random place."""
    following: dict[str, list[str]] = defaultdict(list)
    places: list[tuple[str, str, str]] = []
    for _, text in builtin_documents():
        for found in _SENTENCE.finditer(" ".join(text.split())):
            words = found[0].split()
            for at in range(8, len(words) - _WORDS):
                before, ahead = words[at - 1], " ".join(words[at : at + _WORDS])
                if before.isalpha() and ahead.replace(" ", "").isalpha():
                    following[before].append(ahead)
                    places.append((" ".join(words[max(0, at - _CONTEXT) : at]), before, ahead))
    choose = random.Random(_SEED)
    choose.shuffle(places)
    items: list[Item] = []
    seen: set[str] = set()
    for context, before, ahead in places:
        others = sorted({each for each in following[before] if each != ahead})
        start = context[:40]
        if len(others) < 8 or start in seen:
            continue
        seen.add(start)
        items.append(_item({"context": context}, ahead, choose.sample(others, 3), choose))
        if len(items) == _CONTINUATIONS:
            break
    return items


def _item(question: Item, right: str, wrong: list[str], choose: random.Random) -> Item:
    answer = choose.randrange(len(wrong) + 1)
    return {**question, "choices": [*wrong[:answer], right, *wrong[answer:]], "answer": answer}


_OPPOSITES = (
    "hot cold|big small|fast slow|up down|open closed|early late|full empty|light dark|hard soft|"
    "high low|old new|rich poor|strong weak|wet dry|clean dirty|happy sad|long short|near far|"
    "loud quiet|thick thin|true false|right wrong|inside outside|begin end|buy sell|win lose|"
    "push pull|day night|young old|heavy light"
)
_PLURALS = (
    "child children|mouse mice|foot feet|city cities|leaf leaves|box boxes|man men|tooth teeth|"
    "knife knives|baby babies|goose geese|woman women|wolf wolves|story stories|person people"
)
_CAPITALS = (
    "France Paris|Germany Berlin|Italy Rome|Spain Madrid|Japan Tokyo|Egypt Cairo|Greece Athens|"
    "Russia Moscow|China Beijing|Austria Vienna|Poland Warsaw|Portugal Lisbon|Ireland Dublin|"
    "Norway Oslo|Cuba Havana|Peru Lima|Kenya Nairobi|Finland Helsinki|Hungary Budapest|Iran Tehran"
)
_LINKED = (
    "A dog is a kind of animal|A rose is a kind of flower|A hammer is a kind of tool|"
    "A piano is a kind of instrument|A bus is a kind of vehicle|A shirt is a kind of clothing|"
    "An oak is a kind of tree|A salmon is a kind of fish|A chair is a kind of furniture|"
    "Red is a kind of color|Bread is a kind of food|An eagle is a kind of bird|"
    "Gold is a kind of metal|Tennis is a kind of sport|French is a kind of language|"
    "Milk is a kind of drink"
)
_PYTHON = (
    "len('abcd')|4;2 ** 3|8;7 // 2|3;7 % 4|3;'ab' * 2|'abab';max(3, 9, 4)|9;[5, 6, 7][0]|5;"
    "[5, 6, 7][-1]|7;bool([])|False;'abc'.upper()|'ABC';sum([1, 2, 3])|6;not True|False;"
    "'a' in 'cat'|True;abs(-3)|3;min(8, 2, 5)|2;int('12')|12;10 / 4|2.5;len([])|0;"
    "sorted([3, 1, 2])|[1, 2, 3];'a,b'.split(',')|['a', 'b'];3 == 4|False;list(range(3))|[0, 1, 2];"
    "round(2.7)|3;str(5)|'5'"
)


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = [each.split(" ") for each in text.split("|")]
    return [(first, second) for first, second in pairs]


def everyday() -> list[Item]:
    """Items with a question and four answers."""
    choose = random.Random(_SEED)
    return [
        _item({"question": question}, right, wrong, choose)
        for question, right, wrong in _questions(choose)
    ]


def _questions(choose: random.Random) -> Iterator[tuple[str, str, list[str]]]:
    for _ in range(60):
        a, b = choose.randrange(2, 40), choose.randrange(2, 30)
        sign, value = choose.choice([("+", a + b), ("-", a - b)])
        near = [value + step for step in (-10, -2, -1, 1, 2, 10)]
        yield f"What is {a} {sign} {b}?", str(value), list(map(str, choose.sample(near, 3)))
    kinds: list[tuple[str, Callable[[str], str]]] = [
        (_OPPOSITES, lambda word: f"What is the opposite of {word}?"),
        (_PLURALS, lambda word: f"What is the plural of {word}?"),
        (_CAPITALS, lambda word: f"What is the capital of {word}?"),
    ]
    for text, question in kinds:
        pairs = _pairs(text)
        for word, right in pairs:
            others = sorted({second for _, second in pairs} - {right, word})
            yield question(word), right, choose.sample(others, 3)
    kinds_of = [each.rpartition(" ") for each in _LINKED.split("|")]
    for start, _, right in kinds_of:
        others = sorted({kind for _, _, kind in kinds_of} - {right})
        yield f"What fits? {start} …", right, choose.sample(others, 3)
    values = [each.split("|") for each in _PYTHON.split(";")]
    for expression, right in values:
        others = sorted({value for _, value in values} - {right})
        yield f"What is the value of `{expression}` in Python?", right, choose.sample(others, 3)


def main() -> None:
    """Write the items beside their YAML files."""
    for make in (continuations, everyday):
        lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in make())
        (FOLDER / f"{make.__name__}.jsonl").write_text(lines, "utf-8")


if __name__ == "__main__":
    main()
