"""The Python interface: measures KV settings of a model in the calling process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Literal, overload

from scorer.api_runs import RanksWanted, Shard, by_setting, located, run_job
from scorer.common.errors import InputError, QfidError
from scorer.common.python_hints import in_python
from scorer.device.forks import refuse_after_fork
from scorer.spec.events import Event
from scorer.spec.job import (
    ChunkChoice,
    CorpusSpec,
    Job,
    Kernel,
    TextProtocol,
    default_chunks,
)
from scorer.spec.roles import roles_of
from scorer.spec.settings.base import ComputePath, Setting
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import SettingsAsked, settings_asked

if TYPE_CHECKING:
    from scorer.report.setting_report import SettingReport


@overload
def measure_kv_fidelity(
    model: str | PathLike[str],
    *,
    kv_bits: int | None = None,
    kv_group_size: int | None = None,
    setting: Setting | str | int | None = None,
    settings: None = None,
    quantize_start: int = 0,
    path: ComputePath = "deployed",
    kernel: Kernel = "auto",
    control: bool = False,
    corpus: str | PathLike[str] | None = None,
    roles: Sequence[str] | str | None = None,
    protocol: TextProtocol = "mqf",
    chunk_length: int = 512,
    chunks: ChunkChoice | None = None,
    max_chunks: int | None = None,
    until_settled: bool = False,
    revision: str | None = None,
    allow_custom_code: bool = False,
    force: bool = False,
    ranks: RanksWanted = 1,
    shard: Shard | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> SettingReport: ...


@overload
def measure_kv_fidelity(
    model: str | PathLike[str],
    *,
    settings: SettingsAsked,
    kv_group_size: int | None = None,
    quantize_start: int = 0,
    path: ComputePath = "deployed",
    kernel: Kernel = "auto",
    control: bool = False,
    corpus: str | PathLike[str] | None = None,
    roles: Sequence[str] | str | None = None,
    protocol: TextProtocol = "mqf",
    chunk_length: int = 512,
    chunks: ChunkChoice | None = None,
    max_chunks: int | None = None,
    until_settled: bool = False,
    revision: str | None = None,
    allow_custom_code: bool = False,
    force: bool = False,
    ranks: RanksWanted = 1,
    shard: Shard | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> list[SettingReport]: ...


def measure_kv_fidelity(
    model: str | PathLike[str],
    *,
    kv_bits: int | None = None,
    kv_group_size: int | None = None,
    setting: Setting | str | int | None = None,
    settings: SettingsAsked | None = None,
    quantize_start: int = 0,
    path: ComputePath = "deployed",
    kernel: Kernel = "auto",
    control: bool = False,
    corpus: str | PathLike[str] | None = None,
    roles: Sequence[str] | str | None = None,
    protocol: TextProtocol = "mqf",
    chunk_length: int = 512,
    chunks: ChunkChoice | None = None,
    max_chunks: int | None = None,
    until_settled: bool = False,
    revision: str | None = None,
    allow_custom_code: bool = False,
    force: bool = False,
    ranks: RanksWanted = 1,
    shard: Shard | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> SettingReport | list[SettingReport]:
    """Measure how far a quantized KV cache drifts from full precision.

    The model runs with teacher forcing on fixed chunks of real text, in this process, or on a GPU
    in a child unless ``MLX_ENABLE_TF32=0`` is set; nothing is generated. A child process reads text
    and tokenizer, bounded in time and memory. The run is saved. N
    settings are one run, which takes N + 1 forward passes a batch of chunks: the full-precision
    model runs once for all of them.

    Args:
        model: Repo id in the local Hugging Face cache, path of a folder, or ``demo``. A
            ``pathlib.Path`` is always a folder.
        kv_bits: Bits per element of keys and values: 2, 3, 4, 5, 6 or 8.
        kv_group_size: Elements that share a scale and a bias: 32, 64 or 128; None for 64, or 32
            where 64 does not divide the model's heads.
        setting: A setting, or its notation such as ``k8v4:32@512``, instead of ``kv_bits``.
        settings: Several of them, instead of ``kv_bits`` and ``setting``; or a string that lists
            them as on the command line, ``"8,4:32,k8v4"``.
        quantize_start: 0 for stress; n > 0 for deployment, see
            :class:`~scorer.spec.settings.kv.KVSetting`. Like ``kv_group_size`` and ``path`` it
            holds for notations that do not name one.
        path: ``deployed`` or ``dequantized``.
        kernel: ``auto``, or ``mlx-lm`` for mlx-lm's cache class and attention.
        control: Also score the dequantized path of a deployed setting.
        corpus: ``wikitext2``, ``builtin`` or a file; None for the model's default. A
            ``pathlib.Path`` is always a file.
        roles: Of a chat text, the roles whose tokens count: ``["assistant", "tool_call"]``, or
            as on the command line; None for every token.
        protocol: ``mqf`` or ``llama.cpp``.
        chunk_length: Tokens per chunk.
        chunks: ``first``, ``spread`` or ``random:SEED``; None for ``spread`` where ``max_chunks``
            is given, but ``first`` under ``llama.cpp``, and ``random:1`` with ``until_settled``.
        max_chunks: Maximum number of chunks; None for the whole corpus. It is always a run of its
            own; :func:`resume_run` adds chunks to one.
        until_settled: Stop, for all settings together, once each is settled as good or as worse by
            simultaneous intervals; ``.intervals`` are those then.
        revision: Commit, branch or tag of the repo.
        allow_custom_code: Allow the model's own Python files to run, as they are now; a warning
            names them. Nothing remembers it.
        force: Score even if memory seems insufficient.
        ranks: How many processes of this machine share the run, one for each NVIDIA GPU; or the
            path of a host file of ``mlx.launch``, whose machines share it, this one first. With
            several the run is in child processes. No number depends on it.
        shard: ``tensor`` or ``pipeline`` to split one model over the ranks, where it is too large
            for one; the figures differ by rounding. None for a model on each.
        on_event: Called with every event of the run, in order, in the calling thread, while the
            run waits: one of the dataclasses of :mod:`scorer.spec.events`, ``Hello`` first and
            ``Finished`` or ``Failed`` last. A chunk is saved before its ``ChunkScored`` comes.
            What it returns is ignored. An exception that it raises ends the run, as Ctrl-C does,
            and is raised from here; what is scored stays saved, and :func:`resume_run` goes on.

    Returns:
        The setting's report: ``.kl.mean`` (nats), ``.flip_rate``, ``.verdict``,
        ``.perplexity_delta``, ``.intervals``, ``.run_id`` and others; ``.to_json()`` returns every
        number. With ``settings`` a list of them, in the order of ``settings``, also where two
        notations come to the same setting.

    Raises:
        InputError: The request cannot be scored, or this process was forked after MLX had worked.
        ModelNotCached: The repo is not in the local cache; a subclass of InputError.
        CustomCodeRefused: The model would run Python files of its own, and that was not allowed; a
            subclass of InputError.
        CorpusNotCached: The corpus is neither cached nor reachable; a subclass of InputError.
        WillNotFit: Too little memory.
        ModelChanged: Files of the model were changed while it was scored.
        SettingFailed: A setting gave no usable number. The others are scored first; its ``reports``
            has their reports by notation.
        QfidError: Any other error that ends the run.

    Warns:
        RunWarning: Each warning that the command line would print, as soon as it is known. Message
            and hint stand on a line each.
        ReportWarning: Each entry of ``report.warnings``, when the run is over, unless it was told
            before. Both are subclasses of QfidWarning, a UserWarning, in
            :mod:`scorer.common.warning_categories`. A filter that makes them errors ends the run
            as an exception of ``on_event`` does.
    """
    refuse_after_fork()
    given = [value is not None for value in (kv_bits, setting, settings)]
    if sum(given) != 1:
        raise InputError(
            "give one of `kv_bits`, `setting` and `settings`",
            "kv_bits=8, setting='k8v4', or settings=['8', 'k8v4']",
        )

    if kv_bits is not None:
        asked: tuple[Setting, ...] = (
            KVSetting(kv_bits, kv_bits, kv_group_size, quantize_start, path),
        )
    else:
        # One setting is no list of them: `8,4` is no notation.
        named = settings if setting is None else [setting]
        assert named is not None
        asked = settings_asked(named, group_size=kv_group_size, start=quantize_start, path=path)
    source = "builtin" if model == "demo" else "wikitext2"
    job = Job(
        model=located(model),
        settings=asked,
        corpus=CorpusSpec(source if corpus is None else located(corpus)),
        revision=revision,
        protocol=protocol,
        chunk_length=chunk_length,
        chunks=chunks or default_chunks(protocol, max_chunks, until_settled=until_settled),
        max_chunks=max_chunks,
        kernel=kernel,
        control=control,
        force=force,
        roles=roles_of(roles),
        until_settled=until_settled,
    )
    reports, planned = run_job(job, allow_custom_code, on_event, ranks=ranks, shard=shard)
    found = by_setting(reports, planned.run)
    ordered = [found[planned.resolved[setting.written]] for setting in job.settings]
    return ordered[0] if settings is None else ordered


def resume_run(
    run: str | PathLike[str] | None = None,
    *,
    max_chunks: int | Literal["all"] | None = None,
    accept_changes: bool = False,
    allow_custom_code: bool = False,
    force: bool = False,
    until_settled: bool = False,
    ranks: RanksWanted = 1,
    shard: Shard | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> list[SettingReport]:
    """Score what a saved run lacks, as ``qfid resume`` does.

    The numbers are those of a run that was never interrupted. Settings that failed are tried again.

    Args:
        run: Id of the run or its unique beginning, or the path of its folder; None for the newest
            unfinished one.
        max_chunks: Chunks that the run is to have in all, or ``"all"`` of the text: those that are
            missing are added to it. On a GPU whole batches are. Where all of these are scored and
            the run has more, the reports are of its first ``max_chunks``. None for as many as it
            has.
        accept_changes: Continue although model, text or arithmetic have changed since; the report
            says so.
        allow_custom_code: As in :func:`measure_kv_fidelity`. A run does not remember it.
        force: Score even if memory seems insufficient.
        until_settled: Stop once every setting is settled, where the run takes its chunks in a
            random order; a run that was begun so does it anyway.
        ranks: As in :func:`measure_kv_fidelity`; no matter how many there were before.
        shard: As in :func:`measure_kv_fidelity`, and as in the run until now.
        on_event: As in :func:`measure_kv_fidelity`; not called where nothing is left to score.

    Returns:
        The reports of the run's settings, in the order of its report.

    Raises:
        InputError: There is no such run, another process writes to it, or it was scored under other
            conditions, of which each is named.
        QfidError: As in :func:`measure_kv_fidelity`.

    Warns:
        RunWarning: As in :func:`measure_kv_fidelity`.
        ReportWarning: Likewise.
    """
    from scorer.report.from_run import finished_report
    from scorer.runs.chunk_plan import asked_chunks
    from scorer.runs.resuming import job_to_resume, nothing_is_left, run_to_resume

    refuse_after_fork()
    try:
        found = run_to_resume(None if run is None else located(run))
        stopping = until_settled and not found.job.until_settled
        asked, wanted = None, None if max_chunks == "all" else max_chunks
        if max_chunks is not None:
            dataclasses.replace(found.job, max_chunks=wanted)
            asked = asked_chunks(found, wanted)
        is_more = asked is not None and asked.asked > asked.planned
        if asked is not None and asked.is_smaller and not asked.missing and not stopping:
            report = finished_report(found, first=asked.asked)
        elif not is_more and not stopping and nothing_is_left(found):
            report = finished_report(found)
        else:
            found.check_appendable()
            job = job_to_resume(
                found, accept_changes=accept_changes, force=force, until_settled=until_settled
            )
            if max_chunks is not None:
                job = dataclasses.replace(job, max_chunks=wanted)
            report, _ = run_job(
                job, allow_custom_code, on_event, found.id, accept_changes, ranks, shard
            )
    except QfidError as error:
        error.hint = in_python(error.hint)
        raise
    return list(by_setting(report, found.id).values())
