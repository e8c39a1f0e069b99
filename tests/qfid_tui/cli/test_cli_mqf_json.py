"""``--format mqf-json``: one setting, named where there are several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_saved_runs import save_run
from tiny_models import write_tiny_model
from tiny_runs import Small

from qfid_tui.cli import main


@pytest.mark.parametrize("command", ["kv demo --kv-bits 8,4", "report {run}", "resume {run}"])
def test_a_format_of_one_setting_refuses_several_before_anything_is_scored(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = save_run()
    monkeypatch.setenv("QFID_SCORER", "/nowhere/it-is-not-started")
    assert main([*command.format(run=run.id).split(), "--format", "mqf-json"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.splitlines()[-2:] == [
        "error: mqf-json holds one setting, and this report has 2: `8`, `4`",
        "hint: --only 8 writes one; --format json holds them all",
    ]
    assert main([*command.format(run=run.id).split(), "--format", "mqf-json", "--only", "2"]) == 2
    assert capfd.readouterr().err.splitlines()[-2:] == [
        "error: the report has no setting `2`",
        "hint: it has `8`, `4`",
    ]
    assert main([*command.format(run=run.id).split(), "--format", "json", "--only", "8"]) == 2
    assert "error: --only chooses the setting of --format mqf-json" in capfd.readouterr().err


def test_one_setting_of_several_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    run = save_run()
    words = ["report", run.id, "--format", "mqf-json", "--only"]
    for only, bits in (("4", 4), ("8:64", 8), ("stock:4:64", 4)):
        assert main([*words, only]) == 0
        assert json.loads(capfd.readouterr().out)["kv_bits"] == bits


def test_a_width_names_the_group_that_it_came_to(
    small: Small, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Groups of 64 do not divide heads of 96.
    model = write_tiny_model(tmp_path / "tiny-phi", "llama", head_dim=96)
    options = "--chunk-length 32 --max-chunks 1 --kv-bits 8,4 --format mqf-json --only 4"
    words = ["kv", str(model), "--corpus", str(small.text), *options.split()]
    assert main(words) == 0
    values = json.loads(capfd.readouterr().out)
    assert (values["kv_bits"], values["kv_group_size"]) == (4, 32)
