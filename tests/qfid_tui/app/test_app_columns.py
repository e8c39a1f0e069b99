"""No two columns of a table touch, whatever is in them."""

from __future__ import annotations

import dataclasses
import itertools

from app_pilot import demo_choices, piloted, running

from qfid_tui.app.widgets.model_picker import ModelPicker
from qfid_tui.app.widgets.settings_table import SettingsTable
from qfid_tui.state.kv_cost import KVCost
from qfid_tui.state.setting_results import Figures
from qfid_tui.state.table_rows import TableRow
from qfid_tui.words.table_cells import cost_text, margin_text, share_text, verdict_text
from scorer.models.resolve import resolve_model
from scorer.spec.settings.registry import parse_setting
from scorer.stats.intervals import Interval

NAME = "k8v4:128@4096~dequantized"
WIDE = Figures(
    chunks=100,
    kl_mean=1.2345e-12,
    kl_interval=Interval(0.0, 9.876e-12),
    kl_p99=1.2345e-100,
    flip_rate=1.0,
    perplexity=9.0,
    perplexity_delta=-1.25e-110,
    verdict="marginal",
    is_open=True,
    more_chunks=None,
    held_by=(),
    final=True,
)
COST = KVCost(123456789.0, 0.53, (1e15, 1e15, 1e15), exact=False)
# The content of the table at 60, 80, 100 and 140 columns, with and without a scroll bar.
WIDTHS = (56, 77, 78, 92, 97, 98, 119, 120, 137, 138)


def row(figures: Figures | None) -> TableRow:
    numbers = () if figures is None else (0.5,) * 9
    return TableRow(NAME, parse_setting(NAME), True, COST, figures, kl=numbers, flips=numbers)


@piloted
async def test_no_two_columns_of_the_settings_touch() -> None:
    async with running(demo_choices()) as (app, _):
        table: SettingsTable = app.workbench.table
        for width, figures in itertools.product(WIDTHS, (WIDE, None)):
            table.rows, table.has_numbers = [row(figures)], figures is not None
            head = "".join(part for part, _ in table.head_line(0, width))
            text = "".join(part for part, _ in table.row_line(0, 0, width))
            assert len(text) <= width
            wanted = [cost_text(COST, 11)]
            if figures is None:
                wanted += ["53 %", *["≈909 TiB"] * head.count(" at ")]
                assert " at 128k" in head and " of 16 bit" in head, width
            else:
                wanted = [cost_text(COST, 8)] if "B/token" in head else []
                wanted += [margin_text(WIDE, 17), share_text(1.0), verdict_text(WIDE)]
                wanted += ["1.23e-100"] if "KL p99" in head else []
                wanted += ["−1e-110"] if "Δppl" in head else []
            for cell in wanted:
                # Each stands between blanks; what was found is not found again.
                assert f" {cell} " in f"{text} ", (width, cell, text)
                text = text.replace(f" {cell}", " ", 1)


@piloted
async def test_letters_stand_behind_the_verdict_in_every_width() -> None:
    async with running(demo_choices()) as (app, _):
        table: SettingsTable = app.workbench.table
        table.has_numbers = True
        for width, letters in itertools.product(WIDTHS, ("a", "abc", "abcdefghijk")):
            table.rows = [
                dataclasses.replace(row(WIDE), letters=letters),
                dataclasses.replace(row(WIDE), name="8"),
            ]
            head, text, other = (
                "".join(part for part, _ in line)
                for line in (
                    table.head_line(0, width),
                    *(table.row_line(i, 0, width) for i in (0, 1)),
                )
            )
            most = 8 if width >= 88 else 3
            shown = letters if len(letters) <= most else f"{letters[: most - 1]}…"
            if width >= 62:
                at = head.index("verdict")
                assert text[at:].startswith(f"~ marginal? {shown}"), width
                assert other[at : at + 13] == "~ marginal?  ", width
                column = head[at + 12 :].split()[0]
                assert column == ("group" if width >= 88 else "≈" if len(shown) < 3 else "grp")
            assert max(map(len, (head, text, other))) <= width


@piloted
async def test_names_of_weights_that_are_only_offered_take_no_room_from_the_strips() -> None:
    choices = dataclasses.replace(demo_choices(), model="org/A-Model-of-a-long-name-4bit")
    key = "w=org/A-Model-of-a-long-name-fp16"
    async with running(choices) as (app, _):
        table: SettingsTable = app.workbench.table
        table.show(app.workbench.state.changed(choices=choices))
        scored = dataclasses.replace(row(WIDE), name="8", letters="a")
        offered = TableRow(key, parse_setting(key), False, None)
        assert offered.is_offer
        table.rows, table.has_numbers = [scored, offered], True
        head, line = (
            "".join(part for part, _ in found)
            for found in (table.head_line(0, 92), table.row_line(1, 0, 92))
        )
        assert "flips" in head.partition("verdict")[2]
        assert line.startswith("  [ ] …fp16 ")
        table.rows = [scored, dataclasses.replace(offered, ticked=True)]
        assert "-name-fp16" in "".join(part for part, _ in table.row_line(1, 0, 138))


@piloted
async def test_no_two_columns_of_the_models_touch() -> None:
    async with running() as (app, pilot):
        picker: ModelPicker = app.workbench.picker
        wide = dataclasses.replace(
            resolve_model("demo"),
            name="organisation/" + "A-Model-" * 12 + "4bit",
            architecture="an_architecture_of_many_words",
            weight_bits=16.25,
            size_bytes=1022 << 30,
            last_used=1.7e9,
        )
        app.workbench.reader.add_models([wide])
        await pilot.pause()
        for width in (44, 58, 62, 78, 98, 138):
            text = "".join(part for part, _ in picker.row_line(0, 0, width))
            assert len(text) == width
            cells = text.split()
            assert "TiB" in cells and "0.998" in cells, width
            assert ("16.2-bit" in cells) == (width >= 58), width
            assert any(cell.startswith("2023-11-1") for cell in cells) == (width >= 70), width
            assert any(cell.startswith("an_arch") for cell in cells) == (width >= 90), width
            assert any(cell.endswith("4bit") for cell in cells), width
