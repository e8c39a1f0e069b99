"""What the workbench asks of the app around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.comparison import Comparison


class WorkbenchHost(Protocol):
    """The app, as the workbench knows it: it runs the scorer and owns files and keys.

    The app calls the workbench back: :meth:`WorkbenchScreen.device_known` when the probe has
    answered, :meth:`WorkbenchScreen.run_ended` when a child process has ended.
    """

    def start_choices(self) -> Choices:
        """The choices at the start: those of the command line and of the last session."""

    def take_keys(self, choices: Choices) -> Mapping[str, str]:
        """Bind the user's own keys.

        Returns:
            Default keys to the user's own keys, as the footer shows them.
        """

    def probe_device(self) -> None:
        """Start a child process that describes the device."""

    def score(self, request: Mapping[str, Any], comparison: Comparison) -> None:
        """Start a child process that scores; its events go into the comparison.

        Args:
            request: The job, see :meth:`qfid_tui.state.next_run.NextRun.request`.
            comparison: Receives the events.

        Raises:
            QfidError: The process cannot be started.
        """

    def allow_code(self, model: str, files: Mapping[str, str]) -> None:
        """Let Python files of a model's own run, until the app ends.

        Args:
            model: The model as a job names it.
            files: File name to SHA-256.
        """

    def stop_scoring(self, *, at_once: bool) -> bool:
        """Ask the child process to stop, or end it at once.

        Returns:
            Whether there is one.
        """

    def keep_choices(self) -> None:
        """Save the choices of the workbench for the next session."""

    def when_filled(self) -> None:
        """Called when the panels show their first state."""
