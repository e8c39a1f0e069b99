"""Where a BLAS is looked for: MKL where its distribution is importable, then as a linker does."""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

import pytest

from scorer.device import blas_files
from scorer.device.blas_files import blas_files as found_files


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Python and a system without any BLAS; the folder of that Python."""
    prefix = tmp_path / "python"
    (prefix / "lib").mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "nothing"))
    monkeypatch.setattr(site, "getuserbase", lambda: "~/.local")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
    monkeypatch.setattr(blas_files, "_LINKER_CACHE", tmp_path / "ld.so.cache")
    monkeypatch.setattr(blas_files, "_LINKER_FOLDERS", (str(tmp_path / "usr"),))
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    return prefix


def made(folder: Path, *names: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return [str(folder / name) for name in names]


def test_there_may_be_none(bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Without a home folder the user's folder begins with `~`, and means nothing.
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "~" / ".local" / "lib", "libmkl_rt.so.3")
    assert found_files() == []


def test_mkl_of_another_environment_on_the_import_path(bare: Path, tmp_path: Path) -> None:
    """As under `uv run --with`, whose Python has a prefix of its own."""
    packages = tmp_path / "packages"
    info = packages / "mkl-2026.2.0.dist-info"
    (library,) = made(tmp_path / "lib", "libmkl_rt.so.3")
    made(tmp_path / "lib", "libmkl_core.so.3")
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mkl\nVersion: 2026.2.0\n")
    (info / "RECORD").write_text(
        "../lib/libmkl_core.so.3,,\n../lib/libmkl_rt.so.3,,\n../lib/libmkl_rt.so.9,,\n"
    )
    own = made(bare / "lib", "libmkl_rt.so.2")
    assert found_files() == [library, *own]


def test_mkl_beside_python_and_what_the_linker_knows(
    bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = made(bare / "lib", "libmkl_rt.so.3", "libmkl_rt.so.2")
    made(bare / "lib", "libmkl_core.so.3", "libopenblas.so.0")
    named = made(tmp_path / "named", "libopenblas.so.0", "libblis.so.4")
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join([str(tmp_path / "no"), named[0][:-17]]))
    known = made(tmp_path / "known", "libopenblas.so.0", "libopenblas.so.0.3")
    paths = [*known, str(tmp_path / "gone" / "libopenblas.so.0"), "/x/libz.so.1"]
    (tmp_path / "ld.so.cache").write_bytes(b"glibc-ld.so.cache1.1\0" + "\0".join(paths).encode())
    usual = made(tmp_path / "usr", "libopenblas.so.0")
    assert found_files() == [*own, named[0], known[0], *usual, named[1]]
