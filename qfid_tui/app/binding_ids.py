"""The ids under which keys of the user's own can be given, those of the app itself left out.

Imports every screen.
"""

from __future__ import annotations

from collections.abc import Iterator

from textual.binding import Binding
from textual.dom import DOMNode

from qfid_tui.app.screens.compared_runs import ComparedRunsScreen
from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.app.screens.detail import DetailScreen, HeadlinePanel
from qfid_tui.app.screens.export import ExportScreen, FormatList
from qfid_tui.app.screens.fault import FaultScreen
from qfid_tui.app.screens.grid import GridScreen
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.screens.history import HistoryScreen
from qfid_tui.app.screens.inspector import InspectorScreen
from qfid_tui.app.screens.prompt import PromptScreen
from qfid_tui.app.screens.task_results import TaskResultsScreen
from qfid_tui.app.screens.workbench import WorkbenchScreen
from qfid_tui.app.widgets.chart import Chart
from qfid_tui.app.widgets.grid_table import GridTable
from qfid_tui.app.widgets.lines_panel import LinesPanel
from qfid_tui.app.widgets.model_picker import ModelFilter, ModelPicker
from qfid_tui.app.widgets.options_panel import OptionsPanel
from qfid_tui.app.widgets.rows import Rows
from qfid_tui.app.widgets.run_table import RunTable
from qfid_tui.app.widgets.settings_table import SettingsTable
from qfid_tui.app.widgets.tail_list import TailList
from qfid_tui.app.widgets.token_text import TokenText

_OWNERS: tuple[type[DOMNode], ...] = (
    *(WorkbenchScreen, ConfirmScreen, DetailScreen, HeadlinePanel, ExportScreen),
    *(FormatList, FaultScreen, HelpScreen, HistoryScreen, InspectorScreen, PromptScreen),
    *(ComparedRunsScreen, GridScreen, GridTable, LinesPanel, TaskResultsScreen),
    *(Chart, ModelFilter, ModelPicker, OptionsPanel, Rows, RunTable, SettingsTable),
    *(TailList, TokenText),
)


def binding_ids() -> frozenset[str]:
    """Return the ids of all bindings of screens and widgets."""
    return frozenset(_ids())


def _ids() -> Iterator[str]:
    for owner in _OWNERS:
        for base in owner.__mro__:
            for binding in Binding.make_bindings(base.__dict__.get("BINDINGS", ())):
                if binding.id is not None:
                    yield binding.id
