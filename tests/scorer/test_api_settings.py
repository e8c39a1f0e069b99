"""``measure_kv_fidelity`` with several settings: one run, and the reports of runs of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measured import measure
from tiny_models import write_tiny_model
from tiny_runs import Small, numbers

from scorer import measure_kv_fidelity, read_positions
from scorer.common.errors import InputError, SettingFailed
from scorer.lm.split_model import SplitModel
from scorer.report.setting_report import SettingReport
from scorer.runs.listing import find_run, list_runs
from scorer.spec.events import Event, Finished, Planned
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import settings_asked

pytestmark = pytest.mark.filterwarnings("ignore::scorer.common.warning_categories.ReportWarning")

ASKED = ["4", KVSetting(8, 4), "8", "2:32"]
KEYS = ["4", "k8v4", "8", "2:32"]


@pytest.mark.parametrize("settings", [ASKED, tuple(ASKED), "4,k8v4,8,2:32"])
def test_reports_come_in_the_order_asked_from_one_run(small: Small, settings: Any) -> None:
    reports = measure(small, settings=settings)
    assert [report.setting for report in reports] == KEYS
    (run,) = list_runs()
    assert {report.run_id for report in reports} == {run.id} and run.settings == tuple(KEYS)
    assert all(isinstance(report, SettingReport) for report in reports)


def test_each_report_is_that_of_the_setting_alone(small: Small) -> None:
    for report, setting in zip(measure(small, settings=ASKED), ASKED, strict=True):
        alone = measure(small, setting=setting)
        assert report.setting == alone.setting
        assert (report.kl, report.flip_rate, report.intervals) == (
            alone.kl,
            alone.flip_rate,
            alone.intervals,
        )
        ours, theirs = numbers(report.to_json()), numbers(alone.to_json())
        # What says where it stands among the others.
        for key in ("beaten_by", "on_frontier", "joint_intervals", "letters"):
            ours.pop(key, None)
            theirs.pop(key, None)
        assert ours == theirs


def test_a_list_of_one_is_a_list(small: Small) -> None:
    (report,) = measure(small, settings=["8"])
    assert numbers(report.to_json()) == numbers(measure(small, kv_bits=8).to_json())


@pytest.mark.parametrize("settings", [["8"], ["8", "4"], KEYS])
def test_n_settings_take_n_plus_one_passes_a_batch(
    small: Small, settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, batches = 0, 0
    whole = SplitModel.hidden

    def counted(self: SplitModel, *arguments: Any) -> Any:
        nonlocal passes
        passes += 1
        return whole(self, *arguments)

    def planned(event: Event) -> None:
        nonlocal passes, batches
        if isinstance(event, Planned):
            # What was done before was to check the model.
            passes, batches = 0, -(-len(event.chunks) // event.batch)

    monkeypatch.setattr(SplitModel, "hidden", counted)
    measure(small, settings=settings, max_chunks=8, on_event=planned)
    assert batches > 0 and passes == (len(settings) + 1) * batches


def test_notations_that_come_to_one_setting_have_a_report_each(
    small: Small, tmp_path: Path
) -> None:
    # Groups of 64 do not divide heads of 96.
    phi = Small(write_tiny_model(tmp_path / "tiny-phi", "llama", head_dim=96), small.text)
    reports = measure(phi, settings=["4:32", "8", "4"])
    assert [report.setting for report in reports] == ["4:32", "8:32", "4:32"]
    assert reports[0] == reports[2]


def test_what_holds_for_all_settings_holds_for_those_that_do_not_say(small: Small) -> None:
    options = {"kv_group_size": 32, "quantize_start": 7, "path": "dequantized"}
    reports = measure(small, settings=["4", "8:64@9"], **options)
    assert [r.setting for r in reports] == ["4:32@7~dequantized", "8@9~dequantized"]


def test_a_setting_that_fails_leaves_the_reports_of_the_others(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def same(stored: Any, unquantized: Any) -> dict[str, SettingFailed]:
        return {"4": SettingFailed("setting `4`: no use", "look at it")}

    monkeypatch.setattr("scorer.engine.checks.check_drift", same)
    with pytest.raises(SettingFailed, match="setting `4`: no use") as caught:
        measure(small, settings=["8", "4", "2"])
    assert list(caught.value.reports) == ["8", "2"]
    assert caught.value.reports["2"].kl.mean > caught.value.reports["8"].kl.mean > 0


def test_the_positions_of_a_report_are_found_by_its_run(small: Small) -> None:
    eight, four = measure(small, settings=["8", "4"])
    positions = read_positions(four.run_id)
    assert float(positions["4"].kl.mean()) == pytest.approx(four.kl.mean, rel=1e-12)
    assert float(positions["8"].kl.mean()) == pytest.approx(eight.kl.mean, rel=1e-12)


def test_paths_are_paths(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"there is no folder `{tmp_path}/demo`"):
        measure_kv_fidelity(Path("demo"), kv_bits=8)
    shutil.copytree(small.model, "demo")
    shutil.copy(small.text, "wikitext2")
    report = measure(small, kv_bits=8, model=Path("demo"), corpus=Path("wikitext2"))
    assert numbers(report.to_json()["kl"]) == numbers(measure(small, kv_bits=8).to_json()["kl"])
    job = find_run(report.run_id).job
    # Absolute: the run goes on from any folder.
    assert (job.model, job.corpus.source) == (str(tmp_path / "demo"), str(tmp_path / "wikitext2"))


def test_the_events_tell_what_each_notation_came_to(small: Small) -> None:
    events: list[Event] = []
    measure(small, settings=["8:64", "4"], on_event=events.append)
    (plan,) = [event for event in events if isinstance(event, Planned)]
    assert plan.resolved == {"8:64": "8", "4": "4"}
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        (8, ["8"]),
        ([8, 4], ["8", "4"]),
        (KVSetting(8, 4), ["k8v4"]),
        ("8, 4:32", ["8", "4:32"]),
        ((one for one in (8, "2")), ["8", "2"]),
        (np.array([8, 4]), ["8", "4"]),
    ],
)
def test_settings_are_named_in_many_ways(asked: Any, keys: list[str]) -> None:
    assert [setting.key for setting in settings_asked(asked)] == keys


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"settings": [8.5]}, "`8.5` is not a setting"),
        ({"settings": []}, "the job has no setting"),
        ({"setting": "8,4"}, "`8,4` is not a setting"),
        ({"kv_bits": 8, "max_chunks": "all"}, "max chunks `'all'` is not a whole number"),
        ({"kv_bits": 8, "max_chunks": 2.0}, "max chunks `2.0` is not a whole number"),
        ({"kv_bits": 8, "chunk_length": "512"}, "chunk length `'512'` is not a whole number"),
        ({"kv_bits": 8, "chunk_length": True}, "chunk length `True` is not a whole number"),
        ({"kv_bits": 8, "quantize_start": "5"}, "start `'5'` is not a whole number"),
        ({"kv_bits": 8, "chunks": 3}, "`3` is not a choice of chunks"),
    ],
)
def test_what_is_of_another_type_is_refused_in_one_line(options: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        measure_kv_fidelity("demo", **options)
    assert said in caught.value.message


def test_a_number_of_numpy_is_one() -> None:
    job = Job("demo", settings_asked(8), max_chunks=np.int64(3))  # type: ignore[arg-type]
    assert job.max_chunks == 3 and type(job.max_chunks) is int
    json.dumps(job.to_json())
