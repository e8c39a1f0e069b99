"""How long a run takes to its first scored batch: ``python -m scorer.bench --start``.

The scorer's child process is started twice on the same job, as the app starts it: once with no
compiled kernel on disk, and once more with what the first left there.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.bench.timed_child import NO_BATCH, timed_child
from scorer.common.errors import QfidError
from scorer.common.folders import temporary_folder
from scorer.spec.events import ChunkScored, Hello, Loading, Planned
from scorer.spec.job import CorpusSpec, Job

if TYPE_CHECKING:
    from scorer.device.backend import Backend

CACHES = ("empty", "warm")
"""State of the folder of compiled kernels when the process starts."""
# Kernels have to come from the folder of this measurement.
_KERNELS = ("MLX_PTX_CACHE_DIR",)


@dataclass(frozen=True, slots=True)
class Step:
    """Something the child reported.

    Attributes:
        name: ``hello``, a step of loading, ``planned`` or ``first batch``.
        detail: What it said about it.
        seconds: Since the process was started.
    """

    name: str
    detail: str
    seconds: float


def measured_starts(job: Job, shape: str | None, backend: Backend) -> list[dict[str, Any]]:
    """Start the scorer with an empty and with a warm kernel cache.

    Args:
        job: What to score; its model is replaced where there is a shape.
        shape: Name of a shape of :mod:`scorer.bench.shapes`, scored with random weights from a
            temporary folder; None for the job's own model.
        backend: The device, for the dtype of the random weights.

    Returns:
        For each state of the cache ``cache``, ``seconds`` from the start of the process to the
        first scored batch, and ``steps``, each with ``name``, ``detail`` and ``seconds``.

    Raises:
        QfidError: The child ended without a scored batch.
    """
    with tempfile.TemporaryDirectory(prefix="qfid-start-", dir=temporary_folder()) as folder:
        if shape is not None:
            path = Path(folder) / shape
            write_model(shape, path, backend)
            job = replace(job, model=str(path), corpus=CorpusSpec("builtin"))
        found = []
        for cache in CACHES:
            steps = list(_steps(job, Path(folder) / "data"))
            found.append(
                {
                    "cache": cache,
                    "seconds": steps[-1].seconds,
                    "steps": [
                        {"name": step.name, "detail": step.detail, "seconds": step.seconds}
                        for step in steps
                    ],
                }
            )
        return found


def _steps(job: Job, data: Path) -> Iterator[Step]:
    """What a child reports until its first batch is scored; then it is ended.

    Raises:
        QfidError: It reported a failure, or nothing any more.
    """
    request = job.to_json()
    with timed_child(request, data, dropped=_KERNELS, kill=True) as events:
        for event, now in events:
            if isinstance(event, ChunkScored):
                yield Step("first batch", "", now)
                return
            if isinstance(event, Hello):
                yield Step("hello", event.device_name, now)
            if isinstance(event, Loading):
                yield Step(event.step, event.detail, now)
            if isinstance(event, Planned):
                yield Step("planned", "", now)
        raise QfidError(*NO_BATCH)


def write_model(shape: str, folder: Path, backend: Backend) -> None:
    """A model folder with random weights and the demo's tokenizer."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    from scorer.bench.shapes import config_of, random_model
    from scorer.demo import demo_model_path

    folder.mkdir()
    config = config_of(shape)
    if (bits := config.pop("bits", None)) is not None:
        config["quantization"] = {"group_size": 64, "bits": bits}
    (folder / "config.json").write_text(json.dumps(config))
    weights = dict(tree_flatten(random_model(shape, backend).parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(demo_model_path() / name, folder / name)
    # The child needs the memory.
    del weights
    mx.clear_cache()
