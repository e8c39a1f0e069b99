"""How long a test waits for another thread or process."""

from __future__ import annotations

DEADLINE = 180.0
"""Seconds. Nothing takes so long, on a busy machine either: it only bounds a wait."""
