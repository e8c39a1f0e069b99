"""What the workbench shows: painted from the comparison and the choices, from a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from qfid_tui.app.screens.side_screens import OpensScreens
from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from textual.timer import Timer

    from qfid_tui.app.run_worker import Ending
    from qfid_tui.app.widgets.model_picker import ModelPicker
    from qfid_tui.app.widgets.options_panel import OptionsPanel
    from qfid_tui.app.widgets.settings_table import SettingsTable
    from qfid_tui.state.comparison import Comparison
    from qfid_tui.state.table_rows import EarlierSetting, TableRow
    from scorer.models.info import ModelInfo

_TICKS_PER_CHART = 4
# A key that is held down repeats sooner: charts are drawn where the cursor comes to rest.
_CHARTS_FOLLOW = 0.04


class PaintsWorkbench(OpensScreens):
    """Shows what the app's plain models hold.

    Attributes:
        is_filled: The panels are mounted.
        unfinished: Id of the newest run of the model that lacks something; None for none.
    """

    def __init__(self) -> None:
        super().__init__()
        self._models: dict[str, ModelInfo] = {}
        self._earlier: list[EarlierSetting] = []
        self._rows: list[TableRow] = []
        self._painted: tuple[Comparison, int] | None = None
        self._texts: dict[str, str] = {}
        self._possible: tuple[object, ...] = ()
        self._ticks = 0
        self._follow: Timer | None = None
        self.is_filled = False
        self.unfinished: str | None = None

    @property
    def picker(self) -> ModelPicker:
        """The list of models."""
        from qfid_tui.app.widgets.model_picker import ModelPicker

        return self.query_one("#models", ModelPicker)

    @property
    def table(self) -> SettingsTable:
        """The table of settings."""
        from qfid_tui.app.widgets.settings_table import SettingsTable

        return self.query_one("#settings", SettingsTable)

    @property
    def _options(self) -> OptionsPanel:
        from qfid_tui.app.widgets.options_panel import OptionsPanel

        return self.query_one("#options", OptionsPanel)

    @property
    def model(self) -> ModelInfo | None:
        """What is known of the chosen model."""
        return self._models.get(self.qfid.choices.model or "")

    @property
    def highlighted(self) -> ModelInfo | None:
        """The model with the cursor while none is chosen, for a look at its costs."""
        if self.qfid.choices.model is not None or self.picker.model is None:
            return None
        return self._models.get(self.picker.model.name)

    def paint_news(self) -> None:
        """Paint if anything has changed, charts more seldom; called from a timer."""
        comparison = self.qfid.comparison
        self._ticks += 1
        if (comparison, comparison.version) != self._painted or comparison.phase == "scoring":
            self.paint(charts=self._ticks % _TICKS_PER_CHART == 0 or not comparison.is_active)

    def paint(self, *, charts: bool = True) -> None:
        """Show what is chosen and scored now."""
        from qfid_tui.state.table_rows import table_rows
        from qfid_tui.words import workbench_text as words

        if not self.is_filled:
            return
        app = self.qfid
        comparison, choices = app.comparison, app.choices
        self._painted = comparison, comparison.version
        self._say("title", words.title_text(choices, comparison, app.device, self.size.width))
        model = self.model or self.highlighted
        geometry = None if model is None else model.geometry
        self._rows = table_rows(choices, comparison, geometry, self._earlier)
        self.table.show(self._rows)
        self._options.show(choices)
        self.paint_about()
        self._paint_run()
        if charts:
            self.paint_charts()
        self.paint_keys()

    def _say(self, where: str, text: str) -> None:
        """Put a line somewhere; painting one that stands there already would cost a layout."""
        if self._texts.get(where) != text:
            self._texts[where] = text
            content = Content(inert(text))
            if where == "title":
                content = Content.assemble((" qfid ", "bold reverse"), "  ", content)
            self.query_one(f"#{where}", Static).update(content, layout=False)

    def paint_keys(self) -> None:
        """Let the footer follow what can be done, which changes seldom."""
        actions = ("run", "stop", "tick", "detail", "inspect", "export", "resume", "back")
        possible = (self.focused, *(self.check_action(name, ()) for name in actions))
        if possible != self._possible:
            self._possible = possible
            self.refresh_bindings()

    def paint_about(self) -> None:
        """Say what the row or the option with the cursor is."""
        from qfid_tui.words import workbench_text as words

        if self.focused is self._options:
            text = self._options.option.explained
        elif self.focused is self.picker:
            text = words.about_models(self._models, self.qfid.key_names)
        elif self.focused is not None and self.focused.id == "filter":
            text = words.ABOUT_FILTER
        else:
            text = words.about_row(
                self.table.row,
                with_costs=self.table.has_numbers,
                with_note=self.table.row_height() == 1,
                width=self.query_one("#about").content_size.width,
                names=self.qfid.key_names,
            )
        self._say("about", text)

    def _paint_run(self) -> None:
        from qfid_tui.app.widgets.run_panel import RunPanel
        from qfid_tui.words import workbench_text as words

        comparison = self.qfid.comparison
        lines = words.run_lines(
            self.qfid.choices,
            comparison,
            self.model or self.highlighted,
            self.qfid.device,
            self.unfinished,
            self.qfid.key_names,
        )
        fraction = comparison.fraction if comparison.is_active else None
        self.query_one("#run", RunPanel).show(words.run_title(comparison), lines, fraction)

    def paint_charts_soon(self) -> None:
        """Let the charts follow the cursor once it rests: a moving one would wait for them."""
        if self._follow is not None:
            self._follow.stop()
        self._follow = self.set_timer(_CHARTS_FOLLOW, self.paint_charts)

    def paint_charts(self) -> None:
        """Give the charts that are shown what they show."""
        from qfid_tui.app.widgets.chunk_chart import ChunkChart
        from qfid_tui.app.widgets.depth_chart import DepthChart
        from qfid_tui.app.widgets.scatter import Scatter
        from qfid_tui.state import chart_points

        comparison = self.qfid.comparison
        row = self.looked_at()
        name = "" if row is None else row.name
        scatter = self.query_one("#scatter", Scatter)
        chunks = self.query_one("#chunks", ChunkChart)
        depth = self.query_one("#depth", DepthChart)
        if scatter.display:
            scatter.show(chart_points.scatter_points(self._rows))
        if chunks.display:
            chunks.show(name, chart_points.chunk_points(comparison, row))
        if depth.display:
            depth.show(name, chart_points.depth_spans(comparison, row))

    def looked_at(self) -> TableRow | None:
        """The row that charts, detail and inspector are about."""
        from qfid_tui.state.chart_points import chart_row

        return chart_row(self._rows, self.table.row)

    def earlier(self) -> list[EarlierSetting]:
        """Settings of earlier runs in the table."""
        return self._earlier

    def machine_known(self) -> None:
        """The probe has answered."""
        self.paint()

    def run_ended(self, ending: Ending) -> None:
        """The child is gone: show how it ended."""
        self.paint()
        comparison = self.qfid.comparison
        for name, result in comparison.settings.items():
            if result.failure is not None:
                text = f"setting {name} failed: {result.failure}"
                self.notify(inert(text), severity="error", markup=False, timeout=12)
        if comparison.phase == "failed":
            self.show_fault(ending)
