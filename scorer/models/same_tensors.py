"""Where the weights of two models differ in names and shapes, quantized or not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from scorer.common.inert_text import shown
from scorer.models.packed_layers import PARTS
from scorer.models.weight_layout import WeightLayout
from scorer.models.weight_tensors import HEAD, is_tied

# How other libraries wrap the language model, and number experts that mlx-lm stacks.
_WRAPPERS = re.compile(r"^(?:language_model\.|model\.)+")
_EXPERT = re.compile(r"\.experts\.\d+\.")
_STACKED = ".experts."
_NAMES = ((".switch_mlp.", _STACKED), (".w1.", ".gate_proj."), (".w2.", ".down_proj."))
_MORE_NAMES = ((".w3.", ".up_proj."), (".block_sparse_moe.", ".mlp."))


@dataclass(frozen=True, slots=True)
class _Shape:
    """The shape of a weight once it is not packed.

    Attributes:
        lead: Its dimensions but the last.
        widths: What the last one may be, by the packed shapes; the likeliest first.
    """

    lead: tuple[int, ...]
    widths: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.lead) * self.widths[0]

    def can_be(self, other: _Shape) -> bool:
        if self.lead == other.lead and set(self.widths) & set(other.widths):
            return True
        # mlx-lm moves the axes of a convolution and drops those of one element.
        mine, theirs = (sorted(d for d in (*s.lead, s.widths[0]) if d > 1) for s in (self, other))
        return len(self.lead) > 1 and mine == theirs


def tensors_difference(
    reference: WeightLayout, candidate: WeightLayout, *, exact: bool = False
) -> str | None:
    """The first difference of two models in names and unquantized shapes of their weights.

    Names by which other libraries call the same weights are the same. Where mlx-lm cuts or joins
    matrices, their elements are counted.

    Args:
        reference: Weights of the reference.
        candidate: Weights of the candidate.
        exact: Nothing moves the candidate's axes, or cuts or joins its matrices.

    Returns:
        The difference, one line that speaks of the candidate as "its"; None if there is none.
    """
    mine, theirs = _shapes(reference), _shapes(candidate)
    if is_tied(reference.config) != is_tied(candidate.config):
        # The head that only one loads is compared with its embedding instead.
        mine, theirs = _without_head(mine), _without_head(theirs)
    for name in sorted(mine.keys() & theirs.keys()):
        same = mine[name].can_be(theirs[name])
        if not same or (exact and mine[name].lead != theirs[name].lead):
            return (
                f"its {shown(name)} is {_said(theirs[name])} and the reference's "
                f"{_said(mine[name])}"
            )
    missing, extra = sorted(mine.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys())
    if not missing and not extra:
        return None
    elements = [sum(s[name].elements for name in n) for s, n in ((mine, missing), (theirs, extra))]
    if elements[0] == elements[1] and not exact:
        return None
    if missing and not extra:
        return f"it lacks {_named(missing)} that the reference has"
    if extra and not missing:
        return f"it has {_named(extra)} that the reference lacks"
    return f"it has {_named(extra)} where the reference has {_named(missing)}"


def _without_head(shapes: dict[str, _Shape]) -> dict[str, _Shape]:
    return {name: shape for name, shape in shapes.items() if HEAD.search(name) is None}


def _named(names: list[str]) -> str:
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return shown(names[0]) + others


def _said(shape: _Shape) -> str:
    return " × ".join(map(str, (*shape.lead, shape.widths[0])))


def _shapes(layout: WeightLayout) -> dict[str, _Shape]:
    found: dict[str, _Shape] = {}
    experts: dict[str, list[_Shape]] = {}
    for name, tensor in layout.tensors.items():
        path, _, last = name.rpartition(".")
        layer = layout.packed.get(path)
        if (layer is not None and last in PARTS) or not tensor.shape:
            continue
        widths: tuple[int, ...] = tensor.shape[-1:]
        if layer is not None and last == "weight":
            widths = (layer.width, *layer.widths)
        shape = _Shape(tensor.shape[:-1], widths)
        plain = _plain(name)
        if _EXPERT.search(name):
            experts.setdefault(plain, []).append(shape)
        else:
            found[plain] = shape
    for name, shapes in experts.items():
        found[name] = _Shape((len(shapes), *shapes[0].lead), shapes[0].widths)
    return found


def _plain(name: str) -> str:
    name = _EXPERT.sub(_STACKED, _WRAPPERS.sub("", name))
    if _STACKED in name or ".switch_mlp." in name or ".block_sparse_moe." in name:
        name = _renamed(name, (*_NAMES, *_MORE_NAMES))
    return name


def _renamed(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        name = name.replace(old, new)
    return name
