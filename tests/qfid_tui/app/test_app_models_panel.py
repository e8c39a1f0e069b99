"""The list of models: its order, what it shows on wide terminals, the costs under its cursor."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from app_pilot import SIZES, compare, demo_choices, piloted, running, screen_text, until
from fake_hub_cache import model_files, write_repo
from workbench_states import scored

from qfid_tui.app.app import QfidApp
from qfid_tui.state.choices import Choices
from scorer.models.hub_cache import hub_folder
from scorer.models.resolve import resolve_model
from scorer.spec.geometry import KVGeometry, KVLayer

DEMO = resolve_model("demo")


def add_models(app: QfidApp, number: int = 40) -> None:
    """Models of which the first is the largest and the last was used last."""
    app.workbench.reader.add_models(
        [
            dataclasses.replace(
                DEMO,
                name=f"org/model-{i:02}",
                size_bytes=(number - i) << 30,
                last_used=1.7e9 + 86400 * i,
                geometry=KVGeometry((KVLayer(i + 1, 64, 64),), 1),
            )
            for i in range(number)
        ]
    )


def seen(app: QfidApp) -> bool:
    """Whether the name under the cursor is on the screen."""
    picker = app.workbench.picker
    assert picker.model is not None
    name = "demo (built in)" if picker.model.name == "demo" else picker.model.name
    return any("▸" in line and name in line for line in screen_text(app).splitlines())


@pytest.mark.parametrize("size", [*SIZES, (60, 18)])
@piloted
async def test_the_cursor_is_seen_in_every_order_and_after_filtering(size: tuple[int, int]) -> None:
    async with running(Choices(), size=size) as (app, pilot):
        picker = app.workbench.picker
        add_models(app)
        await pilot.pause()
        assert picker.model is not None and picker.model.name == "demo" and seen(app)
        firsts = []
        for said in ("last used first", "largest first", "by name", "last used first"):
            assert f"41 · {said}, v sorts" in screen_text(app)
            await pilot.press("home")
            await pilot.pause()
            firsts.append(picker.model.name)
            await pilot.press("down", "v")
            await pilot.pause()
            # The cursor stays on its model.
            assert picker.model.name != "demo" and seen(app)
        assert firsts == ["org/model-39", "org/model-00", "org/model-00", "org/model-39"]
        await pilot.press("slash", *"-3")
        await pilot.pause()
        assert picker.row_count() == 10 and seen(app)
        await pilot.press("escape", "m")
        await pilot.pause()
        assert picker.row_count() == 41 and seen(app)


@piloted
async def test_wide_terminals_show_bits_architecture_and_the_last_use() -> None:
    async with running(Choices(), size=(180, 40)) as (app, pilot):
        add_models(app, 2)
        await pilot.pause()
        [line] = [line for line in screen_text(app).splitlines() if "org/model-00" in line]
        cells = line.split("│")[1].split()
        assert cells[0] == "org/model-00" and DEMO.architecture in cells
        assert "16-bit" in cells and cells[-1].startswith("2023-11-1")
        await pilot.resize_terminal(110, 40)
        await until(pilot, lambda: "16-bit     2 GiB" in screen_text(app), "the narrow list")
        assert "2023-11-1" not in screen_text(app)


@piloted
async def test_costs_follow_the_cursor_of_the_list() -> None:
    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        add_models(app, 2)
        comparison = scored(chunks=4)
        comparison.end(by_user=True)
        compare(app, comparison)
        await pilot.pause()
        numbers = "\n".join(screen_text(app).splitlines()[:12])
        assert "KL mean, nats" in numbers
        await pilot.press("m", "home")
        await pilot.pause()
        text = screen_text(app)
        assert "costs of org/model-01" in text and "KL mean, nats" not in text
        # Two heads of 64 elements for keys and for values, 16 bit.
        assert "16 bit           512" in text
        await pilot.press("down")
        await pilot.pause()
        assert "costs of org/model-00" in screen_text(app)
        assert "16 bit           256" in screen_text(app)
        assert "takes org/model-00, r runs it at once" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.choices.model == "demo"
        assert "\n".join(screen_text(app).splitlines()[:12]).count("KL mean, nats") == 1


@piloted
async def test_the_key_says_where_models_are_sorted() -> None:
    async with running(demo_choices()) as (app, pilot):
        await pilot.press("v")
        await pilot.pause()
        assert "m goes there" in screen_text(app)
        assert app.workbench.state.order == "last used"


@piloted
async def test_the_list_is_read_again_when_it_is_opened() -> None:
    gone = write_repo(hub_folder(), "org/gone", model_files()).parents[1]
    async with running(demo_choices()) as (app, pilot):
        await until(pilot, lambda: not app.workbench.state.reading, "the models")
        assert "org/gone" in app.workbench.state.found
        shutil.rmtree(gone)
        write_repo(hub_folder(), "org/new", model_files())
        await pilot.press("m")
        found = app.workbench.state
        await until(pilot, lambda: "org/new" in app.workbench.state.found, "the new one")
        await until(pilot, lambda: "org/gone" not in app.workbench.state.found, "the gone one")
        assert "demo" in found.found and app.workbench.state.model is not None
