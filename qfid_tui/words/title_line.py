"""The title of the workbench: model, text, chunks and device.

Pure standard library; the widget makes every text inert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qfid_tui.state.text_names import text_with_roles
from qfid_tui.words.model_list import shortened
from scorer.report.formats.inline import plural

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.workbench import WorkbenchState

_WIDE = 110


def title_text(state: WorkbenchState, width: int) -> str:
    """Model, text, chunks and device in one line.

    Of what has no room the arithmetic goes first, then the model's owner, the device and the
    chunks.

    During a run they are those of the run, even if the user has chosen others since. The number
    of chunks is that of the run on the screen as long as no other is asked for: a text may have
    fewer chunks than were asked for.

    Args:
        state: The state of the workbench.
        width: Cells of the line.
    """
    choices, comparison, machine = state.choices, state.comparison, state.device
    scored = in_text = 0
    if comparison.job is not None:
        of_run = choices.of_job(comparison.job)
        if comparison.is_active:
            choices = of_run
        if _asked(choices) == _asked(of_run):
            scored, in_text = comparison.planned_chunks, comparison.text_chunks
    text = f" · {text_with_roles(choices.text, choices.roles)}"
    rest = f"{text} · {chunks_text(choices, scored, in_text)}"
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


def chunks_text(choices: Choices, scored: int = 0, in_text: int = 0) -> str:
    """The number of chunks, their length, and which chunks of the text they are.

    Args:
        choices: What is asked for.
        scored: Chunks of the run; 0 before they are known.
        in_text: Chunks of the whole text; 0 where that is not known.
    """
    length = choices.chunk_length
    if scored and scored in (1, in_text):
        whole = "" if scored == 1 else "all "
        return f"{whole}{plural(scored, 'chunk')} of {length}"
    if choices.until_settled and scored:
        return f"{plural(scored, 'chunk')} of {length}, {choices.chunks}"
    if choices.max_chunks is None:
        return f"all {f'{scored} ' if scored else ''}chunks of {length}"
    return f"{plural(scored or choices.max_chunks, 'chunk')} of {length}, {choices.chunks}"


def _asked(choices: Choices) -> tuple[object, ...]:
    """What the number of chunks of a run depends on."""
    return (
        *(choices.model, choices.revision, choices.text, choices.protocol),
        *(choices.chunk_length, choices.max_chunks, choices.chunks, choices.roles),
    )
