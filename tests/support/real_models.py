"""A prepared Hugging Face cache with a real small model and WikiText-2."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPO = "local-test/SmolLM2-135M-Instruct"


def _homes() -> list[Path]:
    default = Path("~/.cache").expanduser() / "huggingface"
    named = os.environ.get("QFID_REAL_HF_HOME") or os.environ.get("HF_HOME")
    return [Path(named)] if named else [default]


# Looked up when the tests are collected: later each test has a cache of its own.
HOME = next((home for home in _homes() if (home / "hub").is_dir()), None)


def use_real_cache(monkeypatch: pytest.MonkeyPatch, data: Path, *repos: str) -> None:
    """Score models of the real cache and save runs under ``data``; skip where a repo is missing."""
    if HOME is None:
        pytest.skip("QFID_REAL_HF_HOME names no Hugging Face cache")
    for repo in (*repos, "datasets--Salesforce--wikitext"):
        folder = repo if repo.startswith("datasets--") else f"models--{repo.replace('/', '--')}"
        if not (HOME / "hub" / folder / "snapshots").is_dir():
            pytest.skip(f"`{folder}` is not in the cache `{HOME}`")
    monkeypatch.setenv("HF_HOME", str(HOME))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HUGGINGFACE_HUB_CACHE", raising=False)
    monkeypatch.setenv("QFID_DATA_DIR", str(data))
