"""The options of a run, one on each line: left and right step, enter types a value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message

from qfid_tui.app.widgets.rows import Part, Rows, fitted
from qfid_tui.state.choices import Choices
from qfid_tui.state.run_options import OPTIONS, Option, value_of
from qfid_tui.state.workbench import WorkbenchState
from scorer.common.inert_text import inert

_LABEL = 14


class OptionsPanel(Rows):
    """The options that all settings of a run share."""

    HELP = """\
    **left** and **right** change the option under the cursor, **enter** types a value.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "left,h", "step(-1)", "Less", show=False, id="options.less", tooltip="Value before"
        ),
        Binding("right,l", "step(1)", "More", show=False, id="options.more", tooltip="Value after"),
        Binding("enter", "press", "Type", show=False, id="options.type", tooltip="Type a value"),
    ]

    class Stepped(Message):
        """The user steps to the next value of an option, or to the previous one."""

        def __init__(self, option: Option, by: int) -> None:
            super().__init__()
            self.option, self.by = option, by

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.border_title = "Options"
        self._choices: Choices | None = None
        self._values: list[str] = ["" for _ in OPTIONS]

    def show(self, state: WorkbenchState) -> None:
        """Show the values of the options in a state."""
        if state.choices is self._choices:
            return
        self._choices = state.choices
        values = [inert(option.shown(value_of(state.choices, option))) for option in OPTIONS]
        if values != self._values:
            self._values = values
            self.rows_changed()

    @property
    def option(self) -> Option:
        """The option with the cursor."""
        return OPTIONS[self.cursor]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One line an option."""
        return len(OPTIONS)

    def row_count(self) -> int:
        """One an option."""
        return len(OPTIONS)

    def row_line(self, index: int, line: int, width: int) -> Iterable[Part]:
        """Label and value, with the arrows that change it."""
        at_cursor = index == self.cursor
        yield ("▸ " if at_cursor else "  ", "strong")
        yield (fitted(OPTIONS[index].label, _LABEL), "muted")
        room = max(1, width - _LABEL - 6)
        value = fitted(self._values[index], min(room, len(self._values[index])))
        yield ("‹ " if at_cursor else "  ", "strong")
        yield (value, "strong" if at_cursor else "text")
        yield (" ›" if at_cursor else "", "strong")

    def action_step(self, by: int) -> None:
        """Step to the next value, or to the previous one."""
        self.post_message(self.Stepped(self.option, by))

    def action_press(self) -> None:
        """Ask for a value to be typed."""
        self.post_message(self.Pressed(self, self.cursor))

    def pressed_at(self, index: int, x: int) -> None:
        """A click left of the value steps back; on the value or right of it, forward."""
        self.action_step(-1 if x <= _LABEL + 3 else 1)
