"""How texts are named: names of their own, files, data sets of the Hub, and lists of them.

Pure standard library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scorer.common.errors import InputError

NAMED = ("wikitext2", "builtin", "code", "languages")
"""Texts that have a name of their own."""
HUB = "hf:"
"""What the name of a data set of the Hub begins with."""
HUB_HINT = "write hf:org/name:split:column, or hf:org/name:config:split:column"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPO = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_REVISION = re.compile(r"[\w./-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubText:
    """A column of a split of a data set on the Hugging Face Hub.

    Attributes:
        repo: Repo id of the data set.
        config: Name of its configuration; None for the only one.
        split: Name of the split.
        column: Name of the column that holds the text.
        revision: Commit, branch or tag; None for the cached or the newest one.
    """

    repo: str
    config: str | None
    split: str
    column: str
    revision: str | None = None

    @property
    def unpinned(self) -> str:
        """Its name without a revision."""
        config = [] if self.config is None else [self.config]
        return HUB + ":".join([self.repo, *config, self.split, self.column])

    @property
    def source(self) -> str:
        """Its name, with the revision where there is one."""
        return self.unpinned if self.revision is None else f"{self.unpinned}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a full commit, which never changes."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None


def hub_text(source: str) -> HubText | None:
    """Read the name of a data set of the Hub; None where the source is something else.

    Args:
        source: As ``--corpus`` takes it. The revision may stand at the end or behind the repo.

    Raises:
        InputError: It begins with ``hf:``, but is no such name.
    """
    if not source.startswith(HUB):
        return None
    body, at, revision = source[len(HUB) :].partition("@")
    if at and ":" in revision:
        # hf:org/name@revision:split:column
        revision, _, rest = revision.partition(":")
        body = f"{body}:{rest}"
    parts = body.split(":")
    if not 3 <= len(parts) <= 4 or not all(part.strip() for part in parts):
        raise InputError(f"`{source}` names no column of a data set", HUB_HINT)
    if _REPO.fullmatch(parts[0]) is None or ".." in parts[0]:
        raise InputError(f"`{parts[0]}` is not the name of a data set", HUB_HINT)
    if at and (_REVISION.fullmatch(revision) is None or ".." in revision):
        raise InputError(
            f"`{revision}` is not a revision", "give a commit, a branch or a tag behind the @"
        )
    config = parts[1] if len(parts) == 4 else None
    return HubText(parts[0], config, parts[-2], parts[-1], revision if at else None)


def as_pinned(source: str, earlier: str) -> str:
    """The source as an earlier run had it pinned, where it names the same part of a data set."""
    asked, known = hub_text(source), hub_text(earlier)
    same = asked is not None and known is not None and asked.unpinned == known.unpinned
    return earlier if same and asked is not None and asked.revision is None else source


def listed_texts(values: Sequence[str], is_file: Callable[[str], bool]) -> tuple[str, ...]:
    """The texts that one or several options name.

    A value that is the exact name of a file is that file, also with commas in it; else it is split
    at its commas. A backslash before a comma keeps that comma.

    Args:
        values: The values, in order.
        is_file: Whether a name is that of a file that exists.

    Returns:
        The texts in order, each once.
    """
    found: list[str] = []
    for value in values:
        if "," not in value or is_file(value):
            found.append(value)
            continue
        parts = re.split(r"(?<!\\),", value)
        found += [part.replace("\\,", ",").strip() for part in parts if part.strip()]
    return tuple(dict.fromkeys(found))


def listed_lengths(value: str) -> tuple[int, ...]:
    """The lengths that an option names: one, or several separated by commas.

    Raises:
        InputError: One is not a whole number.
    """
    found: list[int] = []
    for part in value.split(","):
        try:
            found.append(int(part.strip()))
        except ValueError:
            raise InputError(
                f"`{part.strip()}` is not a number of tokens", "write 512, or 512,4096"
            ) from None
    return tuple(dict.fromkeys(found))
