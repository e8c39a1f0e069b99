"""The Python interface: measures a KV setting of a model in the calling process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorer.common.errors import (
    CorpusNotCached,
    CustomCodeRefused,
    InputError,
    Interrupted,
    ModelChanged,
    ModelNotCached,
    QfidError,
    SettingFailed,
    WillNotFit,
)
from scorer.device.forks import refuse_after_fork
from scorer.spec.events import Failed, Finished, Planned, SettingFailedEvent, Warned
from scorer.spec.job import (
    ChunkChoice,
    CorpusSpec,
    Job,
    Kernel,
    TextProtocol,
    default_chunks,
)
from scorer.spec.settings.base import ComputePath, Setting
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_setting

if TYPE_CHECKING:
    from scorer.report.setting_report import SettingReport

_ERRORS: dict[str, type[QfidError]] = {
    cls.__name__: cls
    for cls in (
        CorpusNotCached,
        InputError,
        Interrupted,
        ModelChanged,
        SettingFailed,
        WillNotFit,
    )
}


def measure_kv_fidelity(
    model: str,
    *,
    kv_bits: int | None = None,
    kv_group_size: int | None = None,
    setting: Setting | str | None = None,
    quantize_start: int = 0,
    path: ComputePath = "deployed",
    kernel: Kernel = "auto",
    control: bool = False,
    corpus: str | None = None,
    protocol: TextProtocol = "mqf",
    chunk_length: int = 512,
    chunks: ChunkChoice | None = None,
    max_chunks: int | None = None,
    revision: str | None = None,
    allow_custom_code: bool = False,
    force: bool = False,
) -> SettingReport:
    """Measure how far a quantized KV cache drifts from full precision.

    The model runs in this process with teacher forcing on fixed chunks of real text; nothing is
    generated. The run is saved.

    Args:
        model: Repo id in the local Hugging Face cache, path of a folder, or ``demo``.
        kv_bits: Bits per element of keys and values: 2, 3, 4, 5, 6 or 8.
        kv_group_size: Elements that share a scale and a bias: 32, 64 or 128; None for 64, or 32
            where 64 does not divide the model's heads.
        setting: A setting, or its notation such as ``k8v4:32@512``, instead of ``kv_bits``.
        quantize_start: 0 for stress; n > 0 for deployment, see
            :class:`~scorer.spec.settings.kv.KVSetting`.
        path: ``deployed`` or ``dequantized``.
        kernel: ``auto``, or ``mlx-lm`` for mlx-lm's cache class and attention.
        control: Also score the dequantized path of a deployed setting.
        corpus: ``wikitext2``, ``builtin`` or a file; None for the model's default.
        protocol: ``mqf`` or ``llama.cpp``.
        chunk_length: Tokens per chunk.
        chunks: ``first`` or ``spread``; None for ``spread`` where ``max_chunks`` is given, but
            ``first`` under ``llama.cpp``.
        max_chunks: Maximum number of chunks; None for the whole corpus.
        revision: Commit, branch or tag of the repo.
        allow_custom_code: Allow the model's own Python files to run, as they are now; a warning
            names them. Nothing remembers it.
        force: Score even if memory seems insufficient.

    Returns:
        The setting's report: ``.kl.mean`` (nats), ``.flip_rate``, ``.verdict``,
        ``.perplexity_delta`` and others; ``.to_json()`` returns every number.

    Raises:
        InputError: The request cannot be scored, or this process was forked after MLX had worked.
        ModelNotCached: The repo is not in the local cache; a subclass of InputError.
        CustomCodeRefused: The model would run Python files of its own, and that was not allowed; a
            subclass of InputError.
        CorpusNotCached: The corpus is neither cached nor reachable; a subclass of InputError.
        WillNotFit: Too little memory.
        ModelChanged: Files of the model were changed while it was scored.
        SettingFailed: The setting gave no usable number.
        QfidError: Any other error that ends the run.

    Warns:
        UserWarning: Each warning that the command line would print.
    """
    refuse_after_fork()
    if (kv_bits is None) == (setting is None):
        raise InputError("give either `kv_bits` or `setting`", "kv_bits=8, or setting='k8v4'")
    if setting is None:
        assert kv_bits is not None
        wanted: Setting = KVSetting(kv_bits, kv_bits, kv_group_size, quantize_start, path)
    elif isinstance(setting, str):
        wanted = parse_setting(setting, group_size=kv_group_size, start=quantize_start, path=path)
    else:
        wanted = setting
    job = Job(
        model=model,
        settings=(wanted,),
        corpus=CorpusSpec(corpus or ("builtin" if model == "demo" else "wikitext2")),
        revision=revision,
        protocol=protocol,
        chunk_length=chunk_length,
        chunks=chunks or default_chunks(protocol, max_chunks),
        max_chunks=max_chunks,
        kernel=kernel,
        control=control,
        force=force,
    )
    return _run(job, allow_custom_code)


def _run(job: Job, allow_custom_code: bool) -> SettingReport:
    import warnings

    from scorer.child.apart import scored_for_program
    from scorer.report.setting_report import SettingReport
    from scorer.report.tree import Report

    rows: list[str] = []
    for event in scored_for_program(job, allow_custom_code=allow_custom_code):
        if isinstance(event, Warned):
            warnings.warn(event.message, stacklevel=3)
        elif isinstance(event, Planned):
            rows = event.settings
        elif isinstance(event, SettingFailedEvent) and event.setting not in rows:
            warnings.warn(f"the control failed: {event.message}", stacklevel=3)
        elif isinstance(event, Failed):
            raise _error(event)
        elif isinstance(event, Finished):
            return SettingReport.from_report(Report.from_json(event.report))
    raise QfidError("the run ended without a report")


def _error(event: Failed) -> QfidError:
    """Return the exception from which the event was made."""
    if event.error == ModelNotCached.__name__:
        repo, revision = event.details["repo"], event.details["revision"]
        return ModelNotCached(event.message, event.hint, repo, revision)
    if event.error == CustomCodeRefused.__name__:
        return CustomCodeRefused(event.message, event.hint, event.details["files"])
    error = _ERRORS.get(event.error, QfidError)(event.message, event.hint)
    error.exit_code = event.exit_code
    return error
