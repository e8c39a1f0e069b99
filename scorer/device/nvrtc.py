"""CUDA source compiled by NVRTC, the compiler that MLX itself has loaded.

MLX compiles a kernel of our own together with its headers for device code, which takes two
seconds, in every process anew: its folder of compiled kernels is for its own. The same source
behind the two headers that it needs takes a tenth of a second.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

HEADERS = ("cuda_bf16.h", "cuda_fp16.h")
"""What kernels include: types of two bytes and their conversions."""

_MAPS = Path("/proc/self/maps")
_DEFAULT_TOOLKIT = "/usr/local/cuda"


class NvrtcError(RuntimeError):
    """NVRTC refused a source or a call; the message is its log."""


class Nvrtc:
    """The compiler, called through its C interface. Calls let go of the interpreter lock.

    Args:
        library: The shared library ``libnvrtc``.
        include: Folder that holds :data:`HEADERS`.
    """

    def __init__(self, library: Any, include: Path) -> None:
        self._library = library
        self._include = include

    def cubin(self, source: str, architecture: str) -> bytes:
        """Machine code of a CUDA source.

        Args:
            source: CUDA C++.
            architecture: Of the GPU, such as ``sm_90a``.

        Raises:
            NvrtcError: It does not compile.
        """
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), b"qfid.cu", 0)
        try:
            # The options that MLX compiles with: the same source gives the same code.
            options = [
                b"--device-as-default-execution-space",
                f"--gpu-architecture={architecture}".encode(),
                f"--include-path={self._include}".encode(),
            ]
            given = (ctypes.c_char_p * len(options))(*options)
            if self._library.nvrtcCompileProgram(program, len(options), given):
                raise NvrtcError(f"Failed to compile kernel: {self._text(program)}")
            return self._bytes(program, "nvrtcGetCUBIN")
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, program: ctypes.c_void_p) -> str:
        return self._bytes(program, "nvrtcGetProgramLog").decode(errors="replace").strip("\0 \n")

    def _bytes(self, program: ctypes.c_void_p, name: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"{name}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(name, program, buffer)
        return buffer.raw

    def _call(self, name: str, *arguments: Any) -> None:
        if name == "nvrtcCreateProgram":
            arguments = (*arguments, None, None)
        if code := getattr(self._library, name)(*arguments):
            raise NvrtcError(f"{name} failed with error {code}")


@cache
def nvrtc() -> Nvrtc | None:
    """The compiler that MLX has loaded into this process, or None where there is none to be found.

    MLX has to be imported before.
    """
    path = loaded_library(_lines(_MAPS))
    if path is None:
        return None
    include = next((folder for folder in include_folders(path) if _holds_headers(folder)), None)
    if include is None:
        return None
    try:
        return Nvrtc(ctypes.CDLL(str(path)), include)
    except OSError:
        return None


def loaded_library(maps: Sequence[str]) -> Path | None:
    """Path of ``libnvrtc`` among the lines of ``/proc/self/maps``."""
    for line in maps:
        path = Path(line.rpartition(" ")[2])
        if path.name.startswith("libnvrtc.so"):
            return path
    return None


def include_folders(library: Path) -> Iterator[Path]:
    """Folders that may hold CUDA's headers, most likely first.

    Args:
        library: Where NVRTC lies: in NVIDIA's package beside the headers, or in a toolkit.
    """
    yield library.parent.parent / "include"
    # Packages for CUDA 12 are apart: nvidia/cuda_nvrtc/lib and nvidia/cuda_runtime/include.
    yield library.parent.parent.parent / "cuda_runtime" / "include"
    for toolkit in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), _DEFAULT_TOOLKIT):
        if toolkit:
            yield Path(toolkit) / "include"


def _holds_headers(folder: Path) -> bool:
    return all((folder / name).is_file() for name in HEADERS)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
