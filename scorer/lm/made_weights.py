"""A model's weights quantized in memory, as ``mlx_lm.convert`` would write them to disk.

mlx-lm's own predicate and quantizer do it, from the dtype that ``mlx_lm.convert`` writes: scales
and biases are of that dtype, and quantizing float32 weights instead would keep them in float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map_with_path

from scorer.common.error_text import first_line
from scorer.common.errors import InputError
from scorer.device.backend import Backend
from scorer.lm.load import LoadedModel, prepared_for, read_module
from scorer.lm.module_copies import copied_module
from scorer.models.custom_code import Consent
from scorer.spec.settings.weights import MadeWeights


def load_made(
    path: Path,
    made: MadeWeights,
    backend: Backend,
    *,
    allow_custom_code: Consent = False,
    resident: LoadedModel | None = None,
) -> LoadedModel:
    """Quantize the reference's weights; nothing is written to disk.

    Args:
        path: The reference's folder.
        made: Bits, group size and mode.
        backend: The device.
        allow_custom_code: As of :func:`scorer.lm.load.load`.
        resident: The reference in memory, where it is there: its arrays are taken where they are
            the stored ones, value by value. Else the folder is read again.

    Raises:
        InputError: As :func:`scorer.lm.load.load`; or the reference is quantized already, or
            mlx-lm cannot quantize it.
    """
    if resident is not None and holds_stored_values(resident, backend):
        module, config = copied_module(resident.module), dict(resident.config)
        arguments = resident.arguments
    else:
        module, config, arguments = read_module(
            path, lazy=True, allow_custom_code=allow_custom_code
        )
    quantize(module, config, made, path.name)
    return prepared_for(module, config, backend, arguments)


def holds_stored_values(model: LoadedModel, backend: Backend) -> bool:
    """Whether what is quantized may be a loaded model's own arrays instead of its files.

    On a CPU its parameters are float32 by now, which :func:`cast_as_convert` rounds to what is
    stored, or to what it makes of it: not where it casts none of them, or leaves some out.

    Args:
        model: The reference, loaded whole; it runs no code of its own, whose modules may keep
            anything.
        backend: The device.
    """
    if model.dequantized:
        return False
    if backend.kind != "cpu":
        return True
    return converted_dtype(model.config) is not None and not hasattr(model.module, "cast_predicate")


def quantize(module: nn.Module, config: dict[str, Any], made: MadeWeights, name: str) -> None:
    """Quantize a model in place.

    Args:
        module: The model, with the weights as they are stored.
        config: Its config.json.
        made: Bits, group size and mode.
        name: What to call the model in an error.

    Raises:
        InputError: It is quantized already, or mlx-lm cannot quantize it.
    """
    from mlx_lm.utils import quantize_model

    from scorer.lm.building import model_is_built

    if any("scales" in each for each in module.modules()):
        raise InputError(
            f"`{made.key}` cannot be made: the weights of `{name}` are quantized already",
            "give the unquantized model as the reference",
        )
    cast_as_convert(module, config)
    try:
        with model_is_built():
            quantize_model(module, config, made.group_size, made.bits, mode=made.mode)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"`{made.key}` cannot be made of `{name}`: {first_line(error, empty='no message')}",
            "mlx-lm's own quantizer refuses it; leave this setting out",
        ) from error
    if not any("scales" in each for each in module.modules()):
        raise InputError(
            f"`{made.key}` cannot be made of `{name}`: no layer's width is a multiple of "
            f"{made.group_size}",
            "take smaller groups: `w4:32`",
        )


def cast_as_convert(module: nn.Module, config: dict[str, Any]) -> None:
    """Cast a model's parameters to the dtype in which ``mlx_lm.convert`` writes them.

    Source: mlx-lm 0.32.2, ``convert.convert``: the config's ``torch_dtype``, else the ``dtype`` of
    its ``text_config``, else as they are.
    """
    dtype = converted_dtype(config)
    if dtype is None:
        return
    wanted = getattr(module, "cast_predicate", lambda _: True)

    def converted(path: str, value: Any) -> Any:
        if wanted(path) and mx.issubdtype(value.dtype, mx.floating):
            return value.astype(dtype)
        return value

    module.update(tree_map_with_path(converted, module.parameters()))


def converted_dtype(config: dict[str, Any]) -> mx.Dtype | None:
    """The dtype in which ``mlx_lm.convert`` writes parameters; None for that of each."""
    name = config.get("torch_dtype")
    if name is None and (text := config.get("text_config")):
        name = text.get("dtype")
    if name not in ("float16", "bfloat16", "float32"):
        return None
    dtype: mx.Dtype = getattr(mx, name)
    return dtype
