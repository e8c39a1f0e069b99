"""The engine of qfid: how far does a quantized KV cache drift from full precision?

``measure_kv_fidelity`` and ``score`` are imported on first use, so that importing this package
pulls in neither mlx nor numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorer.api import measure_kv_fidelity
    from scorer.score import score

__version__ = "0.1.0"
__all__ = ["__version__", "measure_kv_fidelity", "score"]

_LAZY = {"measure_kv_fidelity": "scorer.api", "score": "scorer.score"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
