"""Where config, name and tensors of a model say otherwise of its precision, in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scorer.common.inert_text import shown
from scorer.models.weight_layout import WeightLayout
from scorer.models.weight_precision import WeightPrecision
from scorer.models.weight_tensors import FLOATS
from scorer.spec.weight_format import WeightFormat

_NAMED_BITS = re.compile(r"(?:^|[^0-9a-z])(?:w|q|int|bits?)?([2-8])[-_ ]?bits?(?![a-z0-9])", re.I)
_NAMED_DTYPE = re.compile(
    r"(?:^|[^0-9a-z])(fp32|float32|fp16|float16|f16|bf16|bfloat16)(?![a-z0-9])"
)
_DTYPES = {"fp32": "float32", "fp16": "float16", "f16": "float16", "bf16": "bfloat16"}


def disagreements(layout: WeightLayout) -> tuple[str, ...]:
    """What ``config.json`` and the tensors say otherwise, one sentence each."""
    return tuple(_disagreements(layout))


def _disagreements(layout: WeightLayout) -> Iterator[str]:
    stated, packed = layout.stated, layout.packed
    if stated is None:
        if packed:
            yield (
                f"config.json states no quantization, and {_layers(len(packed))} quantized: mlx-lm "
                "does not load them"
            )
        else:
            yield from _other_dtype(layout)
        return
    if stated.base is None and stated.method != "mlx":
        yield f"config.json states a quantization that mlx-lm does not know: {shown(stated.method)}"
    if not packed and not layout.foreign:
        what = stated.base.words if stated.base is not None else "quantized weights"
        yield f"config.json says {what}, and no tensor is quantized"
        return
    others: dict[WeightFormat, int] = {}
    for path, layer in packed.items():
        if path in stated.layers:
            own = stated.layers[path]
            if own is None or _differ(own, layer.format):
                what = "not quantized" if own is None else own.words
                yield (
                    f"config.json says of {shown(path)}: {what}; its tensors are "
                    f"{layer.format.words}, and mlx-lm does not load them"
                )
        elif stated.base is not None and _differ(stated.base, layer.format):
            others[layer.format] = others.get(layer.format, 0) + 1
    for found, count in others.items():
        assert stated.base is not None
        yield (
            f"config.json says {stated.base.words}; {_layers(count)} {found.words}, and mlx-lm "
            "goes by the tensors"
        )
    for path, own in stated.layers.items():
        weight = layout.tensors.get(f"{path}.weight")
        if own is not None and path not in packed and weight is not None:
            yield f"config.json says of {shown(path)}: {own.words}; its tensors are not quantized"


def _layers(count: int) -> str:
    return f"{count} layer{'s are' if count != 1 else ' is'}"


def _differ(stated: WeightFormat, found: WeightFormat) -> bool:
    # mlx-lm sees a global scale in the tensors, whether the config states it or not.
    mine, theirs = ((f.mode, f.bits, f.group_size) for f in (stated, found))
    return mine != theirs


def _other_dtype(layout: WeightLayout) -> Iterator[str]:
    """An unquantized model whose config states another dtype: ``mlx_lm.convert`` casts to it."""
    stated = stated_dtype(layout.config)
    counts: dict[str, int] = {}
    for tensor in layout.tensors.values():
        if tensor.dtype in FLOATS:
            name = FLOATS[tensor.dtype]
            counts[name] = counts.get(name, 0) + tensor.elements
    most = max(counts, key=counts.__getitem__, default=None)
    if stated is not None and most is not None and most != stated:
        yield f"config.json says {stated}, and the tensors are {most}"


def stated_dtype(config: object) -> str | None:
    """The dtype to which ``mlx_lm.convert`` casts a model; None where it leaves it as it is."""
    if not isinstance(config, dict):
        return None
    text = config.get("text_config")
    dtype = config.get("torch_dtype")
    if dtype is None and isinstance(text, dict):
        dtype = text.get("dtype")
    return dtype if dtype in ("float16", "bfloat16", "float32") else None


def name_differs(name: str, precision: WeightPrecision) -> str | None:
    """A sentence if a model's name states another precision than its weights have, or None."""
    last = name.rpartition("/")[2]
    bits, dtype = _NAMED_BITS.search(last), _NAMED_DTYPE.search(last.lower())
    found = {each.format.bits for each in precision.quantized}
    if bits is not None and int(bits[1]) not in found:
        return f"its name says {bits[1]} bit and its tensors are {precision.line}"
    if bits is None and dtype is not None:
        named = _DTYPES.get(dtype[1], dtype[1])
        actual = None if found or not precision.unquantized else precision.unquantized[0][0]
        if named != actual:
            return f"its name says {dtype[1]} and its tensors are {precision.line}"
    return None
