"""The engine of qfid, which measures how far quantized weights and a quantized KV cache drift.

``measure_kv_fidelity``, ``measure_weight_fidelity``, ``measure_over_texts``, ``measure_tasks``,
``fit_memory``, ``resume_run`` and ``read_positions`` are imported on first use, so that importing
this package imports neither mlx nor numpy.
``scorer.score.score`` yields the events of a job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scorer._version import __version__

if TYPE_CHECKING:
    from scorer.api import measure_kv_fidelity, resume_run
    from scorer.api_tasks import measure_tasks
    from scorer.api_texts import measure_over_texts
    from scorer.api_weights import fit_memory, measure_weight_fidelity
    from scorer.results import read_positions
__all__ = [
    "__version__",
    "fit_memory",
    "measure_kv_fidelity",
    "measure_over_texts",
    "measure_tasks",
    "measure_weight_fidelity",
    "read_positions",
    "resume_run",
]

DISTRIBUTION = "qfid"
"""The distribution that this package is part of; another one installs a package of this name."""

_LAZY = {
    "fit_memory": "scorer.api_weights",
    "measure_kv_fidelity": "scorer.api",
    "measure_tasks": "scorer.api_tasks",
    "measure_over_texts": "scorer.api_texts",
    "measure_weight_fidelity": "scorer.api_weights",
    "read_positions": "scorer.results",
    "resume_run": "scorer.api",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
