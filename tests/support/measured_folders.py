"""Measuring the caches of a model that is only a config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scorer.lm.measured_geometry import measure_folder
from scorer.models.kept_geometry import Measured, NotBuilt


def outcome_of(folder: Path, config: dict[str, Any]) -> Measured | NotBuilt:
    """What measuring a folder with this ``config.json`` gives."""
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return measure_folder(folder)[1]
