"""What has room in the workbench is shown whole, and nothing jumps."""

from __future__ import annotations

from app_pilot import (
    demo_choices,
    piloted,
    running,
    screen_text,
    show_news,
    until,
)
from cli_saved_runs import save_run

from scorer.spec.job import CorpusSpec


@piloted
async def test_a_wider_terminal_shows_at_once_what_had_no_room() -> None:
    name = "an-organisation-of-many-words/" + "A-Model-" * 5 + "4bit"
    async with running(demo_choices(model=name)) as (app, pilot):
        await until(pilot, lambda: "A-Model" in screen_text(app), "the title")
        assert name not in screen_text(app).splitlines()[0]
        await pilot.resize_terminal(140, 45)
        await until(pilot, lambda: name in screen_text(app).splitlines()[0], "the whole name")


@piloted
async def test_the_line_below_the_table_leaves_out_whole_what_has_no_room() -> None:
    run = save_run("8", job={"chunk_length": 128})
    async with running(demo_choices()) as (app, pilot):
        app.workbench.commands.open_run(run.id)
        await until(pilot, lambda: app.workbench.table.has_numbers, "numbers")
        await until(pilot, lambda: "128k 170 MiB" in screen_text(app), "the longest context")
        await pilot.resize_terminal(60, 24)
        await until(pilot, lambda: app.workbench.size.width == 60, "the new size")
        assert "8: KV 32k 42.5 MiB, 128k 170 MiB ─" in screen_text(app)
        [line] = [line for line in screen_text(app).splitlines() if " 8: " in line[:5]]
        assert "…" not in line


@piloted
async def test_at_140_columns_the_strip_holds_more_than_twenty_chunks_and_no_number_is_lost() -> (
    None
):
    run = save_run("8", job={"chunk_length": 128})
    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        app.workbench.commands.open_run(run.id)
        table = app.workbench.table
        await until(pilot, lambda: table.has_numbers and table.row_height() == 2, "numbers")
        result = app.comparison.settings["8"]
        result.kl[:] = [0.01] * 40
        result.in_text[0][:] = [0.01] * 40
        show_news(app)
        await pilot.press("w")
        if table.strips.has_own_scales:
            await pilot.press("w")
        assert "".join(text for text, _ in table.row_line(0, 0, table.size.width)).count("█") >= 20
        assert "4 chunks · p99 0." in screen_text(app)


@piloted
async def test_what_is_cut_of_an_earlier_run_ends_in_an_ellipsis() -> None:
    save_run("8", job={"corpus": CorpusSpec("/a/" + "name-" * 20)})
    async with running(demo_choices()) as (app, pilot):
        await until(pilot, lambda: bool(app.workbench.state.earlier), "the earlier run")
        # Weights that could be compared stand before it.
        await pilot.press("end")
        await until(pilot, lambda: "old" in screen_text(app), "the earlier run in view")
        [line] = [line for line in screen_text(app).splitlines() if "old 8" in line]
        assert line.rstrip(" │▅▄▃▂▁▆▇█").endswith("…")


@piloted
async def test_the_charts_stay_where_they_are_when_the_first_numbers_come() -> None:
    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        panel = app.workbench.body.run_panel
        panel.show_lines("Running", [[("one", "text")]], 0.1)
        await pilot.pause()
        before = app.workbench.query_one("#charts").region
        panel.show_lines("Running", [[("one", "text")], [("best", "text")]], 0.2)
        await pilot.pause()
        assert app.workbench.query_one("#charts").region == before
