"""Makes the screens that the workbench opens. Imported when the first of them is asked for."""

from __future__ import annotations

from collections.abc import Callable

from qfid_tui.app.run_worker import Ending
from qfid_tui.app.screens.detail import DetailScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.app.screens.fault import Fault, FaultScreen
from qfid_tui.app.screens.inspector import InspectorScreen
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.workbench import WorkbenchState, exported_run, shown_run


def detail_screen(state: WorkbenchState) -> DetailScreen | None:
    """The charts and the tail of the setting with the cursor; None if it has no numbers."""
    shown = shown_run(state)
    if shown is None:
        return None
    return DetailScreen(shown.run, shown.setting, settings=shown.settings)


def inspector_screen(state: WorkbenchState) -> InspectorScreen | None:
    """The text with the KL of every token; None if the setting with the cursor has no numbers."""
    shown = shown_run(state)
    if shown is None:
        return None
    return InspectorScreen(shown.run, shown.setting, settings=shown.settings)


def export_screen(state: WorkbenchState, screenshot: Callable[[], str]) -> ExportScreen | None:
    """The formats of the report; None if there is no run."""
    run = exported_run(state)
    title = f"{state.choices.model}, {', '.join(state.comparison.settings)}"
    return None if run is None else ExportScreen(run, title, screenshot)


def fault_screen(comparison: Comparison, ending: Ending) -> FaultScreen:
    """What happened to a run that failed.

    Args:
        comparison: The comparison whose run failed.
        ending: How the child process ended.
    """
    failure = comparison.failure
    again = comparison.run
    if failure is not None:
        is_input = failure.exit_code == 2
        title = "This cannot be scored" if is_input else "The run failed"
        again = None if is_input else again
        message, hint = failure.message, failure.hint
    else:
        title = f"The scorer {ending.words}"
        message = f"The scorer {ending.words} without a report."
        hint = "`qfid doctor` looks at this machine"
        if ending.lacked_memory:
            hint = "if memory ran out: close other programs, or take shorter chunks"
    return FaultScreen(Fault(title, message, hint, ending.log, comparison.saved, again))
