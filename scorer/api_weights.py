"""The Python interface for weights: a reference, its quantized copies, and KV settings on top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from scorer.api_runs import by_setting, located, run_job
from scorer.common.device_kind import DeviceKind
from scorer.device.forks import refuse_after_fork
from scorer.spec.amounts import parse_bytes, parse_tokens
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.events import Event
from scorer.spec.job import ChunkChoice, CorpusSpec, Job, Kernel, TextProtocol, default_chunks
from scorer.spec.settings.base import ComputePath, Setting
from scorer.spec.settings.grammar import split_list
from scorer.spec.settings.grid import (
    DEFAULT_LADDER,
    cache_settings,
    grid_settings,
    ladder,
    stored_weights,
)
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_setting

if TYPE_CHECKING:
    from scorer.report.weights_report import WeightsReport

Listed = str | Sequence[int | str]
"""A list as on the command line, ``"8,4:32"``, or its entries."""


def measure_weight_fidelity(
    reference: str | PathLike[str],
    candidates: Sequence[str | PathLike[str]] = (),
    *,
    bits: Listed | None = None,
    group_size: int | None = None,
    kv: Listed | None = None,
    kv_group_size: int | None = None,
    settings: Sequence[Setting | str] | str = (),
    quantize_start: int = 0,
    path: ComputePath = "deployed",
    kernel: Kernel = "auto",
    control: bool = False,
    corpus: str | PathLike[str] | None = None,
    protocol: TextProtocol = "mqf",
    chunk_length: int = 512,
    chunks: ChunkChoice | None = None,
    max_chunks: int | None = None,
    revision: str | None = None,
    memory: int | str | None = None,
    context: int | str | None = None,
    parallel: int = 1,
    device: DeviceKind = "metal",
    prefill_step_size: int | None = None,
    one_at_a_time: bool = False,
    allow_custom_code: bool = False,
    force: bool = False,
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
        kernel: As in :func:`~scorer.api.measure_kv_fidelity`, likewise the next six.
        control: See there.
        corpus: See there.
        protocol: See there.
        chunk_length: Tokens per chunk.
        chunks: See there.
        max_chunks: Maximum number of chunks; None for the whole corpus.
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
    listed = split_list(settings) if isinstance(settings, str) else settings
    others = [
        parse_setting(one, group_size=kv_group_size, start=quantize_start, path=path)
        if isinstance(one, str)
        else one
        for one in listed
    ]
    if bits is None and not candidates and not others:
        bits = DEFAULT_LADDER
    weights = [stored_weights(located(name)) for name in candidates]
    made = () if bits is None else ladder(_joined(bits), group_size)
    caches: tuple[KVSetting, ...] = ()
    if kv is not None:
        caches = cache_settings(
            _joined(kv), group_size=kv_group_size, start=quantize_start, path=path
        )
    source = "builtin" if reference == "demo" else "wikitext2"
    job = Job(
        model=located(reference),
        settings=grid_settings((*weights, *made), caches, others),
        corpus=CorpusSpec(source if corpus is None else located(corpus)),
        revision=revision,
        protocol=protocol,
        chunk_length=chunk_length,
        chunks=chunks or default_chunks(protocol, max_chunks),
        max_chunks=max_chunks,
        kernel=kernel,
        control=control,
        force=force,
        one_at_a_time=one_at_a_time,
        deployment=DeploymentSpec(
            memory=parse_bytes(memory, "memory") if isinstance(memory, str) else memory,
            context=parse_tokens(context, "context") if isinstance(context, str) else context,
            parallel=parallel,
            device=device,
            step=prefill_step_size,
        ),
    )
    report, planned = run_job(job, allow_custom_code, on_event)
    return WeightsReport(planned.run, by_setting(report, planned.run), report)


def _joined(listed: Listed) -> str:
    return listed if isinstance(listed, str) else ",".join(map(str, listed))
