"""Examines this machine: device, libraries, memory, and what makes scoring slow.

Runs in the child process, because the timed matmul needs MLX, which the command line never imports.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.child.own_package import PLACE, other_scorers
from scorer.common.control_groups import cpu_quota
from scorer.common.errors import InputError, QfidError
from scorer.common.folders import runs_folder
from scorer.common.foreign_packages import HINT, foreign_import, packages_from_variable
from scorer.common.install_command import install_command
from scorer.common.offline import forbidden_by_user
from scorer.common.process_limits import (
    FEW_FILES,
    FILES_HINT,
    core_count,
    file_limit,
    missing_working_folder,
)
from scorer.device.backend import Backend, start_backend
from scorer.device.blas import NONE_FOUND
from scorer.device.cpu_arithmetic import MLX
from scorer.device.host_memory import host_memory
from scorer.device.kernel_worker import VARIABLE as KERNELS_VARIABLE
from scorer.device.kernel_worker import kernels_in
from scorer.device.slow_products import slow_products
from scorer.models.hub_cache import folder_bytes, hub_folder
from scorer.runs.listing import check_place

_MATMUL_SIZE = 512
_GROUP = 64
_PACKAGES = ("mlx", "mlx-lm", "numpy", "huggingface-hub", "pyarrow", "textual")
_EXTRAS = ("gguf", "lm_eval", "matplotlib")
"""What extras bring: named where it is installed."""
_LITTLE_DISK = 5 << 30
_LITTLE_MEMORY = 2 << 30
_NVIDIA = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem that slows a run down or will stop it.

    Attributes:
        what: The problem, in one sentence.
        fix: How to fix it, in one sentence.
    """

    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that qfid uses.

    Attributes:
        path: Its path; it need not exist.
        entries: Number of repos or runs in it.
        bytes: Their size.
        disk_free: Bytes free on its disk, or None if unknown.
    """

    path: str
    entries: int
    bytes: int
    disk_free: int | None


def examine(*, folder_is_gone: bool = False) -> dict[str, Any]:
    """Examine this machine.

    Args:
        folder_is_gone: The working directory has been deleted.

    Returns:
        JSON values. ``device`` (kind and name), ``blas`` and ``matmul`` (seconds of a 512³ float32
        product on the CPU device, and Gflop/s) are null if MLX has no backend; then ``error`` holds
        message and hint. ``cpu_count``: the cores that are used; ``cpu_quota``: those whose time
        the control group allows, null without a limit. ``matmul`` is also null on a GPU.
        ``slow_products``: why the products that MLX computes are slow (``what``, ``fix``), else
        null; among the ``findings`` too where MLX computes every model.
        ``arithmetic``: the library that computes attention on the CPU device (``numpy`` or ``mlx``)
        and the number of threads of NumPy; null on a GPU. ``metrics``: whether a GPU reduces logits
        with the fused kernel (``fused``), and the reason (``why``); ``quantizer``: the same for the
        quantizer of keys and values; both null on the CPU. ``compiled_kernels``: the folder of the
        kernels that MLX has compiled on CUDA; null elsewhere. ``memory`` and folders are in bytes;
        a folder is null if the user has no home folder for it. ``open_files``: how many this
        process may open at once, null for any number. ``package``: the folder of the package
        ``scorer`` that runs. ``offline``: whether HF_HUB_OFFLINE forbids
        the network. ``findings`` is empty if nothing is slow, short or in the way.
    """
    backend, error = _backend()
    total, free = host_memory()
    if backend is not None:
        total, free = backend.memory_total, backend.memory_free
    in_the_way: list[QfidError] = [missing_working_folder()] if folder_is_gone else []
    cache = _known_folder(hub_folder, _repos, in_the_way)
    runs = _known_folder(runs_folder, _runs, in_the_way)
    in_the_way += [*_limits(runs is not None), *other_scorers()]
    kernels = _kernels(backend)
    told = None if backend is None else slow_products(backend)
    slow = None if told is None else Finding(*told)
    findings = [Finding(error.message, error.hint) for error in in_the_way]
    findings += _findings(backend, slow, free, cache, runs, kernels)
    return {
        "device": backend and {"kind": backend.kind, "name": backend.name},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu_count": core_count(),
        "cpu_quota": cpu_quota(),
        "blas": backend and backend.blas,
        "blas_version": backend and (None if backend.blas == NONE_FOUND else backend.mlx_blas),
        "matmul": _matmul(backend),
        "slow_products": slow and dataclasses.asdict(slow),
        "arithmetic": _arithmetic(backend),
        **kernels,
        "compiled_kernels": _compiled_kernels(backend),
        "memory": {"total": total, "free": free},
        "versions": _versions(),
        "package": str(PLACE),
        "open_files": file_limit(),
        "model_cache": cache and dataclasses.asdict(cache),
        "offline": forbidden_by_user(),
        "runs": runs and dataclasses.asdict(runs),
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "error": error and {"message": error.message, "hint": error.hint},
    }


def _backend() -> tuple[Backend | None, InputError | None]:
    try:
        return start_backend(), None
    except InputError as error:
        return None, error
    except (ImportError, SyntaxError) as error:
        foreign = foreign_import(error)
        if foreign is None:
            raise
        return None, foreign


def _matmul(backend: Backend | None) -> dict[str, float] | None:
    if backend is None or backend.matmul_seconds is None:
        return None
    seconds = backend.matmul_seconds
    return {"seconds": seconds, "gflops": 2 * _MATMUL_SIZE**3 / seconds / 1e9}


def _arithmetic(backend: Backend | None) -> dict[str, str | int] | None:
    if backend is None or backend.kind != "cpu":
        return None
    from scorer.device.threads import thread_count

    return {
        "name": backend.arithmetic,
        "threads": thread_count(),
        "blas": backend.numpy_blas or "unknown",
    }


def _kernels(backend: Backend | None) -> dict[str, dict[str, str | bool] | None]:
    """Return for each fused kernel whether it is used on the GPU, and why; null on the CPU."""
    if backend is None or backend.kind == "cpu":
        return {"metrics": None, "quantizer": None}
    import mlx.core as mx

    from scorer.metrics.fused_selftest import usable_kernel
    from scorer.quantizers.affine_fused import usable_quantizer

    found = {
        "metrics": usable_kernel(backend.kind, mx.bfloat16),
        "quantizer": usable_quantizer(backend.kind, mx.bfloat16, _GROUP),
    }
    return {name: {"fused": made is not None, "why": why} for name, (made, why) in found.items()}


def _compiled_kernels(backend: Backend | None) -> dict[str, Any] | None:
    """The folder of kernels that MLX has compiled and need not compile again; CUDA's alone."""
    name = os.environ.get(KERNELS_VARIABLE)
    if backend is None or backend.kind != "cuda" or not name:
        return None
    sizes = (path.stat().st_size for path in kernels_in(Path(name)))
    return dataclasses.asdict(_folder(Path(name), sizes))


