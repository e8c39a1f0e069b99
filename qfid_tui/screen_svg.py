"""A picture of a screen that needs nothing from the network to be shown."""

from __future__ import annotations

import re

_FONT_FACE = re.compile(r"\s*@font-face\s*\{[^}]*\}")


def without_outside_fonts(svg: str) -> str:
    """The SVG without its ``@font-face`` rules, which fetch fonts from a server.

    The viewer's own monospace font is used instead; the cells keep their places, because every
    run of text carries its length.

    Args:
        svg: What ``App.export_screenshot`` gives.
    """
    return _FONT_FACE.sub("", svg)
