"""The models of the cache: filtered, looked at, one of them chosen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from qfid_tui.app.widgets.field import Field
from qfid_tui.app.widgets.rows import Part, Rows, fitted
from qfid_tui.state.kv_cost import short_bytes
from qfid_tui.words.model_list import shortened
from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo
    from scorer.models.listing import Unscorable

_SIZE, _BITS = 10, 7
# In less room than this a name says more than the width of its weights, which it mostly holds.
_ROOM_FOR_BITS = 60


class ModelFilter(Field):
    """Part of a model's name; the arrows move in the list meanwhile."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Choose", id="filter.choose", tooltip="Score this model"),
        Binding("escape", "screen.back", "All", id="filter.leave", tooltip="Show all models"),
        Binding(
            "down", "screen.pick(1)", "Down", show=False, id="filter.down", tooltip="Model below"
        ),
        Binding("up", "screen.pick(-1)", "Up", show=False, id="filter.up", tooltip="Model above"),
    ]


class ModelPicker(Rows):
    """One line a model, the last used first, then what cannot be scored."""

    HELP = """\
    The models in the local Hugging Face cache and the built-in demo. **enter** chooses one.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "press", "Choose", id="models.choose", tooltip="Score this model"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.border_title = "Models"
        self.is_reading = True
        self.chosen: str | None = None
        self._found: dict[str, ModelInfo | Unscorable] = {}
        self._shown: list[ModelInfo | Unscorable] = []
        self._filter = ""

    def add(self, found: Iterable[ModelInfo | Unscorable]) -> None:
        """Show these too; of one name the last counts."""
        self._found.update({model.name: model for model in found})
        self._rebuild()

    def set_filter(self, text: str) -> None:
        """Show only names that hold every word of the text."""
        self._filter = text
        self._rebuild()

    def finish(self) -> None:
        """All are read."""
        self.is_reading = False
        self._rebuild()

    def choose(self, name: str | None) -> None:
        """Mark a model as chosen and put the cursor on it."""
        self.chosen = name
        for index, model in enumerate(self._shown):
            if model.name == name:
                self.move_to(index)
        self.refresh()

    @property
    def model(self) -> ModelInfo | Unscorable | None:
        """The model with the cursor."""
        return self._shown[self.cursor] if self.cursor < len(self._shown) else None

    def _rebuild(self) -> None:
        from scorer.models.info import ModelInfo
        from scorer.models.resolve import DEMO

        known = self.model
        words = self._filter.lower().split()
        self._shown = [m for m in self._found.values() if all(w in m.name.lower() for w in words)]
        self._shown.sort(
            key=lambda m: (
                not isinstance(m, ModelInfo),
                m.name == DEMO,
                -(m.last_used or 0.0) if isinstance(m, ModelInfo) else 0.0,
                m.name,
            )
        )
        if known in self._shown:
            self.cursor = self._shown.index(known)
        total = len(self._found)
        shown = f"{len(self._shown)} of {total}" if words else f"{total}"
        self.border_subtitle = "reading …" if self.is_reading else shown
        self.rows_changed()

    def row_count(self) -> int:
        """One a model."""
        return len(self._shown)

    def empty_line(self, line: int) -> str:
        """What to do about it."""
        if self.is_reading:
            return "reading the model cache …" if line == 0 else ""
        lines = ["no model matches; esc clears the filter"]
        return lines[line] if line < len(lines) else ""

    def row_line(self, index: int, line: int, width: int) -> Iterable[Part]:
        """Name, weight bits and size; the reason where it cannot be scored."""
        from scorer.models.info import ModelInfo
        from scorer.models.resolve import DEMO

        model = self._shown[index]
        mark = "▸ " if index == self.cursor else "  "
        mark += "● " if model.name == self.chosen else "  "
        if not isinstance(model, ModelInfo):
            name = shortened(model.name, max(8, width // 2))
            reason = f"✗ {inert(model.reason)}"
            return [
                (mark, "strong"),
                (fitted(name, max(8, width // 2)) + " ", "muted"),
                (fitted(reason, max(0, width - width // 2 - 5)), "muted"),
            ]
        figures = fitted(short_bytes(model.size_bytes), _SIZE, right=True)
        if width >= _ROOM_FOR_BITS:
            bits = "" if model.weight_bits is None else f"{model.weight_bits:g}-bit"
            figures = fitted(bits, _BITS, right=True) + figures
        room = max(8, width - 4 - len(figures))
        name = "demo (built in)" if model.name == DEMO else model.name
        style = "strong" if model.name == self.chosen else "text"
        return [(mark, "strong"), (fitted(shortened(name, room), room), style), (figures, "muted")]

    def action_press(self) -> None:
        """Choose the model with the cursor."""
        if self.model is not None:
            self.post_message(self.Pressed(self, self.cursor))
