"""The footer of every screen: what can be pressed now, as much of it as fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

_GAP = 2


class KeyBar(Widget):
    """Keys and verbs on one line, the most important first, the rest left to the palette.

    Textual's own footer keeps the order of the focus and cuts what does not fit.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keys--key", "keys--verb"}
    DEFAULT_CSS = """
    KeyBar {
        dock: bottom;
        height: 1;
        background: $footer-background;
        & > .keys--key { color: $footer-key-foreground; text-style: bold; }
        & > .keys--verb { color: $footer-description-foreground; }
        &:nocolor > .keys--key { text-style: bold underline; }
    }
    """

    def __init__(
        self, order: Sequence[str] = (), last: str = "app.palette", *, id: str | None = None
    ) -> None:
        """Show keys.

        Args:
            order: Ids of bindings, the most important first; empty for all that bindings show,
                in their own order.
            last: Id of the binding at the right end, which is shown wherever it can be pressed.
            id: Id of the widget.
        """
        super().__init__(id=id)
        self._order, self._last = tuple(order), last
        self._keys: list[tuple[str, str, str]] = []
        self._end: tuple[str, str, str] | None = None

    def on_mount(self) -> None:
        """Follow the bindings that are active."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)
        self._changed(self.screen)

    def _changed(self, screen: Screen[object]) -> None:
        if not self.is_attached:
            return
        found: dict[str, tuple[str, str, str]] = {}
        offered: list[str] = []
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if active.enabled and binding.id is not None and binding.id not in found:
                key = self.app.get_key_display(binding)
                found[binding.id] = key, binding.description.lower(), binding.key
                offered += [binding.id] if binding.show else []
        end = found.get(self._last)
        keys = [found[id] for id in self._order or offered if id in found and id != self._last]
        if (keys, end) != (self._keys, self._end):
            self._keys, self._end = keys, end
            self.refresh()

    @property
    def wanted(self) -> int:
        """Cells that everything would take that can be pressed now."""
        ends = [] if self._end is None else [self._end]
        return 1 + sum(map(_cells, (*self._keys, *ends))) - _GAP

    def shown(self) -> list[tuple[int, str, str, str]]:
        """Column, key as shown, verb and key as pressed of everything that fits."""
        width = self.size.width
        end = [] if self._end is None else [self._end]
        room = width - sum(_cells(item) for item in end)
        found: list[tuple[int, str, str, str]] = []
        x = 1
        for item in self._keys:
            if x + _cells(item) - (0 if end else _GAP) > room:
                break
            found.append((x, *item))
            x += _cells(item)
        for item in end:
            found.append((max(x, width - _cells(item) + 1), *item))
        return found

    def render_line(self, y: int) -> Strip:
        """The one line."""
        base = self.rich_style
        key_style = base + self.get_component_rich_style("keys--key", partial=True)
        verb_style = base + self.get_component_rich_style("keys--verb", partial=True)
        segments: list[Segment] = []
        at = 0
        for x, key, verb, _ in self.shown():
            segments += [
                Segment(" " * (x - at), base),
                Segment(key, key_style),
                Segment(f" {verb}", verb_style),
            ]
            at = x + cell_len(key) + 1 + cell_len(verb)
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def on_click(self, event: events.Click) -> None:
        """A click on a key is the key."""
        for x, shown, verb, key in self.shown():
            if x <= event.x < x + cell_len(shown) + 1 + cell_len(verb):
                self.app.simulate_key(key)
                return


def _cells(item: tuple[str, str, str]) -> int:
    """Cells of a key and its verb, and of the gap behind them."""
    key, verb, _ = item
    return cell_len(key) + 1 + cell_len(verb) + _GAP
