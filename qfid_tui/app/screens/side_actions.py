"""The actions of the workbench that open another screen, or a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfid_tui.app.screens.side_screens import SideScreens


class SideActions:
    """Actions that :class:`~qfid_tui.app.screens.side_screens.SideScreens` carries out."""

    @property
    def side(self) -> SideScreens:
        """Opens the screens."""
        raise NotImplementedError

    def action_copy(self) -> None:
        """Copy the command line that uses the setting with the cursor."""
        self.side.copy_command()

    def action_help(self) -> None:
        """Explain the screen and its numbers."""
        self.side.open_help()

    def action_add(self) -> None:
        """Type a setting."""
        self.side.ask_setting()

    def action_detail(self) -> None:
        """Open the charts and the tail of the setting with the cursor."""
        self.side.open_detail()

    def action_grid(self) -> None:
        """Open weights beside KV settings: what to run."""
        self.side.open_grid()

    def action_joined(self) -> None:
        """Set the texts and lengths side by side."""
        self.side.open_joined()

    def action_inspect(self) -> None:
        """Open the text with the KL of every token."""
        self.side.open_inspector()

    def action_export(self) -> None:
        """Write the report to a file."""
        self.side.open_export()
