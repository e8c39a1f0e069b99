"""The Python interface for weights: a reference, its quantized copies, and KV settings on top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from scorer.api_runs import RanksWanted, by_setting, located, run_job
from scorer.common.device_kind import DeviceKind
from scorer.common.errors import QfidError
from scorer.device.forks import refuse_after_fork
from scorer.spec.amounts import parse_bytes, parse_tokens
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.events import Event
from scorer.spec.job import ChunkChoice, CorpusSpec, Job, Kernel, TextProtocol, default_chunks
from scorer.spec.roles import roles_of
from scorer.spec.settings.base import ComputePath, Setting
from scorer.spec.settings.grid import (
    DEFAULT_LADDER,
    cache_settings,
    grid_settings,
    ladder,
    stored_weights,
)
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import SettingsAsked, settings_asked

if TYPE_CHECKING:
    from scorer.report.weights_report import WeightsReport

Listed = int | str | Sequence[int | str]
"""A list as on the command line, ``"8,4:32"``, or its entries, or one width."""

_FIT_CHUNKS = 32
_FIT_KV = "8,4"


def measure_weight_fidelity(
    reference: str | PathLike[str],
    candidates: Sequence[str | PathLike[str]] | str | PathLike[str] = (),
    *,
    bits: Listed | None = None,
    group_size: int | None = None,
    kv: Listed | None = None,
    kv_group_size: int | None = None,
    settings: SettingsAsked = (),
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
    memory: int | str | None = None,
    context: int | str | None = None,
    parallel: int = 1,
    device: DeviceKind = "metal",
    prefill_step_size: int | None = None,
    one_at_a_time: bool = False,
    allow_custom_code: bool = False,
    force: bool = False,
    ranks: RanksWanted = 1,
    on_event: Callable[[Event], object] | None = None,
) -> WeightsReport:
    """Measure how far quantized weights drift, alone and with a quantized KV cache on top.

    Every set of weights runs with teacher forcing on the same chunks of real text as the reference,
    which runs once for all of them. The run is saved. Sets that do not fit in memory together take
    turns; the numbers are the same.

    Args:
        reference: The model at full precision: repo id in the local Hugging Face cache, path of a
            folder, or ``demo``.
        candidates: Quantized copies of it: repo ids, ``org/name@revision``, or folders.
        bits: Precisions that are made of the reference in memory, as ``mlx_lm.convert`` would write
            them: ``"8,4:32,mxfp4"`` or ``[8, "4:32"]``. Where no candidate and no setting is named,
            8, 6, 5, 4 and 3.
        group_size: Elements of a weight that share a scale, where ``bits`` names none: 32, 64
            (default) or 128.
        kv: KV settings that are scored alone and on top of each set of weights: ``"8,4"``.
        kv_group_size: As in :func:`~scorer.api.measure_kv_fidelity`, for every KV setting.
        settings: Further settings in full, such as ``"w4+8"``.
        quantize_start: As in :func:`~scorer.api.measure_kv_fidelity`, for every KV setting.
        path: Likewise.
        kernel: As in :func:`~scorer.api.measure_kv_fidelity`, likewise the next seven.
        control: See there.
        corpus: See there.
        roles: See there.
        protocol: See there.
        chunk_length: Tokens per chunk.
        chunks: See there.
        max_chunks: Maximum number of chunks; None for the whole corpus.
        until_settled: As in :func:`~scorer.api.measure_kv_fidelity`; not for sets of weights that
            take turns in memory.
        revision: Commit, branch or tag of the reference.
        memory: What weights, KV cache and prefill may take where the model is to run: bytes, or
            ``"16GB"``; None for no limit. No number depends on it, nor on the next four.
        context: Tokens of a sequence there: a number, or ``"32k"``; None for 8k, or for the model's
            own context where that is less.
        parallel: Sequences whose caches are held there.
        device: ``metal``, ``cuda`` or ``cpu``: the device there.
        prefill_step_size: Tokens of a prefill block there; None to choose it.
        one_at_a_time: Load one set of weights after the other, also where all fit in memory.
        allow_custom_code: As in :func:`~scorer.api.measure_kv_fidelity`, for candidates too.
        force: Score even if memory seems insufficient.
        ranks: As in :func:`~scorer.api.measure_kv_fidelity`; all sets of weights have to fit in
            the memory of each.
        on_event: As in :func:`~scorer.api.measure_kv_fidelity`.

    Returns:
        The report: ``found["w4"].kl.mean`` (nats), ``.interactions``, ``.deployment``, and others.

    Raises:
        InputError: The request cannot be scored: for instance a candidate is not a copy of the
            reference, named in one line before anything is loaded.
        SettingFailed: As in :func:`~scorer.api.measure_kv_fidelity`.
        QfidError: As in :func:`~scorer.api.measure_kv_fidelity`.

    Warns:
        RunWarning: As in :func:`~scorer.api.measure_kv_fidelity`.
        ReportWarning: Likewise.
    """
    from scorer.report.weights_report import WeightsReport

    refuse_after_fork()
    job = _job(
        reference,
        settings_of(
            candidates,
            bits=bits,
            group_size=group_size,
            kv=kv,
            kv_group_size=kv_group_size,
            settings=settings,
            quantize_start=quantize_start,
            path=path,
        ),
        _deployment(memory, context, parallel, device, prefill_step_size),
        corpus=corpus,
        roles=roles,
        revision=revision,
        protocol=protocol,
        chunk_length=chunk_length,
        chunks=chunks,
        max_chunks=max_chunks,
        until_settled=until_settled,
        kernel=kernel,
        control=control,
        force=force,
        one_at_a_time=one_at_a_time,
    )
    report, planned = run_job(job, allow_custom_code, on_event, ranks=ranks)
    return WeightsReport(planned.run, by_setting(report, planned.run), report)


def fit_memory(
    reference: str | PathLike[str],
    candidates: Sequence[str | PathLike[str]] | str | PathLike[str] = (),
    *,
    memory: int | str,
    context: int | str | None = None,
    parallel: int = 1,
    device: DeviceKind = "metal",
    prefill_step_size: int | None = None,
    bits: Listed | None = None,
    group_size: int | None = None,
    kv: Listed | None = None,
    kv_group_size: int | None = None,
    settings: SettingsAsked = (),
    quantize_start: int = 0,
    path: ComputePath = "deployed",
    kernel: Kernel = "auto",
    control: bool = False,
    corpus: str | PathLike[str] | None = None,
    roles: Sequence[str] | str | None = None,
    protocol: TextProtocol = "mqf",
    chunk_length: int = 512,
    chunks: ChunkChoice | None = None,
    max_chunks: int = _FIT_CHUNKS,
    revision: str | None = None,
    one_at_a_time: bool = False,
    allow_custom_code: bool = False,
    force: bool = False,
    ranks: RanksWanted = 1,
    on_event: Callable[[Event], object] | None = None,
) -> WeightsReport:
    """Find out what to run in a given memory, as ``qfid fit`` does.

    What cannot fit is not scored, and what cannot be the answer any more is scored no further.

    Args:
        reference: As in :func:`measure_weight_fidelity`, likewise what is not named here.
        candidates: See there.
        memory: Bytes, or ``"16GB"``.
        context: See there.
        parallel: See there.
        device: See there.
        prefill_step_size: See there.
        bits: See there.
        group_size: See there.
        kv: See there; where neither this nor ``settings`` is given, 8 and 4.
        kv_group_size: See there.
        settings: See there.
        quantize_start: See there.
        path: See there.
        kernel: See there.
        control: See there.
        corpus: See there.
        roles: See there.
        protocol: See there.
        chunk_length: See there.
        chunks: See there.
        max_chunks: Maximum number of chunks.
        revision: See there.
        one_at_a_time: See there.
        allow_custom_code: See there.
        force: See there.
        ranks: See there.
        on_event: See there.

    Returns:
        The report of what was scored; the answer is ``found.deployment``: ``.pick`` in notation,
        ``.sentences``, ``.commands``.

    Raises:
        WillNotFit: Nothing fits, or scoring takes too much memory.
        InputError: As in :func:`measure_weight_fidelity`.
        SettingFailed: Likewise.
        QfidError: Likewise.

    Warns:
        RunWarning: As in :func:`~scorer.api.measure_kv_fidelity`.
        ReportWarning: Likewise.
    """
    from scorer.common.python_hints import in_python
    from scorer.fit.pruning import without_misfits
    from scorer.models.measuring import with_exact_geometry
    from scorer.models.resolve import resolve_model
    from scorer.report.weights_report import WeightsReport

    refuse_after_fork()
    spec = _deployment(memory, context, parallel, device, prefill_step_size)
    job = _job(
        reference,
        settings_of(
            candidates,
            bits=bits,
            group_size=group_size,
            kv=_FIT_KV if kv is None and not settings else kv,
            kv_group_size=kv_group_size,
            settings=settings,
            quantize_start=quantize_start,
            path=path,
        ),
        spec,
        corpus=corpus,
        roles=roles,
        revision=revision,
        protocol=protocol,
        chunk_length=chunk_length,
        chunks=chunks,
        max_chunks=max_chunks,
        kernel=kernel,
        control=control,
        force=force,
        one_at_a_time=one_at_a_time,
        drop_beaten=True,
    )
    try:
        # Whether code of its own may run is asked by whoever runs it.
        info = resolve_model(job.model, job.revision, allow_custom_code=True)
        job, _ = without_misfits(job, with_exact_geometry(info), spec)
    except QfidError as error:
        error.hint = in_python(error.hint)
        raise
    report, planned = run_job(job, allow_custom_code, on_event, ranks=ranks)
    return WeightsReport(planned.run, by_setting(report, planned.run), report)


def settings_of(
    candidates: Sequence[str | PathLike[str]] | str | PathLike[str],
    *,
    bits: Listed | None,
    group_size: int | None,
    kv: Listed | None,
    kv_group_size: int | None,
    settings: SettingsAsked,
    quantize_start: int = 0,
    path: ComputePath = "deployed",
) -> tuple[Setting, ...]:
    """Every cell that is asked for; arguments as of :func:`measure_weight_fidelity`.

    Raises:
        InputError: One is not valid.
    """
    others = settings_asked(
        settings or (), group_size=kv_group_size, start=quantize_start, path=path
    )
    if isinstance(candidates, str | PathLike):
        candidates = (candidates,)
    if bits is None and not candidates and not others:
        bits = DEFAULT_LADDER
    weights = [stored_weights(located(name)) for name in candidates]
    made = () if bits is None else ladder(_joined(bits), group_size)
    caches: tuple[KVSetting, ...] = ()
    if kv is not None:
        caches = cache_settings(
            _joined(kv), group_size=kv_group_size, start=quantize_start, path=path
        )
    return grid_settings((*weights, *made), caches, others)


def _deployment(
    memory: int | str | None,
    context: int | str | None,
    parallel: int,
    device: DeviceKind,
    step: int | None,
) -> DeploymentSpec:
    return DeploymentSpec(
        memory=parse_bytes(memory, "memory") if isinstance(memory, str) else memory,
        context=parse_tokens(context, "context") if isinstance(context, str) else context,
        parallel=parallel,
        device=device,
        step=step,
    )


def _job(
    reference: str | PathLike[str],
    settings: tuple[Setting, ...],
    deployment: DeploymentSpec,
    *,
    corpus: str | PathLike[str] | None,
    roles: Sequence[str] | str | None,
    revision: str | None,
    protocol: TextProtocol,
    chunk_length: int,
    chunks: ChunkChoice | None,
    max_chunks: int | None,
    force: bool,
    one_at_a_time: bool,
    kernel: Kernel = "auto",
    control: bool = False,
    drop_beaten: bool = False,
    until_settled: bool = False,
) -> Job:
    source = "builtin" if reference == "demo" else "wikitext2"
    return Job(
        model=located(reference),
        settings=settings,
        corpus=CorpusSpec(source if corpus is None else located(corpus)),
        revision=revision,
        protocol=protocol,
        chunk_length=chunk_length,
        chunks=chunks or default_chunks(protocol, max_chunks, until_settled=until_settled),
        max_chunks=max_chunks,
        kernel=kernel,
        control=control,
        force=force,
        one_at_a_time=one_at_a_time,
        deployment=deployment,
        drop_beaten=drop_beaten,
        roles=roles_of(roles),
        until_settled=until_settled,
    )


def _joined(listed: Listed) -> str:
    return (
        ",".join(map(str, listed))
        if isinstance(listed, Sequence) and not isinstance(listed, str)
        else str(listed)
    )
