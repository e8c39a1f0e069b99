"""What a page of a report may hold: read with the standard library's HTML parser."""

from __future__ import annotations

import re
from html.parser import HTMLParser

ELEMENTS = frozenset(
    "html head meta title style body header main footer section div p h1 h2 h3 h4 h5 ul ol li span "
    "code pre strong em br hr blockquote table thead tbody tr th td details summary figure "
    "figcaption svg path circle text".split()
)
ATTRIBUTES = frozenset(
    "class title tabindex role aria-hidden viewbox preserveaspectratio d x y cx cy r".split()
)
HEAD = {
    "html": {"lang"},
    "meta": {"charset", "http-equiv", "name", "content"},
}
VOID = frozenset(("meta", "br", "hr"))
_NUMERIC = re.compile(r"[-MLVZhvz0-9., e]*")


class Page(HTMLParser):
    """Reads a page and refuses whatever it should not hold.

    Attributes:
        text: All text outside the style sheet, as a browser shows it.
        styles: The style sheets.
        headings: Texts of the headings of sections.
        elements: Names of all elements, in order.
        titles: Texts of the attribute ``title``.
        classes: All classes.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.styles: list[str] = []
        self.headings: list[str] = []
        self.elements: list[str] = []
        self.titles: list[str] = []
        self.classes: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_decl(self, decl: str) -> None:
        assert decl == "doctype html"
        assert not self.elements

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data[:80]}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data[:80]}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data[:80]}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS, tag
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        allowed = HEAD.get(tag, ATTRIBUTES)
        assert set(names) <= allowed, (tag, names)
        for name, value in attrs:
            assert value is not None
            if name in ("d", "viewbox", "x", "y", "cx", "cy", "r"):
                assert _NUMERIC.fullmatch(value), (name, value[:80])
            elif name == "class":
                assert re.fullmatch(r"[a-z0-9 -]+", value), value
                self.classes += value.split()
            elif name == "title":
                self.titles.append(value)
        self.elements.append(tag)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.styles.append(data)
            return
        self.text += data
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)


def checked(page: str) -> Page:
    """A page that holds no element or attribute that it should not, and names nothing outside."""
    found = Page(page)
    for css in found.styles:
        assert "url(" not in css
        assert "@import" not in css
        assert "<" not in css
    assert found.elements.count("html") == found.elements.count("body") == 1
    assert found.elements.count("style") == 1
    return found
