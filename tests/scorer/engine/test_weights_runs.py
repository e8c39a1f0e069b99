"""Runs that compare weights: together or in turns, stopped, resumed and added to."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import SMALL, write_tiny_model
from tiny_runs import (
    Small,
    cells,
    failed,
    finished,
    numbers,
    planned,
    resumed,
    stopped,
    stored_cells,
)

from scorer.engine.turns import STATES
from scorer.report.from_run import finished_report
from scorer.runs.listing import find_run
from scorer.score import score
from scorer.spec.events import ChunkScored, Event, SettingFailedEvent, Warned
from scorer.spec.settings.weights import StoredWeights

# Pairs, weights alone, the cache alone, and one that scores a part of the positions.
SETTINGS = "w8:32,4,w2:32,w2:32+4,w8:32+4@9"


@pytest.fixture(scope="module")
def copies(small: Small, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The model of :func:`small`, quantized to so many bits as a folder of its own."""
    folder = tmp_path_factory.mktemp("copies")
    return {
        bits: write_tiny_model(folder / f"q{bits}", "llama", bits=bits, **SMALL) for bits in (8, 2)
    }


def columns(run: str) -> dict[str, dict[int, list[Any]]]:
    """Every stored scalar, by setting and chunk."""
    return {
        name: {
            int(p.chunk[0]): [getattr(p, f.name) for f in dataclasses.fields(p)] for p, _ in batches
        }
        for name, batches in find_run(run).read().items()
    }


