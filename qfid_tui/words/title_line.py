"""The title of the workbench: model, text, chunks and device.

Pure standard library; the widget makes every text inert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qfid_tui.state.text_names import text_name
from qfid_tui.words.model_list import shortened

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.workbench import WorkbenchState

_WIDE = 110


def title_text(state: WorkbenchState, width: int) -> str:
    """Model, text, chunks and device in one line; the model's owner is cut first.

    During a run they are those of the run, even if the user has chosen others since.

    Args:
        state: The state of the workbench.
        width: Cells of the line.
    """
    choices, comparison, machine = state.choices, state.comparison, state.device
    if comparison.is_active and comparison.job is not None:
        choices = choices.of_job(comparison.job)
    rest = f" · {text_name(choices.text)} · {chunks_text(choices)}"
    model = choices.model or "no model chosen"
    if machine is not None:
        full = f"{rest} · {comparison.arithmetic}"
        # The report names the arithmetic too; the model's own name is not cut for it.
        fits = len(model.rpartition("/")[2]) + len(full) + 8 <= width
        with_room = comparison.arithmetic and width >= _WIDE and fits
        rest = full if with_room else f"{rest} · {machine.device}"
    return shortened(model, max(8, width - len(rest) - 8)) + rest


def chunks_text(choices: Choices) -> str:
    """The number of chunks, their length, and which chunks of the text they are."""
    if choices.max_chunks is None:
        return f"all chunks of {choices.chunk_length}"
    return f"{choices.max_chunks} chunks of {choices.chunk_length}, {choices.chunks}"
