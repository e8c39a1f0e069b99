"""Hints name a command that installs for this Python."""

from __future__ import annotations

import importlib.util

import pytest

from scorer.common import install_command as module
from scorer.common.install_command import install_command


def test_pip_of_this_python_or_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "executable", "/my venv/bin/python")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert install_command("mlx[cpu]") == "'/my venv/bin/python' -m pip install 'mlx[cpu]'"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert install_command("mkl") == "uv pip install --python '/my venv/bin/python' mkl"