def assert_same_bits(one: str, other: str) -> None:
    these, those = columns(one), columns(other)
    assert these.keys() == those.keys()
    for name, chunks in these.items():
        assert chunks.keys() == those[name].keys()
        for chunk, values in chunks.items():
            for a, b in zip(values, those[name][chunk], strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def together(small: Small, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Any]:
    """A run with all weights in memory: its id, its data folder and its report."""
    folder = tmp_path_factory.mktemp("together")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QFID_DATA_DIR", str(folder))
        events = small.score(SETTINGS, max_chunks=3)
        return planned(events).run, folder, numbers(finished(events).report)


def test_in_turns_every_number_is_the_same(
    small: Small, together: tuple[str, Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder, _ = together
    monkeypatch.setenv("QFID_DATA_DIR", str(folder))
    events = small.score(SETTINGS, max_chunks=3, one_at_a_time=True, batch=2)
    assert finished(events).complete
    order = [setting for setting, _ in cells(events)]
    # The reference's own settings first, then one set of weights after the other.
    assert [*dict.fromkeys(order)] == ["4", "w8:32", "w8:32+4@9", "w2:32", "w2:32+4"]
    other = planned(events).run
    assert_same_bits(run, other)
    assert not (find_run(other).path / STATES).exists()


@pytest.mark.parametrize("after", [1, 4, 7, 11])
def test_a_run_in_turns_that_is_stopped_goes_on_where_it_stood(
    small: Small, together: tuple[str, Path, Any], after: int
) -> None:
    job = small.job(SETTINGS, max_chunks=3, one_at_a_time=True)
    events = stopped(job, after)
    assert not finished(events).complete
    run = planned(events).run
    done = stored_cells(find_run(run))
    assert len(done) == after and not (find_run(run).path / STATES).exists()
    rest = resumed(job, run)
    assert not done & set(cells(rest)) and finished(rest).complete
    report = numbers(finished(rest).report)
    for mine, other in zip(report["settings"], together[2]["settings"], strict=True):
        assert mine["kl"] == other["kl"] and mine["flip_rate"] == other["flip_rate"]


def test_weights_and_caches_added_later_score_only_what_is_missing(small: Small) -> None:
    first = small.score("w8:32,4", max_chunks=2)
    run = planned(first).run
    more = small.job("w8:32,4,w8:32+4,w2:32", max_chunks=2)
    events = resumed(more, run)
    assert {setting for setting, _ in cells(events)} == {"w8:32+4", "w2:32"}
    report = finished(events).report
    assert [row["setting"] for row in report["settings"]] == ["w8:32", "4", "w8:32+4", "w2:32"]
    assert report["interactions"][0]["setting"] == "w8:32+4"
    assert finished_report(find_run(run)).to_json()["grid"] == report["grid"]


def test_a_repo_of_what_can_be_made_gives_the_same_bits(
    small: Small, copies: dict[int, Path]
) -> None:
    settings = f"w8:32,{StoredWeights(str(copies[8])).key},w2:32"
    events = small.score(settings, max_chunks=1)
    report = finished(events).report
    assert not [event for event in events if isinstance(event, SettingFailedEvent)]
    made, stored, other = (row["kl"] for row in report["settings"])
    assert made == stored != other
    rows = report["settings"]
    assert rows[0]["quant_bits_per_weight"] == rows[1]["quant_bits_per_weight"]
    assert rows[1]["quant_model_id"] == str(copies[8]) and rows[0]["quant_model_id"] == "w8:32"


def test_a_folder_whose_content_has_changed_is_not_resumed(
    small: Small, copies: dict[int, Path], tmp_path: Path
) -> None:
    import shutil

    from tiny_runs import edit_weights

    folder = tmp_path / "copy"
    shutil.copytree(copies[8], folder)
    settings = f"{StoredWeights(str(folder)).key},w2:32"
    events = stopped(small.job(settings, max_chunks=2), 1)
    run = planned(events).run

    def edit(weights: dict[str, Any]) -> None:
        weights["model.norm.weight"] = weights["model.norm.weight"] * 1.5

    edit_weights(folder, edit)
    error = failed(resumed(small.job(settings, max_chunks=2), run))
    assert error.exit_code == 2 and "is not what it was: content" in error.message


def test_a_candidate_of_another_model_is_refused_before_anything_loads(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_tiny_model(tmp_path / "other", "llama", head_dim=64, num_hidden_layers=3)
    monkeypatch.setattr("scorer.engine.preparation.load", lambda *_, **__: pytest.fail("loaded"))
    events = small.score(StoredWeights(str(other)).key)
    assert failed(events).exit_code == 2 and "layers" in failed(events).message


def test_an_unquantized_copy_is_scored_with_a_word(small: Small, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", "llama", seed=1, **SMALL)
    events = small.score(StoredWeights(str(other)).key, max_chunks=1)
    assert any(isinstance(e, Warned) and "is not quantized" in e.message for e in events)
    assert finished(events).report["settings"][0]["quant_bits"] is None


def test_all_rows_are_judged_by_the_bounds_of_weights(together: tuple[str, Path, Any]) -> None:
    report = together[2]
    assert report["verdict_bounds"]["good"]["flip_rate"] == 0.05
    rows = {row["setting"]: row for row in report["settings"]}
    assert rows["4"]["kv_verdict"] is not None and "kv_verdict" not in rows["w8:32"]


def test_weights_that_do_not_load_in_their_turn_cost_nothing_of_the_others(
    small: Small, copies: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from scorer.common.errors import InputError
    from scorer.engine import candidates

    folder = tmp_path / "copy"
    shutil.copytree(copies[8], folder)
    load = candidates.load

    def failing(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == folder:
            raise InputError("`copy` does not load: 9 parameters are missing", "take another")
        return load(path, *arguments, **options)

    monkeypatch.setattr(candidates, "load", failing)
    key = StoredWeights(str(folder)).key
    settings = f"w2:32,{key},{key}+4,w8:32"
    events = small.score(settings, max_chunks=2, one_at_a_time=True)
    report = finished(events).report
    rows = {row["setting"]: row for row in report["settings"]}
    assert rows[key]["failure"]["message"].startswith("`copy` does not load")
    assert rows[f"{key}+4"]["status"] == "failed"
    assert {rows[name]["n_chunks"] for name in ("w2:32", "w8:32")} == {2}
    monkeypatch.undo()
    # What failed is tried again.
    run = planned(events).run
    rest = resumed(small.job(settings, max_chunks=2, one_at_a_time=True), run)
    assert {setting for setting, _ in cells(rest)} == {key, f"{key}+4"}
    assert all(row["n_chunks"] == 2 for row in finished(rest).report["settings"])


def test_memory_that_runs_out_in_a_turn_is_gone_on_with(
    small: Small, together: tuple[str, Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder, _ = together
    monkeypatch.setenv("QFID_DATA_DIR", str(folder))
    from scorer.lanes.weights.lane import WeightsLane

    begin, left = WeightsLane.begin, [3]

    def short(self: WeightsLane, tokens: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("[malloc] Unable to allocate 1 bytes")
        return begin(self, tokens)

    monkeypatch.setattr(WeightsLane, "begin", short)
    events = small.score(SETTINGS, max_chunks=3, one_at_a_time=True, batch=2)
    assert any(isinstance(e, Warned) and "memory ran out" in e.message for e in events)
    assert finished(events).complete
    assert_same_bits(run, planned(events).run)


def test_the_noise_floor_needs_all_weights_at_once(small: Small) -> None:
    events = small.score("w8:32", one_at_a_time=True, noise_floor=4)
    assert failed(events).exit_code == 2 and "--noise-floor" in failed(events).message
    whole: list[Event] = list(score(small.job("w8:32,4", noise_floor=4, max_chunks=1)))
    assert finished(whole).report["settings"][0]["noise_floor"] > 0
    assert len([e for e in whole if isinstance(e, ChunkScored)]) == 2


def test_a_reference_without_layers_still_says_where_it_gives_no_number(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a later turn only its states are left: no pass is run to look for the origin."""
    from scorer.lanes.kept_reference import KeptReference
    from scorer.lanes.states import HostStates

    array = HostStates.array

    def spoilt(self: HostStates) -> Any:
        import mlx.core as mx

        states = array(self)
        bad = (mx.arange(states.shape[1]) >= 20)[None, :, None]
        return mx.where(bad, mx.array(float("nan"), states.dtype), states)

    begin = KeptReference.begin

    def begun(self: KeptReference, tokens: Any) -> Any:
        assert self.holds(tokens) or not self.released
        return begin(self, tokens)

    monkeypatch.setattr(HostStates, "array", spoilt)
    monkeypatch.setattr(KeptReference, "begin", begun)
    events = small.score("w8:32,w2:32", max_chunks=1, one_at_a_time=True)
    rows = finished(events).report["settings"]
    for row in rows:
        said = row["failure"]["message"]
        assert f"setting `{row['setting']}`" in said and "chunk 0, position 20" in said


def test_a_disk_that_is_full_of_states_ends_in_one_line_and_loses_nothing(
    small: Small, together: tuple[str, Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from scorer.common.atomic_files import storage_error
    from scorer.lanes import states

    _, _, expected = together
    write, left = states.write_atomic, [2]

    def full(path: Path, data: bytes, **options: bool) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise storage_error(OSError(errno.ENOSPC, "no space"), path)
        write(path, data, **options)

    job = small.job(SETTINGS, max_chunks=3, one_at_a_time=True)
    with monkeypatch.context() as patch:
        patch.setattr(states, "write_atomic", full)
        events = list(score(job))
    error = failed(events)
    assert error.message.startswith("no space left") and "\n" not in error.message
    run = planned(events).run
    assert not (find_run(run).path / STATES).exists()
    done = set(cells(events))
    rest = resumed(job, run)
    assert not done & set(cells(rest)) and finished(rest).complete
    report = numbers(finished(rest).report)
    for mine, other in zip(report["settings"], expected["settings"], strict=True):
        assert mine["kl"] == other["kl"]
