"""A model that is only half in the cache is fetched from the app, its size asked first."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from app_pilot import piloted, running, screen_text, until
from fake_hub_cache import model_files, write_repo

from qfid_tui.app.app import QfidApp
from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.state.choices import Choices
from scorer.common.errors import InputError
from scorer.download import pull as pulling
from scorer.download.progress import DownloadProgress
from scorer.models.hub_cache import hub_folder
from scorer.models.info import ModelInfo

REPO = "org/half"


def notices(app: QfidApp) -> str:
    """What the notices say: on the screen they are wrapped."""
    return "\n".join(notice.message for notice in app._notifications)


@pytest.fixture
def half() -> dict[str, bytes]:
    files = model_files()
    write_repo(hub_folder(), REPO, {n: c for n, c in files.items() if "safetensors" not in n})
    return files


@piloted
async def test_it_is_asked_for_fetched_and_chosen(
    half: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def pull(repo: str, revision: object, on_progress: object) -> Path:
        on_progress(DownloadProgress(10 << 20, 40 << 20))  # type: ignore[operator]
        assert go_on.wait(30)
        (folder,) = (hub_folder() / "models--org--half" / "snapshots").iterdir()
        for name, content in half.items():
            if not (folder / name).exists():
                (folder / name).write_bytes(content)
        return folder

    monkeypatch.setattr(pulling, "missing_bytes", lambda repo: 30 << 20)
    monkeypatch.setattr(pulling, "pull", pull)
    async with running(Choices(), size=(80, 24)) as (app, pilot):
        app.workbench.action_show("models")
        await pilot.press("end", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), "the question")
        assert "30 MiB" in screen_text(app)
        await pilot.press("y")
        await until(pilot, lambda: "10 MiB of 40 MiB, 25 %" in screen_text(app), "progress")
        assert "`qfid pull org/half`" in notices(app)
        go_on.set()
        found = app.workbench.state.found
        await until(
            pilot,
            lambda: isinstance(app.workbench.state.found.get(REPO), ModelInfo),
            f"the whole model, not {found}",
        )
        assert app.workbench.state.fetching == ""


@piloted
async def test_a_hub_out_of_reach_is_one_notice(
    half: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(repo: str) -> int:
        raise InputError("the Hub cannot be reached", "check the network")

    monkeypatch.setattr(pulling, "missing_bytes", missing)
    async with running(Choices(), size=(80, 24)) as (app, pilot):
        app.workbench.action_show("models")
        await pilot.press("end", "enter")
        await until(pilot, lambda: "check the network" in notices(app), "the notice")
        assert app.workbench.state.fetching == ""
