"""What a list of runs says of one of them. Pure standard library."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

State = Literal["finished", "unfinished", "running", "broken"]


class RunInfo(NamedTuple):
    """One line of the list of runs: a tuple, as thousands are made for one list.

    Attributes:
        id: Name of the run's folder.
        folder: The folder.
        state: ``running`` while a living process writes to it; ``broken`` where it cannot be
            read.
        reason: Why it is broken, else "".
        model: The model as the job names it; "" for a broken run, as are the next two.
        settings: The settings in notation, in the order of the report.
        corpus: Name or path of the text.
        chunk_length: Tokens of a chunk; None of a broken run.
        created: When the run began, ISO 8601, UTC.
        chunks_done: Stored (setting, chunk) pairs, damaged ones not yet told apart; settings that
            share their arithmetic share what is stored.
        chunks_planned: Pairs that the job asks for; None where the facts name no chunks.
        failed: Settings that failed.
        read_only: Why this version can read the run and not go on with it; "" where it can.
        conditions: Digest of what a job must share with the run's own to be held by it too, see
            :attr:`scorer.spec.job.Job.conditions`; "" for a broken run, as is the last but one.
        revision: Commit of the model; None where it has none.
        files: Digest of the states of the model's files, see
            :func:`scorer.models.file_stamp.digest_of`.
        roles: The roles of a chat text whose tokens count, with commas between; "" for all tokens.
        is_whole: Whether every file that this rests on could be opened. One that could not may be
            read the next time.
    """

    id: str
    folder: str
    state: State
    reason: str = ""
    model: str = ""
    settings: tuple[str, ...] = ()
    corpus: str = ""
    chunk_length: int | None = None
    created: str = ""
    chunks_done: int = 0
    chunks_planned: int | None = None
    failed: tuple[str, ...] = ()
    read_only: str = ""
    conditions: str = ""
    revision: str | None = None
    files: str = ""
    roles: str = ""
    is_whole: bool = True

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)
