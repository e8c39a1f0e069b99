"""Whose each token of a rendered conversation is.

A chat template is a program: it strips, moves and drops texts and writes headers of its own. So
the texts of the messages are looked for in what it wrote. The conversation is rendered a second
time with a mark before and behind every text. Where that differs from the first rendering in the
marks alone, they say where each text stands. Where a template looks into a text and does something
else because of a mark, the message is marked by itself, at one end only, or its place is not known.

What follows from that:

- Tokens that no message brought are of the role :data:`TEMPLATE`: headers such as
  ``<|im_start|>assistant``, BOS, a default system prompt, descriptions of tools.
- The special token that ends a turn of the assistant is the assistant's: it has to predict it, and
  training masks count it (TRL's ``assistant_only_loss``, the ``generation`` block of transformers).
- What a turn of the assistant holds behind its text is its tool calls, the end of the turn
  included: :data:`TOOL_CALL`.
- Where the place of a message is not known, neither is whose the tokens between its neighbours are:
  :data:`UNKNOWN`.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.common.errors import InputError
from scorer.spec.roles import ASSISTANT, OTHER, TEMPLATE, TOOL_CALL, UNKNOWN
from scorer.text.chat_marks import Messages, Render, Span, common, marked_texts, role_of_message

MOST_ROLES = 100
"""Roles that are told apart in one text; the others are :data:`OTHER`."""


@dataclass(frozen=True, slots=True)
class EndTokens:
    """Special tokens of a tokenizer, as text.

    Attributes:
        special: All of them.
        ends: Those that end what a model writes.
    """

    special: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PlacedRoles:
    """Whose the characters of a rendered conversation are.

    Attributes:
        text: The rendered conversation.
        spans: Ascending, none overlaps another; what lies between is the template's.
        messages_left_out: Messages whose text the template does not write.
        calls_left_out: Messages whose tool calls it does not write.
    """

    text: str
    spans: tuple[Span, ...]
    messages_left_out: int = 0
    calls_left_out: int = 0


def placed_roles(messages: Messages, render: Render, tokens: EndTokens) -> PlacedRoles:
    """Find the texts of messages in what a template makes of them.

    Args:
        messages: The conversation.
        render: The template.
        tokens: Special tokens of the model.

    Raises:
        InputError: The template refuses the conversation.
    """
    text = render(messages, False)
    found = marked_texts(messages, render, text)
    texts = sorted(
        ((s, i) for i, each in found.items() if each is not None for s in each),
        key=lambda span: span[0].start,
    )
    spans, calls_left_out = _with_turns(messages, texts, render, text, tokens)
    lost = [i for i, each in found.items() if each is None]
    if lost:
        spans = _with_unknown(lost, texts, spans, len(text))
    dropped = sum(1 for i, each in found.items() if each == [] and _core(messages[i]))
    return PlacedRoles(text, tuple(spans), dropped, calls_left_out)


@dataclass(frozen=True, slots=True, eq=False)
class TokenRoles:
    """Whose each of n tokens is.

    Attributes:
        codes: (n,) indices into ``names``.
        names: Roles; the first is :data:`TEMPLATE`.
        messages_left_out: As of :class:`PlacedRoles`.
        calls_left_out: See there.
    """

    codes: NDArray[np.uint8]
    names: tuple[str, ...]
    messages_left_out: int = 0
    calls_left_out: int = 0

    @classmethod
    def unknown(cls, n: int) -> TokenRoles:
        """Those of n tokens of which nothing is known."""
        return cls(np.ones(n, np.uint8), (TEMPLATE, UNKNOWN))

    @classmethod
    def of(cls, placed: PlacedRoles, offsets: NDArray[np.int64]) -> TokenRoles:
        """Those of the tokens of a rendered conversation.

        A token that holds characters of a message is of that message, also where it begins with a
        character of the template.

        Args:
            placed: The spans.
            offsets: (n, 2) first and past-the-end character of each token.
        """
        names = tuple(dict.fromkeys((TEMPLATE, *(span.role for span in placed.spans))))
        if len(names) > MOST_ROLES:
            names = (*names[: MOST_ROLES - 1], OTHER)
        code = {name: i for i, name in enumerate(names)}
        codes = np.zeros(max(1, len(placed.text)), np.uint8)
        for span in placed.spans:
            codes[span.start : span.end] = code.get(span.role, code.get(OTHER, 0))
        first = np.clip(offsets[:, 0], 0, len(codes) - 1)
        last = np.clip(np.maximum(offsets[:, 1] - 1, first), 0, len(codes) - 1)
        found = np.where(codes[last] > 0, codes[last], codes[first])
        return cls(found, names, placed.messages_left_out, placed.calls_left_out)


def _core(message: dict[str, Any]) -> str:
    content = message.get("content")
    return content.strip() if isinstance(content, str) else ""


def _with_turns(
    messages: Messages,
    texts: Sequence[tuple[Span, int]],
    render: Render,
    text: str,
    tokens: EndTokens,
) -> tuple[list[Span], int]:
    """The spans with the tokens that end turns, and with tool calls; calls that are not there."""
    special = _alternatives(tokens.special)
    ends = tokens.ends
    if special is not None and (last := re.search(rf"({special})\s*\Z", text)) is not None:
        # What ends the last message ends the others too.
        ends = ends | {last[1]}
    ending = _alternatives(ends)
    spans: list[Span] = []
    cursor, missing = 0, 0
    header = ""
    starts = [span.start for span, _ in texts]
    by_message: dict[int, list[Span]] = {}
    for span, i in texts:
        by_message.setdefault(i, []).append(span)
    # Where the first text of a later message begins.
    following = [len(text)] * len(messages)
    for i in range(len(messages) - 2, -1, -1):
        later = [span.start for span in by_message.get(i + 1, ())]
        following[i] = min(*later, following[i + 1]) if later else following[i + 1]
    for i, message in enumerate(messages):
        own = by_message.get(i, [])
        spans += own
        start = max((span.end for span in own), default=None)
        role = role_of_message(message)
        calls = message.get("tool_calls") or message.get("function_call")
        if role != ASSISTANT:
            cursor = max(cursor, start or 0)
            continue
        if start is None:
            header = header or _header(messages, render, text)
            start = _behind(header, text, cursor, following[i])
        if start is None:
            missing += bool(calls)
            continue
        beside = bisect.bisect_left(starts, start)
        limit = starts[beside] if beside < len(starts) else len(text)
        if calls:
            body, end = _ends_of_calls(text, start, limit, ending, calls)
            written = text[start:body]
            if written.strip() and all(name in written for name in _names(calls)):
                spans.append(Span(start, end, TOOL_CALL))
                cursor = end
                continue
            missing += 1
        if ending is not None and (m := re.compile(rf"\s*(?:{ending})").match(text, start, limit)):
            spans.append(Span(start, m.end(), ASSISTANT))
            start = m.end()
        cursor = start
    return _without_overlaps(spans), missing


def _alternatives(texts: frozenset[str]) -> str | None:
    found = sorted((re.escape(text) for text in texts if text), key=len, reverse=True)
    return "|".join(found) or None


def _ends_of_calls(
    text: str, start: int, limit: int, ending: str | None, calls: Any
) -> tuple[int, int]:
    """Where the calls of a turn end, and where the turn does; ``start`` where nothing ends it."""
    if ending is None:
        return (limit, limit) if limit == len(text) else (start, start)
    token = re.compile(ending)
    # A token that ends turns may stand in the arguments too.
    hostile = [said for said in _strings(calls) if token.search(said)]
    behind = max([start, *(text.rfind(s, start, limit) + len(s) for s in hostile if s in text)])
    if found := token.search(text, behind, limit):
        return found.start(), found.end()
    return (limit, limit) if limit == len(text) else (start, start)


def _header(messages: Messages, render: Render, text: str) -> str:
    """What the template writes before an answer; "" where it cannot be told."""
    try:
        asked = render(messages, True)
    except InputError:
        return ""
    return asked[len(text) :] if asked.startswith(text) else ""


def _behind(header: str, text: str, start: int, limit: int) -> int | None:
    """Where an answer without text begins; None where its header is not found before ``limit``."""
    # Some templates write the white space at the end of a header only before a text.
    core = header.rstrip()
    at = text.find(core, start, limit) if core else -1
    if at < 0:
        return None
    return at + len(core) + common(header[len(core) :], text[at + len(core) :][: len(header)])


def _strings(value: Any) -> Iterator[str]:
    """The texts in JSON values."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _names(calls: Any) -> list[str]:
    """Names of the functions that are called."""
    listed = calls if isinstance(calls, list) else [calls]
    found = [c.get("function", c) if isinstance(c, dict) else None for c in listed]
    return [f["name"] for f in found if isinstance(f, dict) and isinstance(f.get("name"), str)]


