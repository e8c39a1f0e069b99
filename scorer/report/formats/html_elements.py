"""Elements of an HTML page, made as a tree: no string of a report is ever read as markup.

``xml.etree`` escapes text and attributes where it writes them. Pure standard library.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias
from xml.etree import ElementTree

from scorer.common.inert_text import inert

Element: TypeAlias = ElementTree.Element
Child: TypeAlias = Element | str

_LONGEST = 4000
"""Characters of a text: longer ones are cut, so that a page stays small."""


def element(tag: str, *children: Child | None, **attributes: str | float | None) -> Element:
    """An element with its children in order.

    Args:
        tag: Its name.
        children: Elements and texts; None is left out. Texts are made inert, line breaks stay.
        attributes: Values by name; ``class_`` is ``class``, ``font_size`` is ``font-size``.
            None is left out.
    """
    names = {name: name.rstrip("_").replace("_", "-") for name in attributes}
    made = ElementTree.Element(
        tag, {names[k]: _value(v) for k, v in attributes.items() if v is not None}
    )
    extend(made, children)
    return made


def extend(parent: Element, children: Iterable[Child | None]) -> None:
    """Add children to an element, in order."""
    for child in children:
        if child is None:
            continue
        if not isinstance(child, str):
            parent.append(child)
        elif len(parent):
            parent[-1].tail = (parent[-1].tail or "") + _shown(child)
        else:
            parent.text = (parent.text or "") + _shown(child)


def style(css: str) -> Element:
    """A style sheet of ours: what it holds is written as it is."""
    made = ElementTree.Element("style")
    made.text = css
    return made


def written(root: Element) -> str:
    """The page as text."""
    return "<!doctype html>\n" + ElementTree.tostring(root, "unicode", method="html") + "\n"


def cut(text: str, most: int) -> str:
    """A text of at most so many characters, without its middle where it has more."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def number(value: float) -> str:
    """A coordinate, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


def _value(value: str | float) -> str:
    return inert(value) if isinstance(value, str) else number(value)


def _shown(text: str) -> str:
    return "\n".join(map(inert, cut(text, _LONGEST).split("\n")))
