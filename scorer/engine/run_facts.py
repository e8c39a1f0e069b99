"""What is known of a run before its first chunk, as the facts that are stored with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from scorer.device.backend import Backend
from scorer.device.blas import NONE_FOUND
from scorer.device.cpu_arithmetic import NUMPY
from scorer.engine.known_content import (
    content_warnings,
    files_and_hashes,
    model_identity,
)
from scorer.engine.prepared import Prepared
from scorer.engine.weight_facts import candidate_facts, fingerprint, reference_facts
from scorer.lanes.kv.lane import CODES, DEQUANTIZED, FULL_CACHE, MLX_LM
from scorer.lanes.kv.plan import PlannedSetting
from scorer.lm.unused_config import added_values
from scorer.models.custom_code import hashes
from scorer.report.reworded import NOT_THIS_MODEL, ONE_WIDTH
from scorer.runs.facts import (
    DEQUANTIZED_ATTENTION,
    FULL_PRECISION_CACHE,
    ArithmeticFacts,
    DeviceFacts,
    RunFacts,
    SettingFacts,
    StoredFacts,
)
from scorer.runs.shape_facts import ShapeFacts
from scorer.runs.weight_facts import WeightFacts
from scorer.spec.geometry import KVGeometry
from scorer.spec.settings.weights import StoredWeights, WeightsSource
from scorer.text.equal_chunks import equal_chunks

_ARITHMETIC = {
    DEQUANTIZED: DEQUANTIZED_ATTENTION,
    CODES: "quantized matmuls over codes, query heads grouped",
    MLX_LM: "mlx-lm's quantized cache and attention",
    FULL_CACHE: FULL_PRECISION_CACHE,
}


Weighed = tuple[WeightFacts, dict[str, str]]
"""Facts of a set of weights, and its fingerprint."""


def identity_of(prepared: Prepared, backend: Backend) -> dict[str, str | int | None]:
    """What must be equal for two runs to be one: everything but settings and chunks.

    Numbers of runs that differ in any of these are not mixed. A field may be None or, in a run of
    an earlier version, missing: then it is unknown, see :mod:`scorer.runs.identity`.
    """
    job, corpus = prepared.job, prepared.corpus
    libraries: dict[str, str | None] = {}
    if backend.kind == "cpu":
        libraries["BLAS version"] = backend.mlx_blas
        if prepared.split.arithmetic == NUMPY:
            libraries["NumPy BLAS"] = backend.numpy_blas
    return {
        **model_identity(prepared.info, prepared.content),
        "corpus": corpus.sha256,
        "tokenizer": corpus.tokenizer_sha256,
        "tokenizer versions": ", ".join(
            f"{name} {version}" for name, version in sorted(corpus.tokenizer_versions.items())
        ),
        "protocol": job.protocol,
        "chunk length": job.chunk_length,
        # Only where some are asked for: without it a run goes on with one of earlier versions.
        **({"roles": ", ".join(job.roles)} if job.roles else {}),
        "batch": prepared.batch,
        "kernel": job.kernel,
        "device": f"{backend.kind} {backend.name}",
        "compute dtype": prepared.model.dtype_name,
        "BLAS": backend.blas,
        "arithmetic": ", ".join(filter(None, (prepared.split.arithmetic, prepared.sharding))),
        "mlx version": backend.versions.get("mlx", "unknown"),
        "mlx-lm version": _mlx_lm(prepared, backend),
        **libraries,
    }


def _mlx_lm(prepared: Prepared, backend: Backend) -> str:
    """Version of mlx-lm, and what it was given beyond what it takes of the model's files.

    Earlier versions of qfid gave nothing: their runs of such a model must not go on with this.
    """
    version = backend.versions.get("mlx-lm", "unknown")
    added = {k: v for each in prepared.model.arguments for k, v in added_values(each).items()}
    return f"{version}, given {json.dumps(added, sort_keys=True)}" if added else version


def blas_line(prepared: Prepared, backend: Backend) -> str:
    """The BLAS that multiplies, with its version; those of NumPy and MLX where both take part."""
    in_mlx = backend.blas
    if backend.mlx_blas is not None:
        # Where no tuned library was found, the file of MLX's own is all there is to say.
        known = backend.blas != NONE_FOUND
        in_mlx = backend.mlx_blas if known else f"{backend.blas}: {backend.mlx_blas}"
    if prepared.split.arithmetic != NUMPY:
        return in_mlx
    return f"{backend.numpy_blas or 'unknown'} in NumPy; {in_mlx} for what MLX multiplies"


def arithmetic_line(prepared: Prepared, backend: Backend) -> str:
    """Device, compute dtype, what computes attention, and BLAS in one line."""
    blas = f", BLAS: {blas_line(prepared, backend)}" if backend.kind == "cpu" else ""
    dense = ", weights dequantized" if prepared.model.dequantized else ""
    numpy = ", attention and linear layers in NumPy" if prepared.split.arithmetic == NUMPY else ""
    split = f", {prepared.sharding}" if prepared.sharding else ""
    return f"{backend.kind}, {prepared.model.dtype_name}{dense}{numpy}{split}{blas}"


def _context(geometry: KVGeometry, chunk_length: int) -> int | None:
    """The context that bytes per token hold for; None where they do not depend on it."""
    return chunk_length if any(layer.window is not None for layer in geometry.layers) else None


def run_facts(prepared: Prepared, backend: Backend) -> RunFacts:
    """Facts of the run, the same for all its settings."""
    corpus, geometry, info = prepared.corpus, prepared.geometry, prepared.info
    context = _context(geometry, corpus.chunk_length)
    return RunFacts(
        job=prepared.asked,
        model_id=info.name,
        model_revision=info.revision,
        model_files=files_and_hashes(prepared.content),
        architecture=info.architecture,
        weight_bits=info.weight_bits,
        corpus=corpus.facts(),
        documents=dict(zip(corpus.indices, corpus.documents, strict=True)),
        chunks=corpus.indices,
        chunk_length=corpus.chunk_length,
        scored_from=corpus.scored_from,
        device=DeviceFacts(backend.kind, backend.name, backend.memory_total),
        arithmetic=ArithmeticFacts(
            prepared.model.dtype_name,
            blas_line(prepared, backend),
            arithmetic_line(prepared, backend),
        ),
        versions={**backend.versions, **corpus.tokenizer_versions},
        batch=prepared.batch,
        kv_bytes_per_token={
            row.setting.key: row.setting.bytes_per_token(geometry, context)
            for row in prepared.planned
        },
        kv_bytes_per_token_16bit=geometry.bytes_per_token_16bit(context),
        kv_layers=len(geometry.layers),
        max_context=info.max_context,
        kv_bytes_context=context,
        warnings=(*prepared.warnings, *corpus.warnings),
        custom_code=hashes(info.code),
        equal_chunks=equal_chunks(corpus.ids, corpus.indices),
        weights=reference_facts(info, prepared.model),
        shape=_shape(prepared),
    )


def _shape(prepared: Prepared) -> ShapeFacts:
    sizes, geometry = prepared.sizes, prepared.geometry
    return ShapeFacts(
        sizes.hidden,
        sizes.inner,
        sizes.heads,
        prepared.vocab,
        geometry.total_layers,
        geometry.layers,
    )


def setting_facts(
    prepared: Prepared,
    row: PlannedSetting,
    weights: Mapping[WeightsSource, Weighed] = MappingProxyType({}),
) -> SettingFacts:
    """What is known of one setting before it is scored.

    Args:
        prepared: The job.
        row: The setting.
        weights: Facts and fingerprint of each set of weights beside the reference's.
    """
    geometry = prepared.geometry
    own: WeightFacts | None = None
    of_weights: dict[str, str] = {}
    if row.weights is not None:
        own, of_weights = weights[row.weights]
    skipped: dict[str, int] = {}
    if geometry.total_layers > len(geometry.layers):
        skipped["no keys and values"] = geometry.total_layers - len(geometry.layers)
    warnings = []
    if row.cache is None:
        pass
    elif row.setting.kv_method.bits is None and row.setting.path == "deployed":
        warnings.append(ONE_WIDTH)
    elif not row.runnable_by_mlx_lm:
        warnings.append(NOT_THIS_MODEL)
    elif row.mlx_lm == "elsewhere":
        warnings.append(
            "mlx-lm's own quantized attention has no kernel for this model on this device: "
            "`mlx_lm.generate` runs the setting on Apple silicon or a CPU"
        )
    return SettingFacts(
        arithmetic=_ARITHMETIC[row.arithmetic],
        kv_method=row.setting.kv_method.name,
        kv_layers_quantized=(
            0 if row.cache is None else min(len(geometry.layers), geometry.total_layers)
        ),
        kv_layers_total=geometry.total_layers,
        kv_layers_skipped=skipped,
        same_as=None if row.same_as is None else row.same_as.key,
        runnable_by_mlx_lm=row.runnable_by_mlx_lm and not _is_gguf(row.weights),
        warnings=tuple(warnings),
        fingerprint={**row.setting.fingerprint(), **of_weights},
        weights=own,
        dequantized_bytes_per_token=geometry.dequantized_bytes_per_token(
            row.setting.sides(geometry), _context(geometry, prepared.corpus.chunk_length)
        ),
    )


def _is_gguf(source: WeightsSource | None) -> bool:
    return isinstance(source, StoredWeights) and source.is_gguf


def stored_facts(prepared: Prepared, backend: Backend) -> StoredFacts:
    """Everything a saved run keeps beside its positions."""
    run = run_facts(prepared, backend)
    if prepared.content.is_known:
        run = replace(run, warnings=(*run.warnings, *content_warnings(run, prepared.content)))
    weights = {c.source: (candidate_facts(c), fingerprint(c)) for c in prepared.candidates}
    return StoredFacts(
        identity=identity_of(prepared, backend),
        chunks=prepared.corpus.indices,
        run=run,
        files=prepared.content.stamps,
        settings={
            row.setting.key: setting_facts(prepared, row, weights) for row in prepared.planned
        },
        controls={
            row.control_of.key: row.setting.key
            for row in prepared.planned
            if row.control_of is not None
        },
    )
