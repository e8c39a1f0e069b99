"""``measure_kv_fidelity`` on the tiny model and its text."""

from __future__ import annotations

from typing import Any

from tiny_runs import Small

from scorer import measure_kv_fidelity


def measure(small: Small, **options: Any) -> Any:
    """Reports of two chunks of 32 tokens where the options do not say otherwise."""
    values = {
        "model": str(small.model),
        "corpus": str(small.text),
        "chunk_length": 32,
        "chunks": "first",
        "max_chunks": 2,
    }
    return measure_kv_fidelity(**{**values, **options})
