from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_builders import make_facts, random_positions, scored
from saved_setting_runs import CHUNKS, LENGTH, saved_run

from qfid_tui.state.setting_detail import TAIL, PairedMeans, kl_histogram, read_setting_detail
from qfid_tui.words.setting_headline import headline
from scorer.common.errors import InputError
from scorer.report.build import build_report
from scorer.runs.facts import FailureFacts
from scorer.stats.intervals import Interval
from scorer.stats.positions import Positions

KL = st.lists(st.just(math.inf) | st.floats(-1e-5, 1e308), max_size=60)


@given(KL)
def test_every_position_falls_in_one_step(values: list[float]) -> None:
    found = kl_histogram(np.array(values, np.float64))
    assert sum(found.counts) + found.nonpositive + found.infinite == len(values)
    assert found.infinite == values.count(math.inf)
    assert found.nonpositive == sum(value <= 0 for value in values)
    assert len(found.edges) == len(found.counts) + 1 or not found.counts
    assert all(a < b for a, b in itertools.pairwise(found.edges))


@given(st.lists(st.floats(1e-9, 99), min_size=1, max_size=60))
def test_a_step_holds_what_lies_between_its_edges(values: list[float]) -> None:
    found = kl_histogram(np.array(values, np.float64))
    for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        last = high == found.edges[-1]
        assert count == sum(low <= v < high or (last and v == high) for v in values)
    for edge in (found.edges[0], found.edges[-1]):
        assert edge == float(f"1e{round(math.log10(edge))}")


@pytest.mark.parametrize("finished", [True, False])
def test_a_saved_setting_is_read_whole(finished: bool) -> None:
    run = saved_run("8,4", report=finished)
    found = read_setting_detail(run.id, "4")
    stored = Positions.concatenate([p for p, _ in run.read()["4"]])
    assert found.row.numbers is not None
    assert found.row.numbers.n_positions == len(stored) == len(CHUNKS) * (LENGTH - 1)
    for chunk, mean in found.chunks:
        assert mean == pytest.approx(stored.kl[stored.chunk == chunk].mean())
    assert [chunk for chunk, _ in found.chunks] == list(CHUNKS)
    for start, end, mean in found.spans:
        inside = (stored.position >= start) & (stored.position < end)
        assert mean == pytest.approx(stored.kl[inside].mean())
    assert (found.spans[0][0], found.spans[-1][1]) == (0, LENGTH - 1)
    assert sum(found.histogram.counts) + found.histogram.nonpositive == len(stored)
    assert found.histogram.nonpositive == 3
    assert [row.kl for row in found.tail] == sorted(stored.kl, reverse=True)[:TAIL]
    assert found.notice == ""


def test_the_tail_shows_the_text_and_what_both_models_wanted() -> None:
    run = saved_run("4")
    found = read_setting_detail(run.id, "4")
    stored = Positions.concatenate([p for p, _ in run.read()["4"]])
    for row in found.tail:
        (i,) = np.flatnonzero((stored.chunk == row.chunk) & (stored.position == row.position))
        assert row.flipped == (stored.top_ref[i] != stored.top_quant[i])
        assert row.reference.probability == pytest.approx(math.exp(stored.top_ref_logprob[i]))
        if not row.flipped:
            assert row.reference.text == row.quantized.text
    middle = next(row for row in found.tail if 30 < row.position < 100)
    assert middle.before and middle.token and middle.after
    assert "\n" not in middle.before + middle.token + middle.after
    text = "".join(row.before + row.token + row.after for row in found.tail)
    assert "flood" in text and "⏎" in text


def test_tokens_of_another_tokenizer_are_shown_as_ids() -> None:
    run = saved_run("4")
    text = (run.path / "job.json").read_text("utf-8")
    tokenizer = str(run.facts.identity["tokenizer"])
    from scorer.runs.identity import identity_hash

    other = {**run.facts.identity, "tokenizer": "0" * 64}
    text = text.replace(tokenizer, "0" * 64).replace(run.identity, identity_hash(other))
    (run.path / "job.json").write_text(text, "utf-8")
    found = read_setting_detail(run.id, "4")
    assert all(row.token.startswith("#") for row in found.tail)
    assert "tokens are shown as ids" in found.notice


def test_an_unknown_setting_is_refused_with_those_there_are() -> None:
    run = saved_run("8,4")
    with pytest.raises(InputError, match="no setting `3`") as caught:
        read_setting_detail(run.id, "3")
    assert "`8`, `4`" in caught.value.hint


def words(lines: list[tuple[tuple[str, str], ...]]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def test_headline_numbers_have_intervals_units_and_verdict() -> None:
    report = build_report(
        make_facts("4"), [scored("4", random_positions(scale=0.13, flip_rate=0.2))]
    )
    (row,) = report.settings
    shown = words(headline(row))
    assert row.numbers is not None
    ends = row.numbers.intervals.kl_mean
    assert ends is not None
    assert shown[0].startswith("✗ bad?  KL mean > 0.1")
    mean = next(line for line in shown if line.startswith("KL mean, nats"))
    assert f"{row.numbers.kl.mean:.3g}" in mean
    assert f"{ends.low:.3g} … {ends.high:.3g}" in mean
    assert any(line.startswith("KV memory") and "6\u202f480 bytes/token" in line for line in shown)
    assert all("\n" not in line for line in shown)


def test_a_setting_that_is_ranked_on_fewer_chunks_says_on_how_many() -> None:
    report = build_report(
        make_facts("8,4"),
        [
            scored("8", random_positions()),
            scored("4", random_positions(chunks=[0, 1, 2], scale=0.2)),
        ],
    )
    (frontier,) = report.frontiers
    eight, four = (words(headline(row, frontier.n_chunks)) for row in report.settings)
    assert "scored        180 positions, 12 chunks" in eight
    assert "ranked        on the frontier, on 3 common chunks" in eight
    assert not any(line.startswith("ranked") for line in four)


def test_a_failed_setting_says_why_and_what_to_do() -> None:
    failure = FailureFacts("SettingFailed", "NaN at [/x] 3", "try `4`")
    report = build_report(
        make_facts("8,4"), [scored("8", None, failure=failure), scored("4", None)]
    )
    failed, waiting = (words(headline(row)) for row in report.settings)
    assert failed[:3] == ["✗ failed", "NaN at [/x] 3", "try `4`"]
    assert waiting[0] == "no chunk is scored yet"


def test_the_headline_says_the_difference_from_another_setting_first() -> None:
    found = read_setting_detail(saved_run("8,4").id, "4")

    def lines(other: str | None, pairs: dict[str, PairedMeans]) -> list[str]:
        toned = headline(found.row, 0, pairs, other)
        return ["".join(text for text, _ in line) for line in toned]

    plain = lines(None, dict(found.pairs))
    pair = PairedMeans(0.125, Interval(0.1, 0.15), True)
    assert lines("8", {"8": pair}) == [
        "KL mean less 8: +0.125 nats, told apart",
        "  +0.1 … +0.15, over all pairs at once",
        *plain,
    ]
    assert lines("8", {"8": PairedMeans(-0.125, None, None)})[:2] == [
        "KL mean less 8: −0.125 nats, no interval",
        plain[0],
    ]
    assert lines("6", {"8": pair})[:2] == ["less 6: not compared in the report", plain[0]]
