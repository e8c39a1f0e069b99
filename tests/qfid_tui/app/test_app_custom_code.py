"""The app asks before a model's own code runs: once per model and content, in memory only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app_pilot import choose, demo_choices, piloted, running, screen_text, until
from cli_saved_runs import recording, request_of, save_run, script
from fake_hub_cache import model_files, write_repo
from textual.pilot import Pilot

from qfid_tui.app.app import QfidApp
from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.state.allowed_code import AllowedCode, code_question
from qfid_tui.state.choices import Choices
from qfid_tui.state.kept_choices import choices_file
from scorer.models.hub_cache import hub_folder
from scorer.spec.events import Failed

FILES = {"own.py": "ab" * 32}
OTHER = {"own.py": "cd" * 32}


def refused(path: Path, files: dict[str, str]) -> Path:
    message = "`demo`: it runs code of its own: `own.py`"
    failure = Failed("CustomCodeRefused", message, "read it", 2, details={"files": files})
    return script(path, failure, "!exit 2")


def faked() -> Choices:
    return demo_choices(chunk_length=16, corpus="wikitext2")


async def asked(app: QfidApp, pilot: Pilot[Any], key: str) -> None:
    """Run, and wait for the question."""
    await pilot.press("r")
    await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), "the question")
    await pilot.press(key)
    await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen), "answered")


@piloted
async def test_yes_runs_it_and_is_kept_for_this_content_alone(tmp_path: Path) -> None:
    run = save_run("8,4", job={"chunks": "spread", "kernel": "mlx-lm"})
    file = refused(tmp_path / "s", FILES)
    async with running(faked(), script=file, keep=True) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), "the question")
        text = screen_text(app)
        assert "own.py" in text and "demo runs Python code of its own" in text
        assert request_of(file)["allow_custom_code"] == {}
        script(file, recording(run))
        await pilot.press("y")
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
        assert request_of(file)["allow_custom_code"] == FILES

        # The files were changed: the scorer refuses what was allowed, and the user is asked again.
        choose(app, noise_floor=16)
        refused(file, OTHER)
        await asked(app, pilot, "n")
        assert request_of(file)["allow_custom_code"] == FILES
        app.keep_choices()
    assert FILES["own.py"] not in choices_file().read_text()


@piloted
async def test_no_runs_nothing_and_the_next_run_asks_again(tmp_path: Path) -> None:
    file = refused(tmp_path / "s", FILES)
    async with running(faked(), script=file) as (app, pilot):
        for _ in range(2):
            await asked(app, pilot, "n")
            assert request_of(file)["allow_custom_code"] == {}
            assert app.comparison.phase == "failed"


@piloted
async def test_it_is_not_kept_for_another_model(tmp_path: Path) -> None:
    write_repo(hub_folder(), "org/other", model_files())
    file = refused(tmp_path / "s", FILES)
    async with running(faked(), script=file) as (app, pilot):
        app.allow_code("demo", FILES)
        await asked(app, pilot, "n")
        assert request_of(file)["allow_custom_code"] == FILES
        choose(app, model="org/other")
        await asked(app, pilot, "n")
        assert request_of(file)["allow_custom_code"] == {}


@piloted
async def test_a_model_with_code_of_its_own_can_be_chosen() -> None:
    files = model_files(model_file="own.py") | {"own.py": b"raise SystemExit"}
    write_repo(hub_folder(), "org/coded", files)
    async with running(Choices(model="org/coded")) as (app, _):
        model = app.workbench.state.model
        assert model is not None and [file.name for file in model.code] == ["own.py"]


def test_consent_is_by_model_and_the_question_names_every_file() -> None:
    allowed = AllowedCode()
    allowed.allow("a", FILES)
    assert allowed.of("a") == FILES and allowed.of("b") == {}
    allowed.allow("a", OTHER)
    assert allowed.of("a") == OTHER
    question = code_question("a", FILES | {"gone.py": ""})
    assert f"own.py (SHA-256 {'ab' * 32})" in question and "gone.py (SHA-256 missing)" in question
    many = code_question("a", {f"{n}.py": "ab" * 32 for n in range(9)})
    assert "and 3 more" in many
