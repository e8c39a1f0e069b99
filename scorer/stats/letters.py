"""A compact letter display: settings that cannot be told apart share a letter.

Standard library only: reports are read without numpy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

Names = tuple[str, str]
"""Two settings in notation."""

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def letter_groups(names: Sequence[str], alike: Collection[Names]) -> list[tuple[str, ...]]:
    """Return groups so that two settings share one if, and only if, they are not told apart.

    Insert and absorb: all settings are in one group at first. Two that may not share a group split
    each group that holds both into one without the first and one without the second; a group that
    lies within another is absorbed by it. What is left are the largest groups without such two.
    Of these, groups go again whose every two settings share another group, the last ones first.

    Args:
        names: The settings that get a letter, the least drift first.
        alike: The pairs that are not told apart, in either order. Any two others share no group:
            those told apart, and those that were never compared.

    Returns:
        The groups, each with its settings as in ``names``, in the order of their settings. Every
        setting is in one; one that is told apart from all others has a group of its own.

    Source: Piepho, "An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons",
    2004.
    """
    place = {name: i for i, name in enumerate(names)}
    near: list[set[int]] = [set() for _ in names]
    for a, b in alike:
        if a in place and b in place and a != b:
            near[place[a]].add(place[b])
            near[place[b]].add(place[a])
    groups = [frozenset(range(len(names)))] if names else []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            if j not in near[i]:
                groups = _split(groups, i, j)
    ordered = sorted(map(sorted, _needed(sorted(groups, key=sorted), near)))
    return [tuple(names[i] for i in group) for group in ordered]


def _split(groups: Iterable[frozenset[int]], i: int, j: int) -> list[frozenset[int]]:
    """The groups with none that holds both settings, those within another absorbed."""
    kept: list[frozenset[int]] = []
    parts: list[frozenset[int]] = []
    for group in groups:
        if i in group and j in group:
            parts += [group - {i}, group - {j}]
        else:
            kept.append(group)
    for part in parts:
        if not any(part <= other for other in kept):
            # No part lies within another one that is smaller.
            kept = [other for other in kept if not other <= part] + [part]
    return kept


def _needed(
    groups: Sequence[frozenset[int]], near: Sequence[Collection[int]]
) -> list[frozenset[int]]:
    """The groups without those whose every two settings share another group."""
    pairs = [list(_pairs(group)) for group in groups]
    shared: dict[tuple[int, int], int] = {}
    for own in pairs:
        for pair in own:
            shared[pair] = shared.get(pair, 0) + 1
    found = []
    for group, own in zip(reversed(groups), reversed(pairs), strict=True):
        alone = len(group) == 1 and not near[min(group)]
        if alone or any(shared[pair] == 1 for pair in own):
            found.append(group)
        else:
            for pair in own:
                shared[pair] -= 1
    return found


def _pairs(group: Iterable[int]) -> Iterator[tuple[int, int]]:
    members = sorted(group)
    for at, i in enumerate(members):
        for j in members[at + 1 :]:
            yield i, j


def letter(index: int) -> str:
    """Return the letter of a group: a to z, A to Z, then with a number, ``a2``, ``b2``.

    Letters that are written one after the other, ``abA2``, can be told apart again.

    Args:
        index: Which group, from 0.
    """
    round_, place = divmod(index, len(_LETTERS))
    return _LETTERS[place] + (str(round_ + 1) if round_ else "")
