"""The GGUF files that lie beside a model's files, and are it in another precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scorer.common.errors import InputError
from scorer.models.gguf.file import open_gguf
from scorer.models.gguf.same_model import gguf_weights
from scorer.models.weight_precision import WeightPrecision

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo

# Headers with all tokens: a tenth of a second each.
_MOST = 16


def gguf_beside(model: ModelInfo) -> list[tuple[Path, WeightPrecision]]:
    """The GGUF files in a model's folder that are the model, most bits per weight first.

    Tokens are compared when one is scored. What cannot be read, or is another model, is left out.

    Args:
        model: The model.
    """
    try:
        paths = sorted(p for p in model.path.iterdir() if p.name.lower().endswith(".gguf"))
    except OSError:
        return []
    found = []
    for path in paths[:_MOST]:
        precision = gguf_precision_of(model, path)
        if precision is not None:
            found.append((path.absolute(), precision))
    return sorted(found, key=lambda each: -each[1].bits_per_weight)


def gguf_precision_of(model: ModelInfo, path: Path) -> WeightPrecision | None:
    """The precision of a GGUF file that is a model; None where it is not, or cannot be read.

    Args:
        model: The model.
        path: The file.
    """
    try:
        return gguf_weights(model, open_gguf(path)).precision
    except InputError:
        return None
