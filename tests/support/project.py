"""Where the project, its tests and what they share lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The folder of ``pyproject.toml``."""

TESTS = ROOT / "tests"

SUPPORT = TESTS / "support"
"""Oracles, fakes, builders and drivers."""
