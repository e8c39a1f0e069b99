"""The Python interface for several texts and lengths: a run each, and a report that joins them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from scorer.api_runs import RanksWanted, Shard, located, run_job
from scorer.common.errors import InputError, Interrupted, QfidError
from scorer.common.python_hints import in_python
from scorer.common.warning_categories import RunWarning
from scorer.device.forks import refuse_after_fork
from scorer.spec.corpora import NAMED, listed_lengths
from scorer.spec.events import Event
from scorer.spec.job import ChunkChoice, CorpusSpec, Job, Kernel, TextProtocol, default_chunks
from scorer.spec.roles import roles_of
from scorer.spec.settings.base import ComputePath
from scorer.spec.settings.registry import SettingsAsked, settings_asked

if TYPE_CHECKING:
    from scorer.report.joined import JoinedReport, NotScored

Text = str | PathLike[str]
"""A name of a text, or the path of a file."""


def measure_over_texts(
    model: str | PathLike[str],
    *,
    settings: SettingsAsked,
    corpora: Sequence[Text] | Text,
    chunk_lengths: Sequence[int] | int | str = 512,
    kv_group_size: int | None = None,
    quantize_start: int = 0,
    path: ComputePath = "deployed",
    kernel: Kernel = "auto",
    control: bool = False,
    protocol: TextProtocol = "mqf",
    chunks: ChunkChoice | None = None,
    max_chunks: int | None = None,
    roles: Sequence[str] | str | None = None,
    until_settled: bool = False,
    revision: str | None = None,
    allow_custom_code: bool = False,
    force: bool = False,
    ranks: RanksWanted = 1,
    shard: Shard | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> JoinedReport:
    """Measure settings on several texts, each at several lengths.

    Each text at each length is a saved run of its own, scored one after the other. All texts are
    read and tokenized before anything is scored. What cannot be scored costs the others nothing:
    it stands in ``not_scored`` of the report, and a RunWarning tells it.

    Args:
        model: As of :func:`scorer.measure_kv_fidelity`.
        settings: Settings or their notations, such as ``k8v4``, ``w4`` or ``w4+8``; or a string
            that lists them, ``"8,4"``.
        corpora: Texts: ``wikitext2``, ``builtin``, ``code``, ``languages``, files, or
            ``hf:org/name:split:column`` for data sets of the Hub. A string is one text, also with
            commas in it.
        chunk_lengths: Tokens per chunk; or a string that lists them, ``"512,4096"``.
        kv_group_size: As of :func:`scorer.measure_kv_fidelity`, as are all others.
        quantize_start: See there.
        path: See there.
        kernel: See there.
        control: See there.
        protocol: See there.
        chunks: See there.
        max_chunks: See there; of each text at each length.
        roles: See there; of every text, so that all are chats.
        until_settled: See there; each text at each length stops by itself.
        revision: See there.
        allow_custom_code: See there.
        force: See there.
        ranks: See there.
        shard: See there.
        on_event: See there; ``Hello`` begins the events of the next run.

    Returns:
        The joined report: ``.rows``, one for each text, length and setting; ``.settings`` with a
        verdict on each text and over all; ``.runs``; ``.to_json()``.

    Raises:
        InputError: The request cannot be scored, or none of the texts can.
        QfidError: As of :func:`scorer.measure_kv_fidelity`, where nothing was scored. Where memory
            ran out or a setting failed, the other texts are scored first.

    Warns:
        RunWarning: As of :func:`scorer.measure_kv_fidelity`, and for each text that was not scored.
        ReportWarning: As of :func:`scorer.measure_kv_fidelity`.
    """
    from scorer.engine.text_check import checked_texts
    from scorer.report.joined import NotScored
    from scorer.report.joining import joined
    from scorer.report.standings import NamedReport

    refuse_after_fork()
    asked = settings_asked(settings, group_size=kv_group_size, start=quantize_start, path=path)
    texts = [corpora] if isinstance(corpora, str | PathLike) else list(corpora)
    if isinstance(chunk_lengths, str):
        chunk_lengths = listed_lengths(chunk_lengths)
    lengths = [chunk_lengths] if isinstance(chunk_lengths, int) else list(chunk_lengths)
    if not texts or not lengths:
        raise InputError("no text or no length is named", "corpora=['wikitext2', 'code']")
    not_scored: list[NotScored] = []
    first: QfidError | None = None

    def leave_out(text: str, length: int, error: QfidError) -> None:
        nonlocal first
        error.hint = in_python(error.hint)
        first = first or error
        not_scored.append(NotScored.of(text, length, error))
        warnings.warn(f"not scored: `{text}` at {length} tokens: {error}", RunWarning, stacklevel=3)

    jobs: list[Job] = []
    for text in dict.fromkeys(_named(text) for text in texts):
        for length in dict.fromkeys(lengths):
            try:
                jobs.append(
                    Job(
                        model=located(model),
                        settings=asked,
                        corpus=CorpusSpec(text),
                        revision=revision,
                        protocol=protocol,
                        chunk_length=length,
                        chunks=chunks
                        or default_chunks(protocol, max_chunks, until_settled=until_settled),
                        max_chunks=max_chunks,
                        roles=roles_of(roles),
                        until_settled=until_settled,
                        kernel=kernel,
                        control=control,
                        force=force,
                    )
                )
            except InputError as error:
                leave_out(text, length, error)
    reports: list[NamedReport] = []
    found = checked_texts(jobs, allow_custom_code=allow_custom_code) if jobs else []
    for job, checked in zip(jobs, found, strict=True):
        if isinstance(checked, QfidError):
            leave_out(job.corpus.source, job.chunk_length, checked)
            continue
        try:
            report, planned = run_job(
                checked, allow_custom_code, on_event, ranks=ranks, shard=shard
            )
        except Interrupted:
            raise
        except QfidError as error:
            leave_out(job.corpus.source, job.chunk_length, error)
        else:
            reports.append(NamedReport(planned.run, report))
    if not reports:
        assert first is not None
        raise first
    return joined(reports, not_scored)


def _named(text: Text) -> str:
    """A text as a job names it; a path object is a file, whatever it is called."""
    if not isinstance(text, str) or text in NAMED:
        return located(text)
    return text
