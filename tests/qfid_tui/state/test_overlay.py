"""A second setting is laid over the same chunks, spans and steps as the first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from saved_setting_runs import CHUNKS, saved_run

from qfid_tui.state.overlay import chunk_overlay, depth_overlay, histogram_overlay, mean_of
from qfid_tui.state.setting_detail import SettingDetail, kl_histogram, read_setting_detail


@pytest.fixture
def both() -> tuple[SettingDetail, SettingDetail]:
    run = saved_run("8,4")
    return read_setting_detail(run.id, "4"), read_setting_detail(run.id, "8")


def test_the_values_are_those_of_the_other_setting(
    both: tuple[SettingDetail, SettingDetail],
) -> None:
    four, eight = both
    assert chunk_overlay(four, eight).values == tuple(kl for _, kl in eight.chunks)
    assert depth_overlay(four, eight).values == tuple(kl for _, _, kl in eight.spans)
    mean, numbers = mean_of(eight), eight.row.numbers
    assert mean is not None and numbers is not None and numbers.intervals.kl_mean is not None
    ends = numbers.intervals.kl_mean
    assert (mean.value, mean.low, mean.high) == (numbers.kl.mean, ends.low, ends.high)


def test_what_the_other_setting_lacks_has_no_value(
    both: tuple[SettingDetail, SettingDetail],
) -> None:
    import dataclasses

    four, eight = both
    fewer = dataclasses.replace(eight, chunks=eight.chunks[1:], spans=())
    assert chunk_overlay(four, fewer).values == (None, *(kl for _, kl in eight.chunks[1:]))
    assert set(depth_overlay(four, fewer).values) == {None}
    assert len(chunk_overlay(four, fewer).values) == len(CHUNKS)


def test_the_pair_of_the_report_is_read_from_both_sides(
    both: tuple[SettingDetail, SettingDetail],
) -> None:
    four, eight = both
    one, other = four.pairs["8"], eight.pairs["4"]
    assert one.difference is not None and other.difference is not None
    assert one.difference == -other.difference > 0
    assert one.told_apart is other.told_apart
    assert one.interval is not None and other.interval is not None
    assert (one.interval.low, one.interval.high) == (-other.interval.high, -other.interval.low)
    difference = np.mean([a - b for (_, a), (_, b) in zip(four.chunks, eight.chunks, strict=True)])
    assert one.difference == pytest.approx(difference)


KL = st.lists(st.just(float("inf")) | st.floats(-1e-5, 1e6), max_size=40)


@given(KL, KL)
def test_histograms_of_any_two_settings_share_their_steps(
    own: list[float], its: list[float]
) -> None:
    shown, other = (kl_histogram(np.array(values, np.float64)) for values in (own, its))
    wide, overlay = histogram_overlay(shown, other, "8")
    assert wide.positions == shown.positions
    assert len(wide.counts) == max(0, len(wide.edges) - 1)
    assert len(overlay.values) == len(wide.counts) + 2
    for edge, count in zip(shown.edges, shown.counts, strict=False):
        assert wide.counts[wide.edges.index(edge)] == count
    scaled = [value or 0.0 for value in overlay.values]
    assert sum(scaled) == pytest.approx(shown.positions if its else 0)
    for edge, count in zip(other.edges, other.counts, strict=False):
        expected = count / other.positions * shown.positions
        assert scaled[1 + wide.edges.index(edge)] == pytest.approx(expected)
