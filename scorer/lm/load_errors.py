"""Why a model does not load, in words of its files: MLX lists names on lines of their own."""

from __future__ import annotations

import re

from scorer.common.error_text import named_line
from scorer.common.inert_text import shown

_TOO_MANY = re.compile(r"Received (\d+) parameters not in model:\s*(\S+?)[,.]?\s", re.DOTALL)
_TOO_FEW = re.compile(r"Missing (\d+) parameters:\s*(\S+?)[,.]?\s", re.DOTALL)


def load_failure(error: BaseException) -> tuple[str, str]:
    """What went wrong and what to do, each in one line.

    Args:
        error: What ``mlx_lm.utils.load_model`` raised.
    """
    text = f"{error} "
    if found := _TOO_MANY.search(text):
        return (
            f"its weights hold {_tensors(*found.groups())} that the architecture of its "
            "config.json has no place for",
            "use a version of the model that was converted for mlx-lm as a text model",
        )
    if found := _TOO_FEW.search(text):
        return (
            f"its weights lack {_tensors(*found.groups())} of the architecture of its config.json",
            "download the model again, or use a version that was converted for mlx-lm",
        )
    return named_line(error), "check config.json against the weights, or download the model again"


def _tensors(count: str, first: str) -> str:
    return shown(first) if count == "1" else f"{shown(first)} and {int(count) - 1} more tensors"
