"""Finds the texts of messages in what a chat template writes, with marks around them.

:mod:`scorer.text.chat_roles` says what the marks are for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scorer.common.errors import InputError
from scorer.spec.roles import ASSISTANT, OTHER, ROLE_NAME, TOOL

Messages = list[dict[str, Any]]
Render = Callable[[Messages, bool], str]
"""Of messages, and whether the header of a further answer follows them, the template's text."""

_TEXTS = ("content", "reasoning_content", "reasoning", "thinking")
# Private use, one character a mark: two planes of 65 534 characters.
_PLANES = (0xF0000, 0x100000)
_MARKS = 0xFFFE
# Characters that may be rendered to mark messages one by one.
_MOST = 1 << 25
_OF_TOOLS = ("function", "ipython", "observation", "tool_response", "tool_result")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters ``start`` to ``end - 1`` of a rendered conversation, and whose they are."""

    start: int
    end: int
    role: str


def role_of_message(message: dict[str, Any]) -> str:
    """The role whose text a message holds, as reports name it."""
    role = str(message.get("role")).strip()
    if role in _OF_TOOLS:
        return TOOL
    if role == "model":
        return ASSISTANT
    return role if ROLE_NAME.fullmatch(role) else OTHER


Found = dict[int, list[Span] | None]
"""Message to the places of its texts, or None where they are not known."""


def marked_texts(messages: Messages, render: Render, text: str) -> Found:
    """The places of the texts of all messages."""
    numbers = range(len(messages))
    texts = [(i, key) for i, m in enumerate(messages) for key in _TEXTS if _is_text(m.get(key))]
    if not texts:
        return {i: [] for i in numbers}
    held = "".join(messages[i][key] for i, key in texts) + text
    base = _unused(held, 2 * len(texts))
    if base is None:
        return dict.fromkeys(numbers)
    marks = _Marks(base, texts, messages)
    together = marks.places(numbers, render, text, (True, True))
    if together is not None:
        return dict(together)
    if len(text) * len(messages) > _MOST:
        return dict.fromkeys(numbers)
    places: Found = {}
    for i in numbers:
        places[i] = None
        # A template that looks at how a text begins takes a mark at its end, and vice versa.
        for ends in ((True, True), (False, True), (True, False)):
            own = marks.places([i], render, text, ends)
            # One mark that is not written may have been cut off with a part of the text.
            if own is not None and (own[i] or all(ends)):
                places[i] = own[i]
                break
    return places


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _unused(held: str, needed: int) -> int | None:
    """The first of so many characters of private use in a row that a text does not hold."""
    used = sorted(ord(character) for character in set(held) if ord(character) >= _PLANES[0])
    for plane in _PLANES:
        first = plane
        for code in used:
            if first <= code < first + needed:
                first = code + 1
        if first + needed <= plane + _MARKS:
            return first
    return None


class _Marks:
    """Marks around the texts of messages: one character each.

    Args:
        base: Code of the first mark.
        texts: Number of the message of each text, and its key in the message.
        messages: The messages.
    """

    def __init__(self, base: int, texts: Sequence[tuple[int, str]], messages: Messages) -> None:
        self._base = base
        self._texts = texts
        self._numbers = {text: number for number, text in enumerate(texts)}
        self._messages = messages
        self._any = re.compile(f"[{chr(base)}-{chr(base + 2 * len(texts) - 1)}]")

    def places(
        self, which: Sequence[int], render: Render, text: str, ends: tuple[bool, bool]
    ) -> dict[int, list[Span]] | None:
        """Where the texts of some messages stand; None where marks change what is written.

        Args:
            which: The messages.
            render: The template.
            text: What it writes without marks.
            ends: Whether there is a mark before a text, and one behind it.
        """
        marked = list(self._messages)
        for i in which:
            marked[i] = self._with_marks(i, ends)
        try:
            rendered = render(marked, False)
        except InputError:
            return None
        # A template that slices a text may lose a mark; then the other one counts.
        if self._any.sub("", rendered) != text:
            return None
        found: dict[int, list[Span]] = {i: [] for i in which}
        opened: dict[int, int] = {}
        for seen, match in enumerate(self._any.finditer(rendered)):
            at = match.start() - seen
            number, behind = divmod(ord(match[0]) - self._base, 2)
            if not behind:
                self._close(found, opened, number, None, text)
                opened[number] = at
            else:
                self._close(found, opened, number, at, text)
        for number in list(opened):
            self._close(found, opened, number, None, text)
        return found

    def _close(
        self,
        found: dict[int, list[Span]],
        opened: dict[int, int],
        number: int,
        end: int | None,
        text: str,
    ) -> None:
        """Take in a text of which one mark or both were seen."""
        start = opened.pop(number, None)
        if start is None and end is None:
            return
        i, key = self._texts[number]
        message = self._messages[i]
        whole = str(message[key])
        core = whole.strip()
        if start is None:
            assert end is not None
            start = end - common(core[::-1], text[max(0, end - len(core)) : end][::-1])
            start = end - len(text[start:end].lstrip())
        elif end is None:
            end = start + common(core, text[start : start + len(core)])
            end = start + len(text[start:end].rstrip())
        # White space around a text is its own as far as the template writes it.
        before, _, after = whole.partition(core)
        start -= common(before[::-1], text[max(0, start - len(before)) : start][::-1])
        end += common(after, text[end : end + len(after)])
        if end > start:
            found[i].append(Span(start, end, role_of_message(message)))

    def _with_marks(self, i: int, ends: tuple[bool, bool]) -> dict[str, Any]:
        message = dict(self._messages[i])
        for key in _TEXTS:
            if (i, key) not in self._numbers:
                continue
            whole = str(message[key])
            core = whole.strip()
            mark = self._base + 2 * self._numbers[i, key]
            before, _, after = whole.partition(core)
            opening = chr(mark) if ends[0] else ""
            closing = chr(mark + 1) if ends[1] else ""
            message[key] = f"{before}{opening}{core}{closing}{after}"
        return message


def common(one: str, other: str) -> int:
    """Length of the longest common beginning."""
    n = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        n += 1
    return n
