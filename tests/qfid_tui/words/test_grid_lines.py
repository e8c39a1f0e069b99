"""The grid in words: what stands in a cell, and what is said of it."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from weights_states import finished_state, ticked

from qfid_tui.words.grid_lines import (
    about_cell,
    answer_lines,
    cell_lines,
    cell_style,
    cells_text,
    deployment_line,
    grid_title,
    legend_text,
    size_text,
)
from scorer.spec.events import Loading


def text(lines: list[list[tuple[str, str]]]) -> str:
    return "\n".join("".join(part for part, _ in line) for line in lines).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("weights", "caches", "cells", "said"),
    [
        (3, 2, 11, "3 weights × 2 KV = 11 cells"),
        (3, 2, 5, "3 weights × 2 KV: 5 cells"),
        (1, 2, 5, "1 set of weights × 2 KV = 5 cells"),
        (2, 0, 2, "2 sets of weights"),
        (0, 1, 1, "1 KV setting"),
    ],
)
def test_the_size_is_said_as_a_product_where_it_is_one(
    weights: int, caches: int, cells: int, said: str
) -> None:
    assert cells_text(weights, caches, cells) == said


@pytest.mark.parametrize("width", [13, 16, 24])
@pytest.mark.parametrize("number", ["KL", "bytes", "flips"])
def test_every_line_of_a_cell_has_room(width: int, number: str) -> None:
    grid = finished_state(memory=300_000_000).grid
    for row in grid.cells:
        for cell in row:
            lines = cell_lines(cell, grid.pick, width, 3, number)
            one = cell_lines(cell, grid.pick, width, 1, number)
            assert all(cell_len(line) <= width for line in (*lines, *one)), lines


def test_verdict_choice_and_fit_have_a_sign_beside_their_colour() -> None:
    grid = finished_state(memory=200_000_000).grid
    shown = {
        cell.name: cell_lines(cell, grid.pick, 16, 1, "KL")[0] for row in grid.cells for cell in row
    }
    assert grid.part is not None and grid.part.pick is not None
    assert shown[grid.part.pick].startswith("◆")
    styles = {cell.name: cell_style(cell) for row in grid.cells for cell in row if cell.figures}
    too_large = [c.name for row in grid.cells for c in row if c.figures and not c.fits]
    assert too_large and all("(" in shown[name] for name in too_large)
    assert {styles[name] for name in too_large} == {"muted"}
    signs = {"good": "✓", "marginal": "~", "bad": "✗"}
    assert all(signs[s] in shown[name] for name, s in styles.items() if s in signs)
    assert "( ) does not fit" in legend_text(grid) and "◆ to run" in legend_text(grid)
    # Letters stand in cells of three lines only.
    assert any(cell.letters for row in grid.cells for cell in row)
    assert "same letter" in legend_text(grid, 3) and "same letter" not in legend_text(grid, 2)


def test_a_cell_says_its_numbers_its_bytes_and_what_its_parts_do_together() -> None:
    grid = finished_state(memory=10**9).grid
    said = text(about_cell(grid, *grid.place_of("w8+4"), {}))
    assert "w8+4  " in said and "KL" in said and "✓ fits" in said
    assert "weights + " in said and "prefill at step" in said
    assert "adding the drifts of w8 and 4 gives" in said
    assert "by the bounds of KV settings" in text(about_cell(grid, 0, 1, {}))
    assert "what every cell is compared with" in text(about_cell(grid, 0, 0, {}))
    row = grid.weights.index("wmxfp8")
    assert "neither scored nor ticked" in text(about_cell(grid, row, 1, {}))


def test_guilt_is_said_of_a_bad_pair() -> None:
    grid = finished_state("8,w3,w3+8").grid
    said = text(about_cell(grid, *grid.place_of("w3+8"), {}))
    assert "the weights w3 drift more" in said


def test_the_answer_says_choice_frontier_contexts_and_commands() -> None:
    grid = finished_state(memory=10**9, context=32768).grid
    said = text(answer_lines(grid, grid.contexts, any_scored=True))
    assert said.startswith("◆ ") and "in 1.00 GB at 32k tokens of context" in said
    assert "frontier, at the smallest steps" in said and "by context" in said
    assert "$ mlx_lm.generate" in said
    little = finished_state(memory=10**6).grid
    assert text(answer_lines(little, None, any_scored=True)).startswith("✗ Nothing fits in 1.0 MB")


def test_before_a_run_it_says_how_many_cells_fit() -> None:
    state = ticked()
    assert size_text(state.grid) == "2 weights × 2 KV = 8 cells"
    said = text(answer_lines(state.grid, None, any_scored=False))
    assert said == "Nothing is scored yet: 9 of 9 cells fit, there is no limit"


def test_the_deployment_is_said_with_the_keys_of_the_user() -> None:
    grid = finished_state(memory=16 * 10**9, context=32768).grid
    said = text([deployment_line(grid, {"m": "f2"})])
    assert said == ("memory 16 GB (f2 - +) · context 32k (c [ ]) · on metal (v) · 1 sequence (p)")


def test_the_title_keeps_the_bounds_and_says_how_far_a_run_is() -> None:
    state = ticked()
    comparison = state.comparison
    for width in (40, 80, 140):
        assert "bounds of weights" in grid_title(state.grid, comparison, width)
    comparison.begin(state.choices.job())
    comparison.add(Loading("model", "w4"))
    assert "loading w4" in grid_title(state.grid, comparison, 80)
    assert cell_len(grid_title(state.grid, comparison, 60)) <= 60
