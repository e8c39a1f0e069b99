"""The grid of weights and KV settings as a value."""

from __future__ import annotations

import pytest
from weights_reports import REPO
from weights_states import finished_state, ticked

from qfid_tui.state.chart_points import total_chart
from qfid_tui.state.deployment_steps import CONTEXTS, MEMORIES, next_context, next_memory
from qfid_tui.state.setting_names import ended, name_beside, names_of, short_name
from qfid_tui.state.workbench_changes import put_deployment, tick, toggle_pairs
from scorer.report.deployment import deployment_part
from scorer.spec.deployment import DeploymentSpec


def test_before_a_run_the_grid_holds_what_is_ticked_and_what_it_takes() -> None:
    grid = ticked().grid
    assert (grid.weights, grid.caches) == (("", "w8", "w4"), ("", "8", "4"))
    names = [cell.name for row in grid.cells for cell in row]
    assert names == ["reference", "8", "4", "w8", "w8+8", "w8+4", "w4", "w4+8", "w4+4"]
    assert {cell.status for row in grid.cells for cell in row} == {"reference", "ticked"}
    sizes = [cell.placed.total_bytes for row in grid.cells for cell in row if cell.placed]
    assert len(sizes) == 9 and grid.place_of("w4+8") == (2, 1)
    # Weights and cache are counted beside each other.
    assert grid.cell(1, 0).placed.weight_bytes - grid.cell(2, 0).placed.weight_bytes == (
        ticked().offer.known["w8"].weight_bytes - ticked().offer.known["w4"].weight_bytes
    )
    assert grid.cell(9, 9).name == "w4+4"


def test_without_pairs_only_the_edges_are_asked_for() -> None:
    state = toggle_pairs(ticked()).state
    assert [cell.status for row in state.grid.cells[1:] for cell in row] == (
        ["ticked", "absent", "absent"] * 2
    )


def test_memory_decides_what_fits_and_moves_nothing_else() -> None:
    state = ticked()
    totals = sorted(cell.placed.least_bytes for row in state.grid.cells for cell in row)
    less = put_deployment(state, memory=totals[4])
    fits = [cell.fits for row in less.grid.cells for cell in row]
    assert 0 < sum(fits) < 9 and sum(fits) == sum(total <= totals[4] for total in totals)
    # The settings table has its rows still.
    assert less.rows == state.rows


def test_of_a_finished_run_the_choice_is_that_of_its_report() -> None:
    for memory, context in ((None, 8192), (500_000_000, 32768), (90_000_000, 8192)):
        state = finished_state(memory=memory, context=context)
        report = state.comparison.report
        spec = DeploymentSpec(memory, context)
        same = deployment_part(report.reference, report.settings, report.comparisons, spec)
        part = state.grid.part
        assert (part.pick, part.reason, part.cells) == (same.pick, same.reason, same.cells)
        assert part.sentences == same.sentences and part.commands == same.commands
        # Other contexts take longer and are asked for apart.
        assert part.contexts == () and state.grid.contexts == same
        frontier = [cell.name for cell in state.grid.frontier]
        assert set(frontier) == {cell.setting for cell in same.cells if cell.on_frontier}


def test_what_a_report_does_not_place_is_no_cell_and_is_named() -> None:
    grid = finished_state("w3,w3+8,w3+8~dequantized,w3+8@32").grid
    assert (grid.weights, grid.caches) == (("", "w3"), ("", "8"))
    assert grid.part is not None and len(grid.part.notes) >= 2
    assert "left out, as scored on other positions: `w3+8@32`" in grid.part.notes


def test_a_cell_has_its_interaction_and_its_verdict_by_the_other_bounds() -> None:
    grid = finished_state().grid
    assert grid.is_final and grid.bounds == "weights"
    pair = grid.cell(*grid.place_of("w8+4"))
    assert pair.interaction is not None and pair.interaction.setting == "w8+4"
    assert grid.cell(0, 1).kv_verdict and not pair.kv_verdict
    # Asked for neither alone nor as a pair.
    assert grid.cell(*grid.place_of("wmxfp8")).status == "scored"
    assert grid.cells[grid.weights.index("wmxfp8")][1].status == "absent"


def test_failed_waiting_and_dropped_cells_say_so() -> None:
    state = finished_state("8,w8,w8+8,w3", waiting=("w8+8",), dropped={"w3": "beaten by `w8`"})
    grid = state.grid
    assert grid.cell(*grid.place_of("w3")).dropped == "beaten by `w8`"
    assert grid.cell(*grid.place_of("w8+8")).status == "ticked"
    state.comparison.settings["w8"].failure = "not finite"
    again = state.changed(version=state.version + 1).grid
    assert again.cell(*again.place_of("w8")).status == "failed"


def test_the_chart_of_a_grid_is_over_least_total_bytes() -> None:
    grid = finished_state().grid
    chart = total_chart(grid)
    assert chart.context == "8k" and chart.of_weights
    assert {point.label for point in chart.points} == {
        ended(grid.name(cell.name), 14) for row in grid.cells for cell in row if cell.figures
    }
    by_bytes = sorted(chart.points, key=lambda point: point.bytes_per_token)
    assert by_bytes[0].bytes_per_token == min(cell.placed.least_bytes for cell in grid.frontier)


def test_a_pair_of_ticked_parts_is_ticked_and_only_pairs_switches_it_off() -> None:
    state = ticked()
    state.comparison.begin(state.choices.job())
    state.comparison.phase = "finished"
    state = state.changed(version=state.comparison.version)
    [row] = [row for row in state.rows if row.name == "w4+8"]
    assert row.ticked
    told = tick(state, row)
    assert told.state is state and "p leaves pairs out" in told.notice


def test_steps_of_memory_end_in_no_limit_and_contexts_stay_inside() -> None:
    assert next_memory(None, 1, 0) is None
    assert next_memory(None, -1, 30_000_000) == 32_000_000
    assert next_memory(16_000_000, 1, 0) == 24_000_000
    assert next_memory(17_000_000, -1, 0) == 16_000_000
    assert next_memory(MEMORIES[0], -1, 0) == MEMORIES[0]
    assert next_memory(MEMORIES[-1], 1, 0) is None
    assert (next_context(8192, 1), next_context(9000, -1)) == (16384, 8192)
    assert (next_context(CONTEXTS[0], -1), next_context(CONTEXTS[-1], 1)) == (512, 1 << 20)


@pytest.mark.parametrize(
    ("key", "short", "beside"),
    [
        ("w4+8", "w4+8", "w4+8"),
        ("k8v4", "k8v4", "k8v4"),
        ("w=org/Base-Instruct-4bit+8", "Base-Instruct-4bit+8", "…4bit+8"),
        ("w=org/other-4bit", "other-4bit", "other-4bit"),
        ("w=nothing else", "w=nothing else", "w=nothing else"),
    ],
)
def test_short_names(key: str, short: str, beside: str) -> None:
    assert short_name(key) == short
    assert name_beside(key, "org/Base-Instruct-fp16") == beside


def test_of_many_names_the_first_are_said() -> None:
    assert names_of(("8", REPO)).startswith("8, a-rather-long")
    assert names_of(tuple("8654327")) == "8, 6, 5, 4 and 3 more"


def test_a_long_name_of_a_file_keeps_its_type() -> None:
    assert ended("SmolLM2-Q4_0.gguf", 17) == "SmolLM2-Q4_0.gguf"
    assert ended("SmolLM2-Q4_0.gguf", 8) == "…M2-Q4_0"
    assert ended("SmolLM2-Q4_0.gguf+8", 14) == "SmolLM2-Q4_0+8"
