"""NVRTC called through a library that answers as the real one does."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest

from scorer.device import nvrtc as module
from scorer.device.nvrtc import Nvrtc, NvrtcError, include_folders, loaded_library, nvrtc

MAPS = [
    "7f00-7f01 r-xp 00000000 00:00 0 ",
    "7f01-7f02 r-xp 0 08:01 12   /site/nvidia/cu13/lib/libnvrtc-builtins.so.13.0",
    "7f02-7f03 r-xp 0 08:01 13   /site/nvidia/cu13/lib/libnvrtc.so.13",
]


class Library:
    """Compiles everything but a source with an error in it."""

    def __init__(self) -> None:
        self.sources: list[bytes] = []
        self.options: list[bytes] = []
        self.destroyed = 0

    def nvrtcCreateProgram(self, program: Any, source: bytes, *rest: Any) -> int:
        assert rest == (b"qfid.cu", 0, None, None)
        self.sources.append(source)
        program._obj.value = len(self.sources)
        return 0

    def nvrtcCompileProgram(self, program: Any, count: int, options: Any) -> int:
        self.options = list(options)
        assert len(self.options) == count
        return 6 if b"error" in self.sources[program.value - 1] else 0

    def nvrtcGetProgramLogSize(self, program: Any, size: Any) -> int:
        size._obj.value = len("qfid.cu(1): no") + 1
        return 0

    def nvrtcGetProgramLog(self, program: Any, buffer: Any) -> int:
        buffer.value = b"qfid.cu(1): no"
        return 0

    def nvrtcGetCUBINSize(self, program: Any, size: Any) -> int:
        size._obj.value = 4
        return 0

    def nvrtcGetCUBIN(self, program: Any, buffer: Any) -> int:
        ctypes.memmove(buffer, b"\0ELF", 4)
        return 0

    def nvrtcDestroyProgram(self, program: Any) -> int:
        self.destroyed += 1
        return 0


def test_a_source_becomes_machine_code() -> None:
    library = Library()
    assert Nvrtc(library, Path("/cuda/include")).cubin("void f();", "sm_90a") == b"\0ELF"
    assert library.sources == [b"void f();"]
    assert b"--gpu-architecture=sm_90a" in library.options
    assert b"--include-path=/cuda/include" in library.options
    assert library.destroyed == 1


def test_an_error_is_what_the_compiler_says() -> None:
    library = Library()
    with pytest.raises(NvrtcError, match=r"Failed to compile kernel: qfid.cu\(1\): no$"):
        Nvrtc(library, Path("/cuda/include")).cubin("error", "sm_90a")
    assert library.destroyed == 1


def test_a_call_that_fails_names_itself() -> None:
    library = Library()
    library.nvrtcGetCUBINSize = lambda *_: 3  # type: ignore[method-assign]
    with pytest.raises(NvrtcError, match="nvrtcGetCUBINSize failed with error 3"):
        Nvrtc(library, Path("/cuda/include")).cubin("void f();", "sm_90a")


def test_the_library_is_the_one_this_process_has_loaded() -> None:
    assert loaded_library(MAPS) == Path("/site/nvidia/cu13/lib/libnvrtc.so.13")
    assert loaded_library(MAPS[:2]) is None


def test_headers_beside_the_library_come_before_a_toolkit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_HOME", "/opt/cuda")
    monkeypatch.delenv("CUDA_PATH", raising=False)
    folders = list(include_folders(Path("/site/nvidia/cuda_nvrtc/lib/libnvrtc.so.12")))
    assert folders == [
        Path("/site/nvidia/cuda_nvrtc/include"),
        Path("/site/nvidia/cuda_runtime/include"),
        Path("/opt/cuda/include"),
        Path("/usr/local/cuda/include"),
    ]


def test_without_library_or_headers_there_is_no_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    maps = tmp_path / "maps"
    library = tmp_path / "lib" / "libnvrtc.so.13"
    monkeypatch.setattr(module, "_MAPS", maps)
    monkeypatch.setattr(module, "_DEFAULT_TOOLKIT", str(tmp_path / "none"))
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.delenv("CUDA_PATH", raising=False)

    def found() -> Nvrtc | None:
        nvrtc.cache_clear()
        return nvrtc()

    assert found() is None
    maps.write_text(f"7f02-7f03 r-xp 0 08:01 13   {library}\n")
    assert found() is None
    (tmp_path / "include").mkdir()
    for name in ("cuda_bf16.h", "cuda_fp16.h"):
        (tmp_path / "include" / name).touch()
    # The headers are there, the library is not.
    assert found() is None
    loaded: list[str] = []
    monkeypatch.setattr(module.ctypes, "CDLL", loaded.append)
    assert found() is not None and loaded == [str(library)]
    nvrtc.cache_clear()
