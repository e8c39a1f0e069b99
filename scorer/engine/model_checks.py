"""Whether a model can be scored as a job asks: context, tokens, settings, a first pass."""

from __future__ import annotations

import dataclasses

import mlx.core as mx
import numpy as np

from scorer.common.error_text import first_line
from scorer.common.errors import InputError, QfidError
from scorer.lm.caches import fresh_caches
from scorer.lm.load import LoadedModel
from scorer.lm.measured_geometry import measure_folder
from scorer.lm.split_model import SplitModel
from scorer.models.architectures import has_position_table
from scorer.models.custom_code import hashes
from scorer.models.info import ModelInfo, with_geometry
from scorer.models.kept_geometry import remember
from scorer.report.commands import kv_command
from scorer.spec.geometry import KVGeometry
from scorer.spec.job import Job
from scorer.spec.settings.base import Setting
from scorer.text.chunks import ChunkedCorpus


def check_settings(job: Job, geometry: KVGeometry) -> None:
    """See that the model can be quantized as every setting says.

    Raises:
        InputError: It cannot; the hint is the command that asks for what can be scored.
    """
    fitting: list[Setting] = []
    first: InputError | None = None
    for setting in job.settings:
        try:
            setting.check(geometry)
            fitting.append(setting)
        except InputError as error:
            first = first or error
            if (other := setting.fitting(geometry)) is not None:
                fitting.append(other)
    if first is None:
        return
    hint = first.hint
    if fitting:
        settings = tuple(dict.fromkeys(fitting))
        hint += f"; for instance `{kv_command(dataclasses.replace(job, settings=settings))}`"
    raise InputError(first.message, hint)


def query_heads(model: LoadedModel) -> int:
    """Query heads as the config names them; 1 where it does not, which checks less."""
    config = model.config.get("text_config") or model.config
    heads = config.get("num_attention_heads") or config.get("n_heads") or config.get("n_head")
    return int(heads) if isinstance(heads, int) else 1


def beyond_context(job: Job, info: ModelInfo) -> tuple[str, ...]:
    """A warning and its hint where chunks are longer than the model's context; else nothing.

    Raises:
        InputError: The model has no positions for such chunks.
    """
    if info.max_context is None or job.chunk_length <= info.max_context:
        return ()
    message = (
        f"chunks of {job.chunk_length} tokens are longer than the context of `{info.name}` "
        f"({info.max_context} tokens)"
    )
    hint = f"give --chunk-length {info.max_context} or less"
    if has_position_table(info.architecture):
        raise InputError(message, hint)
    return message, hint


def check_tokens(corpus: ChunkedCorpus, rows: int, what: str) -> None:
    """Refuse ids that the model has no row for: MLX checks no bounds."""
    largest = int(corpus.ids.max())
    if largest >= rows:
        raise InputError(
            f"the corpus holds token {largest}, the model's {what.format(rows)}",
            "tokenizer and model do not belong together",
        )


def check_turns(split: SplitModel, job: Job) -> None:
    """See that sets of weights can take turns: what is kept of the reference is its states.

    Raises:
        InputError: They cannot.
    """
    hint = "score fewer weights at once, or give --force to load all of them together"
    if not split.split:
        raise InputError(
            "the weights take turns in memory, and this architecture does not give its hidden "
            "states, which that needs",
            hint,
        )
    if job.noise_floor:
        raise InputError(
            "the weights take turns in memory, and --noise-floor needs them all at once", hint
        )


def check_forward(split: SplitModel, probe: mx.array, info: ModelInfo) -> int:
    """Run the model on a few tokens; return the number of logits per position."""
    try:
        split.check(lambda: fresh_caches(split.model), probe)
        hidden = split.hidden(probe, fresh_caches(split.model))
        logits = split.logits(hidden, 0, probe.shape[1])
        mx.eval(logits)
    except QfidError:
        raise
    except Exception as error:
        line = first_line(error, empty="no message")
        raise InputError(
            f"`{info.name}` ({info.architecture}) does not run on this device: {line}",
            "some architectures need Metal; `qfid models` lists what can be scored",
        ) from error
    if not bool(np.isfinite(np.array(logits.astype(mx.float32))).any()):
        raise InputError(
            f"`{info.name}` gives no finite logits", "its weights are damaged or incomplete"
        )
    return int(logits.shape[-1])


def measured(info: ModelInfo) -> ModelInfo:
    """A model with its exact geometry, measured before its weights are read.

    Raises:
        InputError: mlx-lm cannot build it, or it keeps no keys and values.
    """
    if info.geometry.exact:
        return info
    try:
        key, outcome = measure_folder(info.path, allow_custom_code=hashes(info.code))
        remember(key, outcome)
        return with_geometry(info, outcome)
    except InputError as error:
        raise InputError(f"`{info.name}`: {error.message}", error.hint) from error