def _with_unknown(
    lost: Sequence[int], texts: Sequence[tuple[Span, int]], spans: Sequence[Span], length: int
) -> list[Span]:
    """The spans, and :data:`UNKNOWN` ones where messages that were not found may stand."""
    gaps: set[tuple[int, int]] = set()
    before, after, furthest = {-1: 0}, dict[int, int](), 0
    by_message = sorted(texts, key=lambda text: text[1])
    for span, i in by_message:
        furthest = max(furthest, span.end)
        before[i] = furthest
    for span, i in reversed(by_message):
        after[i] = min(span.start, after.get(i, span.start))
    known = sorted(before), sorted(after)
    for i in lost:
        start = before[known[0][bisect.bisect_left(known[0], i) - 1]]
        behind = bisect.bisect_right(known[1], i)
        end = after[known[1][behind]] if behind < len(known[1]) else length
        gaps.add((start, max(start, end)))
    found: list[Span] = list(spans)
    for start, end in sorted(gaps):
        # What is known within it stays, such as the end of the turn before.
        at = start
        for span in spans:
            if span.start < end and span.end > start:
                if span.start > at:
                    found.append(Span(at, span.start, UNKNOWN))
                at = max(at, span.end)
        if at < end:
            found.append(Span(at, end, UNKNOWN))
    return _without_overlaps(found)


def _without_overlaps(spans: Sequence[Span]) -> list[Span]:
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        start = max(span.start, found[-1].end) if found else span.start
        if start < span.end:
            found.append(Span(start, span.end, span.role))
    return found
