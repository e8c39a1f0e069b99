"""What the parts of the workbench ask of the screen that owns its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from qfid_tui.state.workbench import WorkbenchState
    from qfid_tui.state.workbench_changes import Outcome, Severity


class StateOwner(Protocol):
    """The only owner of the state. Call it on the app's thread."""

    @property
    def state(self) -> WorkbenchState:
        """What the workbench shows now."""

    def update(self, state: WorkbenchState) -> None:
        """Take the next state and show it."""

    def take(self, outcome: Outcome) -> None:
        """Take the next state and show its notice."""

    def tell(self, text: str, severity: Severity = "information", seconds: float = 5.0) -> None:
        """Show a notice for some seconds; nothing for an empty text."""
