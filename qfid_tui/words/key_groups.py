"""Under which heading the help names a key: by the panel that it works on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

_T = TypeVar("_T")

_OF_THE_WORKBENCH = {
    "Run": ("run", "stop", "more", "resume", "history", "export"),
    "Settings": ("tick", "add", "pairs", "detail", "inspect", "grid", "copy", "strips", "scale"),
    "Models": ("filter", "sort"),
    "Charts": ("chart",),
}
_OF_PREFIX = {
    "workbench": "Panels",
    "settings": "Settings",
    "models": "Models",
    "filter": "Models, while filtering",
    "options": "Options",
    "chart": "Charts",
    "grid": "Grid",
    "lines": "Grid",
    "rows": "Every list",
    "app": "Everywhere",
}
_FIRST = ("Run", "Settings", "Models", "Models, while filtering", "Options", "Charts", "Panels")
_LAST = ("Every list", "Everywhere")


def group_of(id: str) -> str:
    """The heading of a binding: ``Settings`` for ``workbench.tick``.

    Args:
        id: Id of the binding; "" for none.
    """
    prefix, _, name = id.partition(".")
    if prefix == "workbench":
        for title, names in _OF_THE_WORKBENCH.items():
            if name in names:
                return title
    return _OF_PREFIX.get(prefix, prefix.capitalize() or "Others")


def grouped(keys: Iterable[tuple[str, _T]]) -> list[tuple[str, list[_T]]]:
    """Keys by heading, the headings in reading order.

    Args:
        keys: Id of the binding, and what is to be grouped.
    """
    found: dict[str, list[_T]] = {}
    for id, key in keys:
        found.setdefault(group_of(id), []).append(key)
    return sorted(found.items(), key=lambda group: _place(group[0]))


def _place(title: str) -> tuple[int, int]:
    """Headings of one screen stand between those of the workbench and what all screens have."""
    if title in _FIRST:
        return 0, _FIRST.index(title)
    return (2, _LAST.index(title)) if title in _LAST else (1, 0)
