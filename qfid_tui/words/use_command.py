"""The command line that uses the setting with the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorer.common.errors import InputError
from scorer.fit.prefill_peak import DEFAULT_STEP
from scorer.report.commands import generate_command, plain_command
from scorer.report.deployment import RUNS_GGUF, setting_commands
from scorer.report.formats.inline import plural
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import WeightsSetting

if TYPE_CHECKING:
    from qfid_tui.state.table_rows import TableRow
    from qfid_tui.state.workbench import WorkbenchState


def use_command(state: WorkbenchState) -> str:
    """The ``mlx_lm.generate`` line that uses the setting with the cursor.

    The row of 16 bit has the line without a quantized cache.

    Raises:
        InputError: There is none: no model, no setting, or mlx-lm cannot run it.
    """
    model, row = state.choices.model, state.row
    if model is None or row is None:
        raise InputError("no setting is under the cursor", "move to one in the table of settings")
    if model == "demo":
        raise InputError("mlx-lm does not know the built-in model", "choose another model")
    if not row.name:
        return plain_command(model)
    setting = parse_setting(row.name)
    if isinstance(setting, WeightsSetting):
        return _weights_commands(state, row, model)
    if setting.path != "deployed":
        raise InputError(
            f"no runtime computes {row.name}: it is the quantizer alone",
            f"the line that uses {row.name.partition('~')[0]} is in the row of that setting",
        )
    if setting.kv_method.bits is None:
        raise InputError(
            f"mlx_lm.generate has no options for {row.name}",
            "it takes one width for keys and values",
        )
    command = generate_command(model, setting)
    if command is None:
        raise InputError(
            f"mlx_lm.generate has no options for {row.name}", "it knows MLX's own quantizer only"
        )
    if _cannot_run(state, row):
        raise InputError(f"mlx-lm cannot run {row.name} on this model", "choose another setting")
    return command


def copied_text(command: str) -> str:
    """What has been copied, in one line."""
    first, *others = command.splitlines()
    return f"{first} and {plural(len(others), 'more line')}" if others else first


def _weights_commands(state: WorkbenchState, row: TableRow, model: str) -> str:
    """The lines that make the weights of a row, if they are made, and generate with them."""
    place = state.grid.place_of(row.name)
    placed = None if place is None else state.grid.cell(*place).placed
    step = DEFAULT_STEP if placed is None else placed.step
    commands = setting_commands(model, row.name, step)
    if commands is not None and RUNS_GGUF in commands.notes:
        raise InputError(
            f"mlx_lm.generate does not run GGUF files such as {row.shown_name}",
            "llama.cpp does: llama-server -m FILE",
        )
    if commands is None or commands.generate is None:
        raise InputError(
            f"mlx_lm.generate has no options for {row.shown_name}",
            "it takes one width for keys and values",
        )
    if _cannot_run(state, row):
        raise InputError(
            f"mlx-lm cannot run {row.shown_name} on this model", "choose another setting"
        )
    return "\n".join(filter(None, (commands.convert, commands.generate)))


def _cannot_run(state: WorkbenchState, row: TableRow) -> bool:
    """Whether the run on the screen has found that mlx-lm cannot run the setting of a row."""
    result = None if row.run else state.comparison.settings.get(row.name)
    return result is not None and result.row is not None and not result.row.runnable_by_mlx_lm
