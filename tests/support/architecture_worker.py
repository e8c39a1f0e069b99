"""Checks architectures one after the other in a process of its own; one JSON line each.

Run as ``python architecture_worker.py FOLDER NAME...``: some of mlx-lm's modules end the
interpreter or write out of bounds, and that has to cost one line, not the test run.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

# mlx-lm's quantization cannot hold these: fused layers, weights packed already.
DENSE_ONLY = frozenset({"afm7", "prism_hadamard_qwen35"})


def check(name: str, folder: Path) -> dict[str, Any]:
    """What came of one architecture."""
    from architecture_checks import (
        check_architecture,
        check_made_weights,
        check_quantized_weights,
        refused,
    )
    from tiny_models import write_text, write_tiny_model

    from scorer.models.architectures import refusal

    text = write_text(folder)
    if refusal(name) is not None:
        # Refused from config.json alone: the weights behind it are never looked at.
        model = write_tiny_model(folder / name, "llama")
        config = json.loads((model / "config.json").read_text("utf-8"))
        (model / "config.json").write_text(json.dumps(config | {"model_type": name}), "utf-8")
        return {"outcome": "refused", "why": refused(model, text)}
    model = write_tiny_model(folder / name, name)
    from scorer.lm.measured_geometry import measure_folder
    from scorer.models.kept_geometry import Measured

    _, outcome = measure_folder(model)
    assert isinstance(outcome, Measured), outcome
    if not outcome.geometry.layers:
        return {"outcome": "nothing to quantize", "why": refused(model, text)}
    found = check_architecture(model, text)
    if name not in DENSE_ONLY:
        check_quantized_weights(write_tiny_model(folder / f"{name}-4bit", name, bits=4), text)
        check_made_weights(model, text)
    return {"outcome": "scored", "mlx_lm_runs": found.runs, "caches": found.caches}


def main() -> None:
    warnings.simplefilter("error")
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    from scorer.device.backend import running_backend

    with running_backend():
        check_all(folder, names)


def check_all(folder: Path, names: list[str]) -> None:
    for name in names:
        own = folder / f"of-{name}"
        own.mkdir(parents=True)
        os.environ["QFID_DATA_DIR"] = str(own / "data")
        print(json.dumps({"name": name, "outcome": "started"}), flush=True)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                result = check(name, own)
        except BaseException as error:
            result = {"outcome": "broken", "why": f"{type(error).__name__}: {error}"}
        print(json.dumps({"name": name} | result), flush=True)


if __name__ == "__main__":
    main()
