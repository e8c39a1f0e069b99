"""Heads that groups of 64 do not divide: what a width alone means, and what is refused."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from tiny_models import write_tiny_model
from tiny_runs import Small, cells, failed, finished, planned, stopped

from qfid_tui.cli import main
from scorer import measure_kv_fidelity
from scorer.common.errors import InputError
from scorer.runs.listing import find_run
from scorer.score import score
from scorer.spec.events import Planned
from scorer.spec.settings.registry import parse_settings


@pytest.fixture(scope="module")
def phi(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A model whose heads have 96 elements, as Phi-3's."""
    folder = tmp_path_factory.mktemp("phi")
    return Small(write_tiny_model(folder / "tiny-phi", "llama", head_dim=96), small.text)


def test_a_width_is_scored_stored_and_shown_with_its_group(phi: Small) -> None:
    events = phi.score("8,k8v4,4:32,4")
    assert planned(events).settings == ["8:32", "k8v4:32", "4:32"]
    report = finished(events).report
    assert [row["setting"] for row in report["settings"]] == ["8:32", "k8v4:32", "4:32"]
    assert [row["kv_group_size"] for row in report["settings"]] == [32, 32, 32]
    assert "--settings 8:32,k8v4:32,4:32" in report["run"]["command"]
    run = find_run(planned(events).run)
    assert set(run.scored()) == {"8:32", "k8v4:32", "4:32"} and run.whole and run.finished
    assert run.facts.run is not None
    assert [s.key for s in run.facts.run.job.settings] == ["8", "k8v4", "4:32", "4"]


def test_a_run_goes_on_with_what_was_written(phi: Small) -> None:
    job = phi.job("8,4")
    run = planned(stopped(job, after=1)).run
    again = list(score(job, run=run))
    assert cells(again) == [("4:32", 0), ("8:32", 1), ("4:32", 1)]
    assert [row["setting"] for row in finished(again).report["settings"]] == ["8:32", "4:32"]
    assert list(score(find_run(run).job, run=run))[-1] == finished(again)


def test_a_written_group_that_does_not_divide_is_refused_with_a_command_that_works(
    phi: Small, capfd: pytest.CaptureFixture[str]
) -> None:
    assert failed(phi.score("4,8:64")).exit_code == 2
    words = ["kv", str(phi.model), "--corpus", str(phi.text)]
    options = [*"--chunk-length 32 --max-chunks 1 --settings 4,8:64".split()]
    assert main([*words, *options]) == 2
    err = capfd.readouterr().err
    assert "setting `8:64`: group size 64 does not divide the head dimension 96" in err
    (command,) = re.findall("`(qfid kv .*)`", err)
    assert "--settings 4:32,8:32" in command
    assert main([*shlex.split(command)[1:], "--format", "json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert [row["setting"] for row in report["settings"]] == ["4:32", "8:32"]


@pytest.mark.parametrize(
    "option", ["--kv-group-size 64 --kv-bits 8", "--settings stock:8:64", "--settings k8v4:64"]
)
def test_every_way_to_write_the_group_counts(
    phi: Small, option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["kv", str(phi.model), "--corpus", str(phi.text), *option.split()]) == 2
    assert "group size 64 does not divide the head dimension 96" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore::scorer.common.warning_categories.ReportWarning")
def test_python_has_the_same_default(phi: Small) -> None:
    def measured(**options: int) -> str:
        return measure_kv_fidelity(
            str(phi.model), corpus=str(phi.text), chunk_length=32, max_chunks=1, **options
        ).setting

    assert measured(kv_bits=8) == measured(kv_bits=8, kv_group_size=32) == "8:32"
    with pytest.raises(InputError, match="`8:64`: group size 64 does not divide"):
        measured(kv_bits=8, kv_group_size=64)


def test_heads_that_no_group_divides_are_told_before_anything_runs(
    small: Small, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = write_tiny_model(tmp_path / "tiny-80", "llama", head_dim=80)
    (model / "model.safetensors").rename(model / "model-kept.safetensors")
    events = Small(model, small.text).score("8")
    assert failed(events).exit_code == 2
    assert not any(isinstance(event, Planned) for event in events)
    assert "no group size of MLX divides heads of 80 elements" in failed(events).message


def test_sides_of_unlike_heads_can_be_quantized_one_by_one() -> None:
    from scorer.spec.geometry import KVGeometry, KVLayer

    geometry = KVGeometry((KVLayer(2, 80, 64),), 1)
    assert geometry.quantizable and not geometry.legal_groups()
    (values_only,) = parse_settings("k16v4")
    values_only.resolved(geometry).check(geometry)
    with pytest.raises(InputError, match="head dimension 80"):
        parse_settings("4")[0].resolved(geometry).check(geometry)
