"""From stored positions to the report: last checks, and the same report again at any time."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from report_builders import random_positions
from tiny_runs import Small, finished, planned, stopped

from scorer.common.errors import InputError, QfidError, SettingFailed
from scorer.engine.checks import check_drift
from scorer.report.formats.markdown import to_markdown
from scorer.report.from_run import Batches, finished_report
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.facts import FailureFacts
from scorer.runs.listing import Run, find_run
from scorer.spec.settings.weights import StoredWeights
from scorer.stats.positions import Positions


def batch(seed: int = 0, chunk: int = 0, **changes: Any) -> tuple[Positions, ChunkFacts]:
    positions = random_positions(seed=seed, chunks=[chunk], flip_rate=0.1)
    return dataclasses.replace(positions, **changes), ChunkFacts()


def zeros(chunk: int = 0) -> tuple[Positions, ChunkFacts]:
    positions, facts = batch(chunk=chunk)
    same = dataclasses.replace(
        positions, kl=np.zeros_like(positions.kl), top_quant=positions.top_ref
    )
    return same, facts


def test_settings_that_drift_pass() -> None:
    assert check_drift({"8": [batch(0)], "4": [batch(1)]}) == {}
    assert check_drift({}) == {} and check_drift({"8": []}) == {}


def test_zero_everywhere_is_no_perfect_score() -> None:
    failures = check_drift({"8": [zeros(0), zeros(1)], "4": [batch(1)]})
    assert list(failures) == ["8"] and isinstance(failures["8"], SettingFailed)
    assert "exactly zero at all 30 positions" in failures["8"].message
    assert "no perfect score" in failures["8"].hint


def test_one_position_that_drifts_or_flips_is_enough() -> None:
    kl = np.zeros(15)
    kl[7] = 1e-12
    assert check_drift({"8": [zeros(0), batch(kl=kl)]}) == {}
    flipped, facts = batch(kl=np.zeros(15))
    flipped = dataclasses.replace(flipped, top_quant=flipped.top_ref + 1)
    assert check_drift({"8": [(flipped, facts)]}) == {}


def test_weights_that_lose_nothing_may_be_the_reference_in_every_bit() -> None:
    own = StoredWeights("/x/F16.gguf")
    stored = {own.key: [zeros(0)], f"{own.key}+8": [batch(0)], "8": [batch(0)]}
    assert set(check_drift(stored)) == {own.key, f"{own.key}+8", "8"}
    assert check_drift(stored, {own}) == {}
    # A cache on top has to engage all the same.
    assert set(check_drift({f"{own.key}+8": [zeros(0)]}, {own})) == {f"{own.key}+8"}
    assert set(check_drift(stored | {"4": [batch(0)]}, {own})) == {"8", "4"}


@pytest.mark.parametrize("other", ["4", "8:32", "8@9", "k8v4"])
def test_equal_bits_of_different_computations_fail_both(other: str) -> None:
    failures = check_drift({"8": [batch(0), batch(1, 1)], other: [batch(0), batch(1, 1)]})
    assert set(failures) == {"8", other}
    assert f"same KL as `{other}` in every bit" in failures["8"].message


def test_the_two_paths_of_one_setting_may_agree() -> None:
    assert check_drift({"8": [batch(0)], "8~dequantized": [batch(0)]}) == {}


def test_one_bit_of_difference_tells_two_settings_apart() -> None:
    positions, facts = batch(0)
    kl = positions.kl.copy()
    kl[3] = np.nextafter(kl[3], 1)
    assert (
        check_drift({"8": [batch(0)], "4": [(dataclasses.replace(positions, kl=kl), facts)]}) == {}
    )


def test_only_chunks_that_both_have_are_compared() -> None:
    assert check_drift({"8": [batch(0, 0)], "4": [batch(0, 1)]}) == {}
    both: Batches = {"8": [batch(0, 0), batch(1, 1)], "4": [batch(1, 1)]}
    assert set(check_drift(both)) == {"8", "4"}


def test_a_setting_of_zeros_is_not_compared_with_another() -> None:
    failures = check_drift({"8": [zeros()], "4": [zeros()]})
    assert all("did not engage" in error.message for error in failures.values())


def scored_run(small: Small, settings: str = "8,4", **changes: Any) -> tuple[Run, dict[str, Any]]:
    events = small.score(settings, **changes)
    return find_run(planned(events).run), finished(events).report


def test_a_report_made_again_is_the_same(small: Small) -> None:
    run, report = scored_run(small, "8,4~dequantized,4,k8v4@9", control=True, kernel="mlx-lm")
    again = finished_report(run)
    assert again.to_json() == report
    assert to_markdown(again) == (run.path / "report.md").read_text()


def test_a_report_says_what_engaged(small: Small) -> None:
    _, report = scored_run(small, "k8v4")
    (row,) = report["settings"]
    sides = {(side["layer"], side["side"]): side for side in row["engagement"]}
    assert set(sides) == {(str(layer), side) for layer in range(2) for side in "kv"}
    assert {side["bits"] for (_, name), side in sides.items() if name == "k"} == {8}
    assert {side["bits"] for (_, name), side in sides.items() if name == "v"} == {4}
    assert {side["tokens"] for side in sides.values()} == {31}
    assert all(side["changed"] for side in sides.values())
    assert (row["kv_layers_quantized"], row["kv_layers_total"], row["kv_partial"]) == (2, 2, False)


def test_stored_codes_are_measured(small: Small) -> None:
    _, report = scored_run(small, "8,4", kernel="mlx-lm")
    for row in report["settings"]:
        # Scales and biases are float32 here, two bytes more each per group than at 16 bit.
        groups = 2 * 2 * 2 * 64 / 64
        assert row["measured_kv_bytes_per_token"] == row["kv_bytes_per_token"] + 4 * groups
    assert scored_run(small)[1]["settings"][0]["measured_kv_bytes_per_token"] is None


def test_time_and_memory_are_those_of_the_batches(small: Small) -> None:
    run, report = scored_run(small, "8")
    batches = run.read()["8"]
    assert report["settings"][0]["seconds"] == sum(facts.seconds for _, facts in batches)
    assert report["settings"][0]["peak_memory_bytes"] == max(
        facts.peak_memory_bytes for _, facts in batches
    )


def test_a_run_without_a_chunk_has_no_report(small: Small) -> None:
    run = find_run(planned(stopped(small.job("8,4"), after=1)).run)
    run.positions_path.unlink()
    with pytest.raises(QfidError) as caught:
        finished_report(run)
    assert "holds no scored chunk yet" in caught.value.message
    assert caught.value.hint == f"score it with `qfid resume {run.id}`"


def test_facts_that_lack_a_setting_are_named(small: Small) -> None:
    run, _ = scored_run(small)
    del run.facts.settings["4"]
    with pytest.raises(InputError, match="lacks the facts of setting `4`"):
        finished_report(run)


def test_a_failure_is_a_row_with_its_reason(small: Small) -> None:
    run, _ = scored_run(small)
    run.mark_failed("4", "SettingFailed", "made by the test", "a hint")
    rows = finished_report(run).settings
    assert [row.status for row in rows] == ["scored", "failed"]
    assert rows[1].failure == FailureFacts("SettingFailed", "made by the test", "a hint")
