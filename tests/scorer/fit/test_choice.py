"""What is chosen in a memory: the rules, the prefill step, the frontier, the table of contexts."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from scorer.fit.choice import (
    Cell,
    Deployment,
    best_step,
    choose,
    fits_at_some_step,
    frontier,
    longest_context,
    over_contexts,
)
from scorer.fit.prefill_peak import PrefillShape
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting
from scorer.spec.thresholds import Verdict

QWEN = KVGeometry((KVLayer(2, 64, 64),) * 24, 24)
SHAPE = PrefillShape(hidden=896, inner=4864, heads=14, vocab=151_936)
WEIGHTS = {bits: round(494_032_768 * (bits + 0.5) / 8) for bits in (8, 6, 5, 4)}
EIGHT, FOUR = KVSetting.parse("8"), KVSetting.parse("4")
AT_8K = Deployment(QWEN, SHAPE, 650_000_000, 8192)


def cell(
    name: str,
    bits: int,
    kl: float | None,
    verdict: Verdict | None,
    kv: KVSetting | None = None,
    *,
    is_open: bool = False,
    runnable: bool = True,
) -> Cell:
    return Cell(name, WEIGHTS[bits], kv, kl, verdict, is_open, runnable)


W8 = cell("w8", 8, 0.001, "good")
W6 = cell("w6", 6, 0.008, "good")
W5 = cell("w5", 5, 0.03, "marginal")
W4 = cell("w4", 4, 0.09, "marginal")


def apart(better: Cell, worse: Cell) -> bool:
    """Told apart wherever the KL differs."""
    assert better.kl_mean is not None
    assert worse.kl_mean is not None
    return better.kl_mean < worse.kl_mean


def never(better: Cell, worse: Cell) -> bool:
    return False


def test_the_cheapest_settled_good_cell_that_fits_is_chosen() -> None:
    found = choose([W8, W6, W5, W4], dataclasses.replace(AT_8K, memory=10**9), apart)
    assert found.pick is not None
    assert (found.pick.cell.name, found.reason, found.pick.step) == ("w6", "cheapest good", 2048)
    assert all(placed.fits for placed in found.placed)


def test_a_good_cell_that_does_not_fit_leaves_the_best_that_does() -> None:
    tight = dataclasses.replace(AT_8K, memory=480_000_000)
    found = choose([W8, W6, W5, W4], tight, apart)
    assert found.pick is not None
    assert (found.pick.cell.name, found.reason) == ("w5", "best that fits")
    assert [p.cell.name for p in found.placed if p.fits] == ["w5", "w4"]


def test_of_what_cannot_be_told_apart_the_cheapest_is_chosen_and_the_others_are_named() -> None:
    tight = dataclasses.replace(AT_8K, memory=480_000_000)
    found = choose([W5, W4], tight, never)
    assert found.pick is not None
    assert (found.pick.cell.name, found.tied_with) == ("w4", ("w5",))


def test_an_open_verdict_is_not_settled_good() -> None:
    unsettled = dataclasses.replace(W6, is_open=True)
    found = choose([W8, unsettled], dataclasses.replace(AT_8K, memory=10**9), apart)
    assert found.pick is not None
    assert (found.pick.cell.name, found.reason) == ("w8", "cheapest good")


def test_a_better_tier_goes_before_a_lower_kl() -> None:
    low = cell("low", 4, 0.02, "bad")
    found = choose([low, W5], dataclasses.replace(AT_8K, memory=10**9), apart)
    assert found.pick is not None
    assert found.pick.cell.name == "w5"


def test_what_mlx_lm_cannot_run_or_was_not_scored_is_never_chosen() -> None:
    odd = cell("k8v4", 6, 0.001, "good", KVSetting.parse("k8v4"), runnable=False)
    unscored = cell("new", 4, None, None)
    broken = cell("nan", 4, float("nan"), "bad")
    roomy = dataclasses.replace(AT_8K, memory=10**9)
    found = choose([odd, unscored, broken, W8], roomy, never)
    assert found.pick is not None
    assert found.pick.cell.name == "w8"
    assert choose([odd], roomy, never).reason == "not run by mlx-lm"
    assert choose([unscored], roomy, never).reason == "not scored what fits"


def test_where_nothing_fits_the_choice_says_what_would() -> None:
    found = choose([W8, W4], dataclasses.replace(AT_8K, memory=330_000_000), apart)
    assert (found.pick, found.reason) == (None, "nothing fits")
    assert found.smallest is not None
    assert found.smallest.cell.name == "w4"
    assert found.longest_context is not None
    assert 256 <= found.longest_context < 8192
    at = dataclasses.replace(found.deployment, context=found.longest_context)
    assert fits_at_some_step(W4, at)
    assert not fits_at_some_step(W4, dataclasses.replace(at, context=at.context + 256))


def test_without_cells_nothing_fits() -> None:
    found = choose([], AT_8K, never)
    assert (found.pick, found.reason, found.smallest) == (None, "nothing fits", None)


def test_less_memory_takes_a_smaller_step() -> None:
    wide = best_step(W8, dataclasses.replace(AT_8K, memory=10**9))
    assert (wide.step, wide.fits) == (2048, True)
    tight = best_step(W8, AT_8K)
    assert tight.fits
    assert tight.step < 2048
    assert tight.bytes.total <= AT_8K.memory
    larger = AT_8K.prices().bytes_of(W8.weights_bytes, None, 2 * tight.step)
    assert larger.total > AT_8K.memory


def test_a_quantized_cache_takes_a_step_at_which_its_peak_is_not_above_16_bit() -> None:
    eight = dataclasses.replace(W8, kv=EIGHT)
    roomy = dataclasses.replace(AT_8K, memory=10**11)
    found, plain = best_step(eight, roomy), best_step(W8, roomy)
    assert (plain.step, found.step) == (2048, 256)
    assert found.bytes.peak <= plain.bytes.peak < peak_at(eight, 2 * found.step, roomy)
    assert found.bytes.total < plain.bytes.total


def peak_at(of: Cell, step: int, where: Deployment) -> int:
    return where.prices().bytes_of(of.weights_bytes, of.kv, step).peak


@pytest.mark.parametrize(
    ("memory", "context", "fitting"),
    [
        # 525, 401, 340 and 278 MB of weights, 403 MB of cache and at least 17 MB of one layer's
        # buffer that grows.
        (940_000_000, 32_768, {"w6": 2048, "w5": 2048, "w4": 2048}),
        # 101 MB of cache, and 67 MB of activations at step 2048.
        (650_000_000, 8192, {"w8": 512, "w6": 2048, "w5": 2048, "w4": 2048}),
    ],
)
def test_which_precisions_of_qwen_fit_by_hand(
    memory: int, context: int, fitting: dict[str, int]
) -> None:
    where = Deployment(QWEN, SHAPE, memory, context)
    found = choose([W8, W6, W5, W4], where, apart)
    assert {p.cell.name: p.step for p in found.placed if p.fits} == fitting
    assert found.pick is not None
    assert found.pick.cell.name == "w6"


def test_a_step_that_is_asked_for_is_kept() -> None:
    found = best_step(W8, dataclasses.replace(AT_8K, step=2048))
    assert (found.step, found.fits) == (2048, False)


def test_the_frontier_is_of_scored_cells_by_total_bytes_and_kl() -> None:
    dominated = cell("w8 again", 8, 0.02, "marginal")
    unscored = cell("none", 4, None, None)
    roomy = dataclasses.replace(AT_8K, memory=600_000_000)
    found = choose([W8, dominated, W6, unscored, W4], roomy, apart)
    assert {p.cell.name for p in found.placed if p.on_frontier} == {"w8", "w6", "w4"}
    assert [p.cell.name for p in frontier(found.placed)] == ["w4", "w6", "w8"]
    assert [p.fits for p in frontier(found.placed)] == [True, True, False]


def test_the_table_of_contexts_merges_equal_rows_and_finds_the_crossover() -> None:
    cells = [W8, W6, W5, W4]
    rows = over_contexts(cells, AT_8K, apart)
    assert list(itertools.chain.from_iterable(row.contexts for row in rows)) == [
        4096 << n for n in range(6)
    ]
    assert all(one.name != other.name for one, other in itertools.pairwise(rows))
    first = rows[0]
    assert (first.name, first.contexts[0]) == ("w6", 4096)
    assert first.until is not None
    assert first.contexts[-1] <= first.until < rows[1].contexts[0]
    at, beyond = (
        choose(cells, dataclasses.replace(AT_8K, context=tokens), apart).pick
        for tokens in (first.until, first.until + 256)
    )
    assert at is not None
    assert at.cell.name == "w6"
    assert beyond is None or beyond.cell.name != "w6"
    assert rows[-1].until is None
    for row in rows:
        count = len(row.contexts) if row.name else 0
        assert (len(row.steps), len(row.totals)) == (count, count)
        assert all(total <= AT_8K.memory for total in row.totals)


@pytest.mark.parametrize("memory", [300_000_000, 700_000_000, 3_000_000_000])
def test_the_longest_context_fits_and_256_tokens_more_do_not(memory: int) -> None:
    at = dataclasses.replace(AT_8K, memory=memory)
    found = longest_context(W4, at)
    assert found is not None
    assert fits_at_some_step(W4, dataclasses.replace(at, context=found))
    beyond = dataclasses.replace(at, context=found + 256)
    assert found == 4 * at.context or not fits_at_some_step(W4, beyond)


def test_no_context_fits_where_the_weights_do_not() -> None:
    assert longest_context(W4, dataclasses.replace(AT_8K, memory=200_000_000)) is None
