"""Markdown of our own as elements of a page, of a fixed set of kinds.

Sentences and tables of the Markdown report stand in the page too. markdown-it reads them; of what
it finds only the kinds below become elements, without any attribute of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from scorer.report.formats.html_elements import Child, Element, element, extend
from scorer.report.formats.inline import prose

_KINDS = frozenset(
    "p h2 h3 h4 h5 ul ol li table thead tbody tr th td strong em blockquote hr".split()
)
_TEXTS = ("text", "text_special", "html_inline", "html_block", "image")


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def blocks(lines: Iterable[str], *, deeper: int = 0) -> list[Element]:
    """Elements of Markdown, block by block.

    Args:
        lines: The Markdown.
        deeper: How many levels its headings are moved down.
    """
    root = element("div")
    _build(root, _parser().parse("\n".join(lines)), deeper)
    return list(root)


def inline(text: str) -> list[Child]:
    """Children of an element for a line of Markdown."""
    root = element("span")
    _build(root, _parser().parseInline(text), 0)
    return [*([root.text] if root.text else []), *_with_tails(root)]


def sentence(text: str) -> list[Child]:
    """A sentence of ours with values in backticks."""
    return inline(prose(text))


def _with_tails(root: Element) -> Iterable[Child]:
    for child in root:
        tail, child.tail = child.tail, None
        yield child
        if tail:
            yield tail


def _build(root: Element, tokens: Sequence[Token], deeper: int) -> None:
    open_now = [root]
    for token in tokens:
        at = open_now[-1]
        if token.type == "inline":
            _build(at, token.children or (), deeper)
        elif token.type in ("code_inline", "fence", "code_block"):
            code = element("code", token.content.removesuffix("\n"))
            at.append(code if token.type == "code_inline" else element("pre", code))
        elif token.type in ("softbreak", "hardbreak"):
            extend(at, ["\n"])
        elif token.type in _TEXTS:
            extend(at, [token.content])
        elif token.nesting == 1:
            open_now.append(_opened(at, token, deeper))
        elif token.nesting == -1:
            open_now.pop()
        elif token.tag in _KINDS:
            at.append(element(token.tag))


def _opened(at: Element, token: Token, deeper: int) -> Element:
    """The element that a token opens; the one it stands in where it opens none."""
    tag = token.tag
    if tag.startswith("h") and tag[1:].isdecimal():
        tag = f"h{min(5, int(tag[1:]) + deeper)}"
    if tag not in _KINDS or token.hidden:
        return at
    flush = "right" in str(token.attrs.get("style", ""))
    made = element(tag, class_="n" if flush else None)
    at.append(scrolled(made) if tag == "table" else made)
    return made


def scrolled(table: Element) -> Element:
    """A table that scrolls sideways where the screen is narrower."""
    return element("div", table, class_="wide", tabindex="0")
