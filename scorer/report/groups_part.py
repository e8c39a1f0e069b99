"""Which settings cannot be told apart, as values. Pure standard library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroup:
    """Settings of which no two are told apart.

    Attributes:
        letter: The letter that they share.
        settings: In notation, the least drift first.
    """

    letter: str
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutLetter:
    """Settings of which it is not known whether they can be told apart from others.

    Attributes:
        settings: In notation.
        why: Why, in words.
    """

    settings: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupsPart:
    """A compact letter display: two settings share a letter where they are not told apart.

    They share none where they are told apart, or are not compared.

    Attributes:
        letters: The groups, those with the least drift first. A setting that is told apart from all
            others has a letter of its own.
        without_letter: Settings without a letter.
        n_pairs: Pairs with an interval, which were tested as one family.
        n_alike: How many of these are not told apart.
        correction: How the family was corrected for: ``Holm``.
        level: Probability of telling any equal pair apart, at most.
    """

    letters: tuple[LetterGroup, ...]
    without_letter: tuple[WithoutLetter, ...] = ()
    n_pairs: int
    n_alike: int
    correction: str = "Holm"
    level: float = 0.05

    def of(self, setting: str) -> str:
        """The letters of a setting, one after the other; "" for none."""
        return "".join(each.letter for each in self.letters if setting in each.settings)
