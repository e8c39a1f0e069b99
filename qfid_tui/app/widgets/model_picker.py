"""The list of models in the cache: as many facts of each as the panel is wide enough for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType

from qfid_tui.app.widgets.field import Field
from qfid_tui.app.widgets.rows import Part, Rows, cell, fitted, number_cell
from qfid_tui.state.kv_cost import short_bytes
from qfid_tui.state.listed_models import ModelOrder, listed_models
from qfid_tui.state.workbench import WorkbenchState
from qfid_tui.words.model_list import day, shortened
from scorer.common.inert_text import inert
from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable
from scorer.models.resolve import DEMO

# Cells of the columns beside the name, with a gap of at least one before each.
_SIZE, _BITS, _USED, _LEAST_ARCHITECTURE, _MOST_ARCHITECTURE = 10, 9, 12, 6, 18
# A name without its owner is whole before there is another column; up to so many cells.
_MOST_NAME = 34
_SAID = {"last used": "last used first", "size": "largest first", "name": "by name"}


class ModelFilter(Field):
    """A field for part of a model's name; the arrows move in the list while it has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Choose", id="filter.choose", tooltip="Score this model"),
        Binding("escape", "screen.back", "All", id="filter.leave", tooltip="Show all models"),
        Binding(
            "down", "screen.pick(1)", "Down", show=False, id="filter.down", tooltip="Model below"
        ),
        Binding("up", "screen.pick(-1)", "Up", show=False, id="filter.up", tooltip="Model above"),
    ]

    def show(self, state: WorkbenchState) -> None:
        """Open or close the field; closed, it is empty."""
        if self.has_class("-open") and not state.filtering:
            self.value = ""
        self.set_class(state.filtering, "-open")


class ModelPicker(Rows):
    """One line for each model; those that cannot be scored are last."""

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
        self._found: Mapping[str, ModelInfo | Unscorable] = {}
        self._shown: list[ModelInfo | Unscorable] = []
        self._filter = ""
        self._order: ModelOrder = "last used"
        self._fetching = ""
        self._sort_key = "v"
        self._name_width, self._architecture_width = 0, _LEAST_ARCHITECTURE

    def show(self, state: WorkbenchState) -> None:
        """Show the models of a state.

        The cursor stays on its model; it moves to a model that has just been chosen or found.
        """
        known, chosen = self.model, state.choices.model
        arrives = chosen != self.chosen or (chosen in state.found and chosen not in self._found)
        listed = state.found, state.filter, state.order, state.reading
        if listed != (self._found, self._filter, self._order, self.is_reading):
            self._found, self._filter, self._order, self.is_reading = listed
            self._list(None if known is None else known.name)
        said = state.fetching, state.key_names.get("v", "v")
        if said != (self._fetching, self._sort_key):
            self._fetching, self._sort_key = said
            self._entitle()
        if arrives:
            self.chosen = chosen
            self._move_to_name(chosen)
            self.refresh()

    def _list(self, at_cursor: str | None) -> None:
        self._shown = listed_models(self._found.values(), self._filter, self._order)
        for index, model in enumerate(self._shown):
            if model.name == at_cursor:
                self.cursor = index
        scorable = [model for model in self._shown if isinstance(model, ModelInfo)]
        names = (cell_len(inert(_name(model).rpartition("/")[2])) for model in scorable)
        self._name_width = min(max(names, default=0), _MOST_NAME)
        wanted = 1 + max((len(model.architecture) for model in scorable), default=0)
        self._architecture_width = min(max(_LEAST_ARCHITECTURE, wanted), _MOST_ARCHITECTURE)
        self._entitle()
        self.rows_changed()

    def _entitle(self) -> None:
        total = len(self._found)
        shown = f"{len(self._shown)} of {total}" if self._filter.split() else f"{total}"
        order = f"{_SAID[self._order]}, {self._sort_key} sorts"
        now = "reading …" if self.is_reading else f"{shown} · {order}"
        self.border_subtitle = self._fetching or now

    def _move_to_name(self, name: str | None) -> None:
        for index, model in enumerate(self._shown):
            if model.name == name:
                self.move_to(index)

    @property
    def model(self) -> ModelInfo | Unscorable | None:
        """The model with the cursor; None in an empty list."""
        return self._shown[self.cursor] if self.cursor < len(self._shown) else None

    def row_count(self) -> int:
        """The number of models shown."""
        return len(self._shown)

    def empty_line(self, line: int) -> str:
        """What an empty list says."""
        if self.is_reading:
            return "reading the model cache …" if line == 0 else ""
        lines = ["no model matches; esc clears the filter"]
        return lines[line] if line < len(lines) else ""

    def row_line(self, index: int, line: int, width: int) -> Iterable[Part]:
        """Name and facts of a model; the reason of one that cannot be scored."""
        model = self._shown[index]
        mark = "▸ " if index == self.cursor else "  "
        mark += "● " if model.name == self.chosen else "  "
        if not isinstance(model, ModelInfo):
            name = shortened(model.name, max(8, width // 2))
            reason = (
                "✗ not whole: enter fetches it" if model.command else f"✗ {inert(model.reason)}"
            )
            return [
                (mark, "strong"),
                (fitted(name, max(8, width // 2)) + " ", "muted"),
                (fitted(reason, max(0, width - width // 2 - 5)), "muted"),
            ]
        figures = self._figures(model, width)
        # The name ends before a gap: the architecture behind it stands at the left of its column.
        room = max(8, width - 5 - len(figures))
        name = _name(model)
        style = "strong" if model.name == self.chosen else "text"
        return [
            (mark, "strong"),
            (cell(shortened(name, room), room + 1), style),
            (figures, "muted"),
        ]

    def _figures(self, model: ModelInfo, width: int) -> str:
        """Architecture, bits of the weights, size and day of the last use, as far as they fit."""
        room = width - 5 - self._name_width - _SIZE
        size = number_cell(short_bytes(model.size_bytes), _SIZE)
        if room < _BITS:
            return size
        bits = "" if model.weight_bits is None else f"{model.weight_bits:.3g}-bit"
        shown = number_cell(bits, _BITS) + size
        room -= _BITS
        if room < _USED:
            return shown
        shown += number_cell(day(model.last_used), _USED)
        room -= _USED
        if room < self._architecture_width:
            return shown
        return cell(inert(model.architecture), self._architecture_width) + shown

    def action_press(self) -> None:
        """Choose the model with the cursor."""
        if self.model is not None:
            self.post_message(self.Pressed(self, self.cursor))


def _name(model: ModelInfo) -> str:
    """The name as the list shows it."""
    return "demo (built in)" if model.name == DEMO else model.name
