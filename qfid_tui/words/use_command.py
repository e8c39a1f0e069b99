"""The command line that uses the setting with the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorer.common.errors import InputError
from scorer.report.commands import generate_command
from scorer.spec.settings.registry import parse_setting

if TYPE_CHECKING:
    from qfid_tui.state.workbench import WorkbenchState


def use_command(state: WorkbenchState) -> str:
    """The ``mlx_lm.generate`` line that uses the setting with the cursor.

    Raises:
        InputError: There is none: no model, no setting, or mlx-lm has no words for it.
    """
    model, row = state.choices.model, state.row
    if model is None or row is None or not row.name:
        raise InputError("no setting is under the cursor", "move to one in the table of settings")
    if model == "demo":
        raise InputError("mlx-lm does not know the built-in model", "choose another model")
    command = generate_command(model, parse_setting(row.name))
    if command is None:
        raise InputError(
            f"mlx_lm.generate has no options for {row.name}",
            "it takes one width for keys and values",
        )
    return command
