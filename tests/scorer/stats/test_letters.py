"""Letters against an oracle that tries every set of settings."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from scorer.stats.letters import letter, letter_groups

Pairs = set[tuple[str, str]]


def sharing(groups: list[tuple[str, ...]]) -> Pairs:
    return {pair for group in groups for pair in itertools.combinations(sorted(group), 2)}


def largest_groups(names: list[str], alike: Pairs) -> list[frozenset[str]]:
    """Every set of settings, no two of which are told apart, that no other holds: by trying all."""
    sets = [
        frozenset(chosen)
        for size in range(1, len(names) + 1)
        for chosen in itertools.combinations(names, size)
        if all(pair in alike for pair in itertools.combinations(sorted(chosen), 2))
    ]
    return [each for each in sets if not any(each < other for other in sets)]


def fewest(names: list[str], alike: Pairs) -> int:
    """The least number of letters that says the same: by trying all choices of largest groups."""
    sets = largest_groups(names, alike)
    for number in range(len(sets) + 1):
        for chosen in itertools.combinations(sets, number):
            covered = set().union(*chosen) if chosen else set()
            if covered == set(names) and sharing([tuple(each) for each in chosen]) == alike:
                return number
    raise AssertionError("the largest groups together always say it")


def graph(random_: random.Random, n: int, share: float) -> tuple[list[str], Pairs]:
    names = [f"s{i}" for i in range(n)]
    every = itertools.combinations(names, 2)
    return names, {pair for pair in every if random_.random() < share}


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_two_share_a_letter_where_they_are_not_told_apart_and_only_there(
    n: int, share: float
) -> None:
    random_ = random.Random(f"{n} {share}")
    for _ in range(12):
        names, alike = graph(random_, n, share)
        turned = {pair if random_.random() < 0.5 else (pair[1], pair[0]) for pair in alike}
        groups = letter_groups(names, turned)
        assert sharing(groups) == alike
        assert set().union(*groups) == set(names)
        # Each is a largest one: no letter could be given to one more setting.
        assert {frozenset(group) for group in groups} <= set(largest_groups(names, alike))
        assert groups == sorted(groups, key=lambda group: [names.index(name) for name in group])


def test_as_few_letters_as_can_be_or_one_more() -> None:
    random_ = random.Random(5)
    spare = []
    for _ in range(150):
        names, alike = graph(random_, random_.randint(2, 7), random_.random())
        least = fewest(names, alike)
        spare.append(len(letter_groups(names, alike)) - least)
        assert 0 <= spare[-1] <= 1
    assert sum(spare) <= 3


def test_a_row_of_settings_by_their_drift() -> None:
    """Each is not told apart from the next: of three in a row the outer ones are."""
    names = ["8", "8:32", "6", "4"]
    alike = {("8:32", "8"), ("8:32", "6")}
    assert letter_groups(names, alike) == [("8", "8:32"), ("8:32", "6"), ("4",)]
    assert letter_groups([], alike) == []


def test_groups_whose_pairs_others_hold_have_no_letter() -> None:
    """Three outer settings, two of which are never alike, about a triangle of three."""
    outer = {("a", "x"), ("b", "x"), ("b", "y"), ("c", "y"), ("a", "z"), ("c", "z")}
    triangle = {("a", "b"), ("b", "c"), ("a", "c")}
    names = list("xyzabc")
    assert len(largest_groups(names, {tuple(sorted(p)) for p in outer | triangle})) == 4
    assert letter_groups(names, outer | triangle) == [
        ("x", "a", "b"),
        ("y", "b", "c"),
        ("z", "a", "c"),
    ]


def test_many_settings_in_a_row_take_no_time() -> None:
    """60 settings, each alike to its 9 next."""
    names = [str(i) for i in range(60)]
    alike = {(str(i), str(j)) for i in range(60) for j in range(i + 1, min(60, i + 10))}
    groups = letter_groups(names, alike)
    assert len(groups) == 51
    assert groups[3] == tuple(str(i) for i in range(3, 13))


def test_letters_after_each_other_can_be_read() -> None:
    marks = [letter(i) for i in range(120)]
    assert marks[:3] + marks[25:28] + marks[51:54] == [
        *("a", "b", "c"),
        *("z", "A", "B"),
        *("Z", "a2", "b2"),
    ]
    assert len(set(marks)) == 120
    assert re.findall("[A-Za-z][0-9]*", "".join(marks)) == marks
