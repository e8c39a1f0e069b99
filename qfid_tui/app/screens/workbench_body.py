"""The workbench's panels: imported and mounted after the first paint."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container, Grid, Horizontal, Vertical
from textual.widgets import Static

from qfid_tui.app.widgets.chunk_chart import ChunkChart
from qfid_tui.app.widgets.depth_chart import DepthChart
from qfid_tui.app.widgets.model_picker import ModelFilter, ModelPicker
from qfid_tui.app.widgets.options_panel import OptionsPanel
from qfid_tui.app.widgets.run_panel import RunPanel
from qfid_tui.app.widgets.scatter import Scatter
from qfid_tui.app.widgets.settings_table import SettingsTable


class WorkbenchBody(Container):
    """Models and options at the left, settings, run and charts at the right."""

    # Read here and not as the app's own style sheet, for which the first frame would wait.
    DEFAULT_CSS = (Path(__file__).parent.parent / "qfid.tcss").read_text("utf-8")
    # Its rules ask for classes of the screen.
    SCOPED_CSS: ClassVar[bool] = False

    def compose(self) -> ComposeResult:
        """The panels."""
        with Horizontal(id="columns"):
            with Vertical(id="left"):
                yield ModelFilter(placeholder="part of a name", id="filter")
                yield ModelPicker(id="models")
                yield OptionsPanel(id="options")
            with Vertical(id="right"):
                yield SettingsTable(id="settings")
                yield Static(id="about")
                yield RunPanel(id="run")
                with Grid(id="charts"):
                    yield Scatter(id="scatter", classes="panel")
                    yield ChunkChart(id="chunks", classes="panel")
                    yield DepthChart(id="depth", classes="panel")

    def on_mount(self) -> None:
        """Tell the screen once everything has its place."""
        from qfid_tui.app.screens.workbench import WorkbenchScreen

        screen = self.screen
        assert isinstance(screen, WorkbenchScreen)
        self.call_after_refresh(screen.body_mounted)
