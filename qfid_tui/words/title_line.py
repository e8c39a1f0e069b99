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
    """Model, text, chunks and device in one line.

    Of what has no room the arithmetic goes first, then the model's owner, the device and the
    chunks.

    During a run they are those of the run, even if the user has chosen others since.

    Args:
        state: The state of the workbench.
        width: Cells of the line.
    """
    choices, comparison, machine = state.choices, state.comparison, state.device
    if comparison.is_active and comparison.job is not None:
        choices = choices.of_job(comparison.job)
    text = f" · {text_name(choices.text)}"
    rest = f"{text} · {chunks_text(choices)}"
    forms = [rest, rest.removesuffix(f", {choices.chunks}"), text]
    if machine is not None:
        forms.insert(0, f"{rest} · {machine.device}")
        if comparison.arithmetic and width >= _WIDE:
            # The report names the arithmetic too.
            forms.insert(0, f"{rest} · {comparison.arithmetic}")
    model = choices.model or "no model chosen"
    own = len(model.rpartition("/")[2])
    kept = next((form for form in forms if own + len(form) + 8 <= width), text)
    return shortened(model, max(8, width - len(kept) - 8)) + kept


def chunks_text(choices: Choices) -> str:
    """The number of chunks, their length, and which chunks of the text they are."""
    if choices.max_chunks is None:
        return f"all chunks of {choices.chunk_length}"
    return f"{choices.max_chunks} chunks of {choices.chunk_length}, {choices.chunks}"
