"""What a run needs of the process around it: lent while it lasts, given back after the last run."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import InputError
from scorer.common.folders import cache_folder
from scorer.common.loans import GiveBack, Loan, lend_environment
from scorer.common.process_limits import core_count, cores_here, raise_file_limit
from scorer.device.memory import limit_metal_memory

FULL_FLOAT32 = ("MLX_ENABLE_TF32", "0")
"""Variable and value for float32 products in full precision, not in TensorFloat-32.

MLX reads it when a GPU computes its first product.
"""


def _variables() -> dict[str, str]:
    found = {
        FULL_FLOAT32[0]: FULL_FLOAT32[1],
        "TOKENIZERS_PARALLELISM": "false",
        # By default MKL's threads spin for 0.2 s after a product, on the cores that NumPy needs.
        "KMP_BLOCKTIME": "0",
    }
    if core_count() < cores_here():
        # Libraries count the cores and know nothing of control groups.
        found["OMP_NUM_THREADS"] = str(core_count())
    # On CUDA, MLX compiles a kernel at its first use, up to half a minute each, and by default
    # caches it in a temporary folder. The key is only its name, so each version has a folder.
    # Without a home folder there may be none; what needs one says so.
    with contextlib.suppress(InputError, importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version("mlx")
        found["MLX_PTX_CACHE_DIR"] = str(cache_folder() / "cuda-kernels" / version)
    return found


environment = lend_environment(_variables)
"""Lends what MLX, MKL and the tokenizers read; enter it before they are imported."""


many_open_files = Loan(raise_file_limit)
"""Lends a higher soft limit on open files, see :func:`raise_file_limit`."""


def _compile_off() -> GiveBack:
    # MLX builds compiled CPU kernels with a C++ compiler in a shared folder: slow to start, unsafe
    # with several processes, and no faster in this program.
    import mlx.core as mx

    if not compiles():
        return lambda: None
    mx.disable_compile()
    return mx.enable_compile


_without_compile = Loan(_compile_off)


def compiles() -> bool:
    """Whether ``mx.compile`` has an effect in this process; MLX does not say."""
    import mlx.core as mx

    traced = 0

    def count(x: mx.array) -> mx.array:
        nonlocal traced
        traced += 1
        return x + 1

    compiled = mx.compile(count)
    # Nothing is computed. A compiled function is traced once and not called again.
    for _ in range(2):
        compiled(mx.zeros(1))
    return traced == 1


def _metal_limits() -> GiveBack:
    import mlx.core as mx

    return limit_metal_memory(mx.device_info())


_within_metal_limits = Loan(_metal_limits)


def chosen_device(name: str) -> Loan:
    """Lends the default device of MLX.

    Args:
        name: ``cpu`` or ``gpu``; empty for the default device as it is.

    Returns:
        The same loan for the same name.

    Raises:
        InputError: There is no such device here.
    """
    import mlx.core as mx

    device = {"cpu": mx.cpu, "gpu": mx.gpu}.get(name)
    if name and (device is None or not mx.is_available(device)):
        raise InputError(
            f"QFID_DEVICE: there is no device `{name}` here", "it may be `cpu`, `gpu` or unset"
        )
    return _device_loans[name]


def _device_loan(name: str) -> Loan:
    def take() -> GiveBack:
        import mlx.core as mx

        if not name:
            return lambda: None
        before, device = mx.default_device(), getattr(mx, name)
        mx.set_default_device(device)

        def give_back() -> None:
            if mx.default_device() == device:
                mx.set_default_device(before)

        return give_back

    return Loan(take)


_device_loans = {name: _device_loan(name) for name in ("", "cpu", "gpu")}


@contextmanager
def lent_to_run(kind: DeviceKind, device: str) -> Iterator[None]:
    """Lend the process to a run on a device, once MLX is imported.

    Args:
        kind: Kind of the device.
        device: Its name, see :func:`chosen_device`.
    """
    with ExitStack() as loans:
        for loan in (environment, many_open_files, chosen_device(device)):
            loans.enter_context(loan)
        if kind == "cpu":
            loans.enter_context(_without_compile)
        elif kind == "metal":
            loans.enter_context(_within_metal_limits)
        yield
