"""The demo: a small model in the package, and a corpus from Python's documentation.

With both, every part of a measurement runs without a download. The numbers are those of a small
model on technical English. They show how the measurement works, not what a large model loses.
"""

from __future__ import annotations

from pathlib import Path


def demo_model_path() -> Path:
    """Return the folder of the demo model, in the layout that `mlx_lm.load` reads.

    Returns:
        Absolute path of the folder that holds `config.json`, `model.safetensors`,
        `tokenizer.json`, `tokenizer_config.json` and `README.md`.
    """
    return Path(__file__).resolve().parent / "model"
