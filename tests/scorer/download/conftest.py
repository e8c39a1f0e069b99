"""A Hub on the loopback interface that holds one small model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fake_hub_cache import model_files, safetensors
from loopback_hub import LoopbackHub, Repo, serving
from pulled_repos import REPO, WEIGHTS

from scorer.common.errors import QfidError
from scorer.lm.measured_geometry import measure_folder
from scorer.models.kept_geometry import remember


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with serving() as server:
        server.repos["models", REPO] = Repo(model_files() | {WEIGHTS: safetensors(elements=4096)})
        yield server


@pytest.fixture
def repo(hub: LoopbackHub) -> Repo:
    return hub.repos["models", REPO]


@pytest.fixture
def measured_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are measured in this process, except where a test names the child."""
    if "child" in request.node.name:
        return

    def measure(requests: Sequence[tuple[Path, bool]]) -> Iterator[str]:
        for folder, consent in requests:
            with contextlib.suppress(QfidError):
                remember(*measure_folder(folder, allow_custom_code=consent))
            yield ""

    monkeypatch.setattr("scorer.download.pull.measure_folders", measure)
