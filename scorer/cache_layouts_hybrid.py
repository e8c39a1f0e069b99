"""Caches of architectures with compressed keys and values, or with layers that keep none."""

from __future__ import annotations

from scorer.cache_layouts import (
    FULL,
    Layout,
    _attention,
    _head_dim,
    _heads,
    _window,
    layer_count,
)
