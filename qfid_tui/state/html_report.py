"""The page of a saved run: its report, and its worst passages with their text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from qfid_tui.pictures.token_glyphs import glyphs_of_tokens, inert_text
from qfid_tui.state.run_tokens import Spelling, spelling_of
from scorer.common.errors import InputError
from scorer.report.formats.html import to_html
from scorer.report.passages import Passage, Passages, Wanted, worst_passages
from scorer.report.saved_report import EDITED

if TYPE_CHECKING:
    from scorer.report.tree import Report
    from scorer.runs.run import Run


def html_report(run: Run, report: Report) -> str:
    """The page of a run.

    Its positions are read and its tokens spelled, in a process of their own; where the tokenizer is
    gone, or another, the page shows ids.

    Args:
        run: The run.
        report: Its report.

    Raises:
        InputError: Parts of the report do not belong together: someone has edited it.
    """
    passages = worst_passages(run, report)
    if passages.ids:
        passages = with_text(passages, spelling_of(run, passages.ids))
    try:
        return to_html(report, passages)
    except EDITED as error:
        raise InputError(
            f"no page can be made of run `{run.id}`: parts of its report do not belong together",
            f"`qfid report {run.id}` prints it as Markdown",
        ) from error


def with_text(passages: Passages, spelling: Spelling) -> Passages:
    """The passages with the text of their tokens.

    Args:
        passages: Passages of a run.
        spelling: What its tokens stand for.
    """
    if not spelling.pieces:
        return replace(passages, notice=f"{spelling.notice}." if spelling.notice else "")
    found = {
        setting: tuple(_with_text(passage, spelling) for passage in each)
        for setting, each in passages.found.items()
    }
    return replace(passages, found=found)


def _with_text(passage: Passage, spelling: Spelling) -> Passage:
    ids = np.array([token.token for token in passage.tokens], np.int32)
    joined = np.arange(len(ids)) > 0
    glyphs = glyphs_of_tokens(ids, spelling.pieces, joined)
    tokens = tuple(replace(token, text=glyphs.text(i)) for i, token in enumerate(passage.tokens))
    return replace(
        passage,
        tokens=tokens,
        reference=_wanted(passage.reference, spelling),
        quantized=_wanted(passage.quantized, spelling),
    )


def _wanted(wanted: Wanted, spelling: Spelling) -> Wanted:
    piece = spelling.pieces.get(wanted.token, b"")
    return replace(wanted, text=inert_text(piece) if piece else "")
