"""The panels of the workbench, imported and mounted after the first frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget

from qfid_tui.app.widgets.about_line import AboutLine
from qfid_tui.app.widgets.charts_panel import ChartsPanel
from qfid_tui.app.widgets.model_picker import ModelFilter, ModelPicker
from qfid_tui.app.widgets.options_panel import OptionsPanel
from qfid_tui.app.widgets.run_panel import RunPanel
from qfid_tui.app.widgets.settings_table import SettingsTable
from qfid_tui.state.workbench import WorkbenchState


class StatePanel(Protocol):
    """A panel that paints itself from the state."""

    def show(self, state: WorkbenchState) -> None:
        """Show a state; paints nothing if the panel shows it already."""


class WorkbenchBody(Container):
    """Models and options on the left; settings, run and charts on the right.

    Attributes:
        filter_field: The field for part of a model's name.
        picker: The list of models.
        options: The options.
        table: The table of settings.
        about: The line below the table.
        run_panel: The run.
        charts: The charts.
    """

    # Read here and not as the app's own style sheet, for which the first frame would wait.
    DEFAULT_CSS = (Path(__file__).parent.parent / "qfid.tcss").read_text("utf-8")
    # Its rules name classes of the screen.
    SCOPED_CSS: ClassVar[bool] = False

    class Filled(Message):
        """Every panel has its place."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.filter_field = ModelFilter(placeholder="part of a name", id="filter")
        self.picker = ModelPicker(id="models")
        self.options = OptionsPanel(id="options")
        self.table = SettingsTable(id="settings")
        self.about = AboutLine(id="about")
        self.run_panel = RunPanel(id="run")
        self.charts = ChartsPanel(id="charts")

    def compose(self) -> ComposeResult:
        """The panels."""
        with Horizontal(id="columns"):
            with Vertical(id="left"):
                yield self.filter_field
                yield self.picker
                yield self.options
            with Vertical(id="right"):
                yield self.table
                yield self.about
                yield self.run_panel
                yield self.charts

    def on_mount(self) -> None:
        """Post :class:`Filled` after the layout."""
        self.call_after_refresh(self.post_message, self.Filled())

    def values(self, focused: Widget | None) -> dict[str, Any]:
        """Fields of the state that the widgets own.

        Args:
            focused: The widget with the focus.
        """
        model = self.picker.model
        return {
            "focus": "" if focused is None else focused.id or "",
            "filter": self.filter_field.value,
            "model_cursor": None if model is None else model.name,
            "row_cursor": self.table.row_cursor,
            "option_cursor": self.options.cursor,
            "tall_rows": self.table.row_height() == 2,
        }

    @property
    def panels(self) -> tuple[StatePanel, ...]:
        """Every panel but the charts, those first whose cursors the others are about."""
        return (
            self.filter_field,
            self.picker,
            self.options,
            self.table,
            self.about,
            self.run_panel,
        )
