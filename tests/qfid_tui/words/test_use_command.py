"""The command line that uses the setting under the cursor."""

from __future__ import annotations

import dataclasses

import pytest
from cli_saved_runs import save_run
from workbench_states import workbench

from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import earlier_settings
from qfid_tui.state.workbench import RowCursor, WorkbenchState
from qfid_tui.words.use_command import copied_text, use_command
from scorer.common.errors import InputError
from scorer.report.from_run import finished_report
from scorer.spec.settings.registry import parse_setting

MODEL = "org/a model"


def at(name: str, run: str = "", state: WorkbenchState | None = None) -> WorkbenchState:
    """The cursor on a setting, which is offered."""
    if state is None:
        state = workbench(choices=Choices(model=MODEL))
    if name and not run:
        ticked = state.choices.ticking(parse_setting(name), True)
        state = state.changed(choices=ticked)
    state = state.changed(row_cursor=RowCursor(0, name, run))
    assert state.row is not None and (state.row.name, state.row.run) == (name, run)
    return state


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("8", "--kv-bits 8 --kv-group-size 64 --quantized-kv-start 0 "),
        ("4:32@512", "--kv-bits 4 --kv-group-size 32 --quantized-kv-start 512 "),
        ("", ""),
    ],
)
def test_the_line_of_a_setting_and_of_the_16_bit_row(name: str, options: str) -> None:
    line = f"mlx_lm.generate --model 'org/a model' {options}--prompt …"
    assert use_command(at(name)) == line


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("4~dequantized", "no runtime computes 4~dequantized", "the line that uses 4 "),
        ("k8v4", "has no options for k8v4", "one width for keys and values"),
        ("w=/x/y.gguf+8", "does not run GGUF files such as y.gguf", "llama-server -m FILE"),
        ("k8v4~dequantized", "no runtime computes k8v4~dequantized", "the line that uses k8v4 "),
    ],
)
def test_what_no_line_uses_says_why(name: str, message: str, hint: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        use_command(at(name))
    assert hint in refused.value.hint


def test_an_earlier_row_has_the_line_of_its_setting() -> None:
    run = save_run(job={"model": MODEL})
    earlier = tuple(earlier_settings(MODEL))
    state = workbench(choices=Choices(model=MODEL), earlier=earlier)
    assert "--kv-bits 4 --kv-group-size 64 " in use_command(at("4", run.id, state))


def test_what_mlx_lm_was_found_not_to_run_has_no_line() -> None:
    run = save_run(job={"model": MODEL})
    report = finished_report(run)
    rows = [
        dataclasses.replace(row, runnable_by_mlx_lm=row.setting == "8") for row in report.settings
    ]
    comparison = Comparison(run.job)
    comparison.take_report(dataclasses.replace(report, settings=tuple(rows)))
    state = workbench(choices=Choices(model=MODEL), comparison=comparison)
    assert "--kv-bits 8" in use_command(at("8", state=state))
    with pytest.raises(InputError, match="mlx-lm cannot run 4 on this model"):
        use_command(at("4", state=state))


def test_the_built_in_model_and_no_model_have_none() -> None:
    with pytest.raises(InputError, match="does not know the built-in model"):
        use_command(at("8", state=workbench()))
    with pytest.raises(InputError, match="no setting is under the cursor"):
        use_command(workbench(choices=Choices()))


def test_weights_that_are_made_come_with_the_command_that_makes_them() -> None:
    lines = use_command(at("w4+8")).splitlines()
    assert [line.split()[0] for line in lines] == ["mlx_lm.convert", "mlx_lm.generate"]
    assert "--q-bits 4" in lines[0] and "--kv-bits 8" in lines[1]
    assert copied_text("a\nb") == "a and 1 more line" and copied_text("a") == "a"
    [line] = use_command(at("w=org/q-4bit")).splitlines()
    assert line.startswith("mlx_lm.generate --model org/q-4bit ")
