"""Which settings fit in a deployment, asked before anything is scored or loaded. Imports no mlx."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scorer.common.errors import InputError, WillNotFit
from scorer.fit.choice import Cell, Deployment, Placed, best_step
from scorer.fit.prefill_peak import PrefillShape
from scorer.models.gguf.file import open_gguf
from scorer.models.info import ModelInfo
from scorer.models.precision import read_precision
from scorer.models.predicted_precision import predicted_precision
from scorer.models.resolve import resolve_model
from scorer.models.sizes import model_sizes
from scorer.spec.amounts import shown_bytes, tokens_word
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.job import Job
from scorer.spec.settings.base import Setting
from scorer.spec.settings.weights import (
    MadeWeights,
    WeightsSource,
    cache_of,
    sources_of,
    weights_of,
)

_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class PricedSetting:
    """A setting and the memory it takes.

    Attributes:
        setting: The setting.
        placed: Its bytes, the prefill step that is counted on, and whether that fits.
    """

    setting: Setting
    placed: Placed


def priced(
    settings: Sequence[Setting], info: ModelInfo, spec: DeploymentSpec
) -> list[PricedSetting]:
    """What every setting takes in a deployment.

    Args:
        settings: The settings.
        info: The reference; its geometry exact.
        spec: The deployment.

    Raises:
        InputError: Weights cannot be found, read or made.
    """
    sizes = model_sizes(info)
    deployment = Deployment(
        geometry=info.geometry,
        shape=PrefillShape(sizes.hidden, sizes.inner, sizes.heads, sizes.vocab, 2),
        memory=_NO_LIMIT if spec.memory is None else spec.memory,
        context=spec.context_for(info.max_context),
        parallel=spec.parallel,
        device=spec.device,
        step=spec.step,
    )
    weights: dict[WeightsSource | None, int] = {None: read_precision(info).loaded_bytes}
    for source in sources_of(settings):
        weights[source] = _loaded_bytes(source, info)
    prices = deployment.prices()
    found = []
    for setting in settings:
        resolved = setting.resolved(info.geometry)
        cell = Cell(setting.key, weights[weights_of(setting)], cache_of(resolved))
        found.append(PricedSetting(setting, best_step(cell, deployment, prices)))
    return found


def where_words(info: ModelInfo, spec: DeploymentSpec) -> str:
    """A deployment in words: ``16.0 GB at 32k tokens``."""
    context = tokens_word(spec.context_for(info.max_context))
    limit = "any memory" if spec.memory is None else shown_bytes(spec.memory)
    return f"{limit} at {context} tokens"


def without_misfits(job: Job, info: ModelInfo, spec: DeploymentSpec) -> tuple[Job, tuple[str, ...]]:
    """The job with the settings that fit in a deployment, and the names of the others.

    Args:
        job: The job.
        info: The reference; its geometry exact.
        spec: The deployment.

    Raises:
        WillNotFit: No setting fits.
        InputError: A setting can be no answer; and as of :func:`priced`.
    """
    _check_comparable(job.settings)
    found = priced(job.settings, info, spec)
    fits = tuple(each.setting for each in found if each.placed.fits)
    if not fits:
        least = min(found, key=lambda each: each.placed.least)
        raise WillNotFit(
            f"nothing fits in {where_words(info, spec)}: the least, `{least.setting.key}`, takes "
            f"{shown_bytes(least.placed.bytes.total)} at prefill step {least.placed.step}",
            "take fewer bits, a shorter --context, or more --memory",
        )
    left = tuple(each.setting.key for each in found if not each.placed.fits)
    return dataclasses.replace(job, settings=fits), left


def _check_comparable(settings: Sequence[Setting]) -> None:
    """See that all settings are what a runtime computes, scored on the same positions."""
    for setting in settings:
        cache = cache_of(setting)
        if cache is not None and cache.path != "deployed":
            raise InputError(
                f"`{setting.key}` cannot be what to run: no runtime computes on the dequantized "
                "path",
                "leave --path and `~dequantized` out; `qfid weights` scores it",
            )
        if cache is not None and cache.start:
            raise InputError(
                f"`{setting.key}` is scored on other positions than the settings it is compared "
                "with",
                "leave --quantize-start and `@N` out; `qfid weights` scores it",
            )


def _loaded_bytes(source: WeightsSource, reference: ModelInfo) -> int:
    if isinstance(source, MadeWeights):
        return predicted_precision(
            reference, source.bits, source.group_size, source.mode
        ).loaded_bytes
    if source.is_gguf:
        return open_gguf(Path(source.model)).stored_bytes
    info = resolve_model(source.model, source.revision, allow_custom_code=True)
    return read_precision(info).loaded_bytes
