"""The demo: a tiny model that ships with the package, and a corpus every Python carries.

With both, every part of a measurement runs without a download. The numbers are those of a
tiny model on technical English; they show how the measurement works, not what a large model
loses.
"""

from __future__ import annotations

from pathlib import Path


def demo_model_path() -> Path:
    """Folder of the demo model, in the layout `mlx_lm.load` reads.

    Returns:
        Absolute path of the folder holding `config.json`, `model.safetensors`,
        `tokenizer.json`, `tokenizer_config.json` and `README.md`.
    """
    return Path(__file__).resolve().parent / "model"