def _versions() -> dict[str, str | None]:
    from scorer._version import __version__

    found: dict[str, str | None] = {"qfid": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    for package in _EXTRAS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _repos(hub: Path) -> Iterator[int]:
    """Yield the bytes of each repo in the Hugging Face cache, including datasets."""
    for repo in _subfolders(hub):
        if repo.name.startswith(("models--", "datasets--")):
            yield folder_bytes(repo / "blobs")


def _runs(runs: Path) -> Iterator[int]:
    return map(folder_bytes, _subfolders(runs))


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


def _folder(path: Path, sizes: Iterator[int]) -> Folder:
    listed = list(sizes)
    return Folder(str(path), len(listed), sum(listed), _disk_free(path))


def _known_folder(
    find: Callable[[], Path], sizes: Callable[[Path], Iterator[int]], in_the_way: list[QfidError]
) -> Folder | None:
    """Return a folder; None, and why as another item of the list, if it is not known."""
    try:
        path = find()
    except InputError as error:
        in_the_way.append(error)
        return None
    return _folder(path, sizes(path))


def _limits(has_place: bool) -> Iterator[QfidError]:
    """What the system allows too little of, beside what stops the backend.

    Args:
        has_place: Whether the folder of runs is known.
    """
    if has_place:
        try:
            check_place()
        except QfidError as error:
            yield error
    limit = file_limit()
    if limit is not None and limit < FEW_FILES:
        yield InputError(
            f"this process may open only {limit} files at once, too few for some models",
            FILES_HINT,
        )


def _disk_free(path: Path) -> int | None:
    for existing in (path, *path.parents):
        try:
            return shutil.disk_usage(existing).free
        except OSError:
            continue
    return None


def _findings(
    backend: Backend | None,
    slow: Finding | None,
    free: int,
    cache: Folder | None,
    runs: Folder | None,
    kernels: dict[str, dict[str, str | bool] | None],
) -> list[Finding]:
    found = [
        Finding(f"`{package}` comes from `{folder}`, not from the environment of qfid", HINT)
        for package, folder in packages_from_variable().items()
    ]
    metrics, quantizer = kernels["metrics"], kernels["quantizer"]
    if metrics is not None and not metrics["fused"]:
        found.append(
            Finding(
                "logits are reduced by MLX's own operations, which is right and slower than the "
                f"fused kernel: {metrics['why']}",
                "unset QFID_METRICS, or report it with this page",
            )
        )
    if quantizer is not None and not quantizer["fused"]:
        found.append(
            Finding(
                "caches are quantized by MLX's own operations, which is right and takes some "
                f"kernels more than the one made for it: {quantizer['why']}",
                "unset QFID_QUANTIZER, or report it with this page",
            )
        )
    if backend is not None and backend.kind == "cpu":
        found += [Finding(*unusable.described()) for unusable in backend.unusable_blas]
        if backend.arithmetic == MLX:
            # NumPy multiplies otherwise, and products of MLX are few.
            if slow is not None:
                found.append(slow)
            found.append(
                Finding(
                    "QFID_CPU_ARITHMETIC keeps attention in MLX, ten times slower than in NumPy",
                    "unset QFID_CPU_ARITHMETIC",
                )
            )
        if platform.system() == "Linux" and _NVIDIA.exists():
            found.append(
                Finding(
                    "there is an NVIDIA GPU and MLX's CPU backend is installed",
                    f"`{install_command('mlx[cuda13]')}`, or `mlx[cuda12]` where the driver is "
                    "older",
                )
            )
    if free < _LITTLE_MEMORY:
        found.append(
            Finding(
                f"only {free / 2**30:.1f} GiB of memory are free",
                "close other programs, or score shorter chunks of a smaller model",
            )
        )
    for folder, name in ((cache, "models"), (runs, "runs")):
        if folder is not None and folder.disk_free is not None and folder.disk_free < _LITTLE_DISK:
            variable = "HF_HOME" if folder is cache else "QFID_DATA_DIR"
            found.append(
                Finding(
                    f"the disk that holds the {name} has {folder.disk_free / 2**30:.1f} GiB free",
                    f"free some space, or set {variable} to a folder on another disk",
                )
            )
    return found
