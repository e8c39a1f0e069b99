"""The line below the table says all it says in 80 columns, and no command in it is cut."""

from __future__ import annotations

import dataclasses

import pytest
from workbench_states import workbench

from qfid_tui.state.run_options import OPTIONS
from qfid_tui.state.table_rows import TableRow
from qfid_tui.words.about_line import about_models, about_row, setting_text
from scorer.spec.settings.registry import parse_setting

# Of 80 columns, those inside the padding of the line.
ROOM = 78


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.field)
def test_every_option_is_explained_in_80_columns(option: object) -> None:
    assert len(option.explained) <= ROOM  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.field)
def test_every_value_of_an_option_fits_the_narrow_column_of_a_wide_screen(option: object) -> None:
    for value in option.values:  # type: ignore[attr-defined]
        assert len(option.shown(value)) <= 24, value  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [58, ROOM, 138])
@pytest.mark.parametrize("names", [{}, {"r": "ctrl+shift+f5", "/": "f12"}])
def test_the_command_that_fetches_a_model_is_whole(width: int, names: dict[str, str]) -> None:
    said = about_models(1, names, width)
    assert "`qfid pull org/name`" in said and len(said) <= width
    assert len(about_models(7, names, width)) <= max(width, 60)


@pytest.mark.parametrize("name", ["8", "k8v4:128@4096~dequantized", "k16v4:32@512~dequantized"])
def test_a_setting_is_described_in_80_columns(name: str) -> None:
    row = TableRow(name, parse_setting(name), True, None)
    said = about_row(row, with_costs=False, with_note=False, width=ROOM, names={})
    assert len(said) <= ROOM
    assert said.startswith(setting_text(parse_setting(name))[:10])
    assert ("dequantized" in said) == name.endswith("dequantized")


def test_parts_of_a_note_that_have_no_room_are_left_out_whole() -> None:
    from workbench_states import scored

    state = workbench(comparison=scored(chunks=4), version=9)
    row = dataclasses.replace(state.rows[0])
    full = about_row(row, with_costs=False, with_note=True, width=200, names={})
    assert " · KL p99 " in full
    cut = about_row(row, with_costs=False, with_note=True, width=len(full) - 1, names={})
    assert cut == full.partition(" · KL p99 ")[0]
