"""Precision, bytes and content of the sets of weights of a run, as facts stored with it."""

from __future__ import annotations

from scorer.engine.candidates import CandidateWeights
from scorer.engine.known_content import files_and_hashes
from scorer.lm.load import LoadedModel
from scorer.models.info import ModelInfo
from scorer.models.precision import read_precision
from scorer.models.predicted_precision import predicted_precision
from scorer.models.reference_notes import reference_notes
from scorer.models.weight_precision import WeightPrecision
from scorer.runs.facts import StoredFacts
from scorer.runs.weight_facts import GGUF_NOTE, StoredFormat, WeightFacts
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import MadeWeights, WeightsSource, weights_of


def reference_facts(info: ModelInfo, model: LoadedModel) -> WeightFacts:
    """Facts of the reference's weights; its files stand in the facts of the run.

    Args:
        info: The reference.
        model: The same, loaded.
    """
    precision = read_precision(info)
    return _facts(
        info.name,
        info.name,
        info.revision,
        precision,
        model,
        {},
        reference_notes(info, precision),
    )


def candidate_facts(candidate: CandidateWeights) -> WeightFacts:
    """Facts of a candidate's weights, loaded or not.

    Waits until its files are hashed.

    Raises:
        QfidError: A file was changed since it was looked at, or cannot be read.
    """
    source, info = candidate.source, candidate.info
    model = None if candidate.opened is None else candidate.opened.model
    if isinstance(source, MadeWeights):
        precision = predicted_precision(info, source.bits, source.group_size, source.mode)
        return _facts(source.name, None, None, precision, model, {}, ())
    assert candidate.content is not None
    candidate.content.hashes()
    gguf = candidate.gguf
    return _facts(
        source.name,
        source.model,
        info.revision if gguf is None else None,
        read_precision(info) if gguf is None else gguf.precision,
        model,
        files_and_hashes(candidate.content),
        candidate.cautions if gguf is None else (GGUF_NOTE, *candidate.cautions),
    )


def fingerprint(candidate: CandidateWeights) -> dict[str, str]:
    """What the key of a candidate resolved to: revision and content of a repo or folder.

    Waits until its files are hashed.

    Raises:
        QfidError: A file was changed since it was looked at, or cannot be read.
    """
    if candidate.content is None:
        return {}
    candidate.content.hashes()
    found = {"content": candidate.content.digest() or ""}
    if candidate.info.revision and candidate.gguf is None:
        found["revision"] = candidate.info.revision
    return found


def unquantized_weights(facts: StoredFacts) -> frozenset[WeightsSource]:
    """The weights beside the reference's of which no layer is quantized.

    Args:
        facts: Facts of a run.
    """
    sources = (
        weights_of(parse_setting(name))
        for name, setting in facts.settings.items()
        if setting.weights is not None and not setting.weights.is_quantized
    )
    return frozenset(source for source in sources if source is not None)


def _facts(
    name: str,
    model_id: str | None,
    revision: str | None,
    precision: WeightPrecision,
    model: LoadedModel | None,
    files: dict[str, str | int],
    notes: tuple[str, ...],
) -> WeightFacts:
    """Facts of weights: what is loaded counts, what the headers say where nothing is."""
    bits, size = precision.bits_per_weight, precision.loaded_bytes
    if model is not None and model.bits_per_weight is not None:
        bits, size = model.bits_per_weight, model.weight_bytes
    left = [("embedding", precision.embedding), ("head", precision.head)]
    return WeightFacts(
        name=name,
        model_id=model_id,
        model_revision=revision,
        precision=precision.line,
        bits_per_weight=bits,
        weight_bytes=size,
        formats=tuple(
            StoredFormat(
                each.format.mode,
                each.format.bits,
                each.format.group_size,
                each.layers,
                each.parameters,
                each.format.global_scale,
            )
            for each in precision.quantized
        ),
        unquantized_layers=tuple(
            part for part, form in left if precision.is_quantized and form is None
        ),
        predicted=model is None and not precision.exact,
        files=files,
        notes=notes,
    )
