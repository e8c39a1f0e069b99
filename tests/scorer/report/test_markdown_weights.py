"""The Markdown report of a run that compares weights."""

from __future__ import annotations

import dataclasses
import re

import pytest
from markdown_cells import first_table, unlike_plain
from weights_reports import GRID, REPO, SHORT, weights_report

from scorer.report.formats.answer import to_answer
from scorer.report.formats.markdown import to_markdown
from scorer.report.formats.short_names import short_names
from scorer.report.tree import Report
from scorer.spec.deployment import DeploymentSpec
from scorer.stats.intervals import Interval

IN_400_MB = DeploymentSpec(400 * 10**6, 4096)


@pytest.fixture(scope="module")
def report() -> Report:
    return weights_report(
        deployment=IN_400_MB, waiting=("w8+4",), dropped={REPO: "beaten by `w6+8`"}
    )


@pytest.fixture(scope="module")
def shown(report: Report) -> str:
    return to_markdown(report)


def section(text: str, title: str) -> str:
    """What stands between a heading and the next."""
    found = re.split(r"^## ", text, flags=re.MULTILINE)
    return next(part for part in found if part.startswith(title))


def test_the_title_and_the_reference_say_what_is_compared(shown: str) -> None:
    lines = shown.splitlines()
    assert lines[0] == "# Weight and KV-cache fidelity: `local-test/SmolLM2`, 11 settings"
    assert lines[2] == "The reference is stored in 16 bit (bfloat16)."
    assert "KV-fidelity" not in shown


def test_every_note_about_the_reference_is_on_top(report: Report) -> None:
    own = report.reference.weights
    assert own is not None
    notes = ("The reference is stored in 8 bit: not full precision.", "Of the reference: a `b`.")
    quantized = dataclasses.replace(
        report,
        reference=dataclasses.replace(
            report.reference, weights=dataclasses.replace(own, notes=notes)
        ),
    )
    assert to_markdown(quantized).splitlines()[2] == " ".join(notes)


def test_the_choice_stands_above_with_its_commands_line_by_line(report: Report, shown: str) -> None:
    deployment = report.deployment
    assert deployment is not None and len(deployment.commands) == 3
    block = "\n".join(["```sh", *deployment.commands, "```"])
    assert block in shown
    assert shown.index("**What to run** on Metal: `w6+8` in 400 MB") < shown.index(block)
    assert shown.index(block) < shown.index("## Weights and KV cache")
    assert all(f"- {note}." in shown for note in deployment.notes)


def test_the_grid_has_a_cell_for_every_pair(shown: str) -> None:
    head, first, w8, w6, *_, repo = first_table(section(shown, "Weights and KV cache\n"))
    assert head == ["weights", "KV 16 bit", "KV `8`", "KV `4`"]
    assert first[:2] == ["`local-test/SmolLM2`, the reference", "compared with"]
    assert w8[0] == "`w8`" and w8[3] == "**waiting**"
    assert re.fullmatch(r"0\.00047 ± 0\.000\d+ · 0 % · \*\*good\*\* · [a-z]", w8[1])
    # What nobody asked for is no zero.
    assert w6[3] == "—"
    assert repo[0] == f"`{SHORT}`" and repo[1].endswith("**bad** · f")


def test_a_grid_of_one_column_is_left_to_the_ladder() -> None:
    shown = to_markdown(weights_report("w8,w6"))
    assert "## Weights and KV cache" not in shown
    assert "# Weight-fidelity: `local-test/SmolLM2`, 2 settings" in shown
    assert len(first_table(section(shown, "Weights\n"))) == 4


def test_the_ladder_has_precision_bits_and_size(shown: str) -> None:
    part = section(shown, "Weights\n")
    head, reference, w8, *_, repo = first_table(part)
    assert head[:4] == ["weights", "precision", "bits per weight", "size (MB)"]
    assert reference[1:4] == ["16 bit (bfloat16)", "16", "269"] and reference[-1] == "reference"
    assert w8[1:4] == ["8 bit, groups of 64, 8.5 bits per weight", "8.5", "143"]
    assert repo[0] == f"`{SHORT}`" and repo[3] == "75.7"
    # The full id stands below.
    assert f"`quants/{SHORT}` at revision `{'c' * 40}`, in notation `{REPO}`" in part


def test_more_bits_that_drift_more_are_said(shown: str) -> None:
    sentences = [line for line in shown.splitlines() if "bits a weight and drifts more" in line]
    assert sentences == [
        "`wmxfp8` has 8.25 bits a weight and drifts more than `w6` with 6.5: more bits do not buy "
        "less drift there."
    ]


def test_more_bits_are_compared_under_the_same_cache() -> None:
    shown = to_markdown(weights_report("w6+8,wmxfp8+8,w8,w6+4"))
    assert "`wmxfp8+8` has 8.25 bits a weight and drifts more than `w6+8` with 6.5" in shown
    # `w6+4` drifts more than `w8`, under another cache.
    assert shown.count("bits a weight and drifts more") == 1


def test_what_is_not_told_apart_is_not_said_to_be_worse() -> None:
    report = weights_report("w8,w6,wmxfp8")
    alike = tuple(dataclasses.replace(pair, told_apart=False) for pair in report.comparisons)
    shown = to_markdown(dataclasses.replace(report, comparisons=alike))
    assert "drifts more than" not in shown


def test_the_cost_of_a_setting_is_its_total(report: Report, shown: str) -> None:
    head, eight, *rows = first_table(section(shown, "All settings"))
    assert head[1] == "total at 4k (MB)"
    deployment = report.deployment
    assert deployment is not None
    cell = deployment.cell("8")
    assert cell is not None and float(eight[1]) == pytest.approx(cell.total_bytes / 1e6, rel=5e-3)
    # The KV verdict stands beside the one by the bounds of weights.
    assert [eight[6], rows[0][6]] == ["**good**, KV: good", "**marginal**, KV: bad"]
    assert "These are the bounds for weights. After `KV:`" in shown
    assert "1e+02 %" not in shown


def test_a_dropped_setting_says_why(shown: str) -> None:
    assert f"- `{SHORT}`, scored on 8 chunks: beaten by `w6+8`" in shown
    assert "Scored on 8 chunks: beaten by `w6+8`." in section(shown, f"`{SHORT}`: ")
    assert "unfinished run" not in to_markdown(
        weights_report("w8,w6", dropped={"w6": "beaten by `w8`"})
    )


def test_pairs_say_what_adding_would_have_said(report: Report, shown: str) -> None:
    part = section(shown, "Weights and KV cache together")
    head, *rows = first_table(part)
    assert len(rows) == len(report.interactions) == 4
    assert head[-1] == "what makes it bad"
    assert {row[0]: row[-1] for row in rows}[f"`{SHORT}+8`"] == "the weights"
    assert f"- `{SHORT}+8`: adding the drifts of `{SHORT}` and `8` gives" in part
    assert "- `w8+8`, `w6+8`: pair and sum are not told apart" in part


def test_memory_has_a_row_for_every_setting(report: Report, shown: str) -> None:
    part = section(shown, "Memory on Metal at 4k tokens of context, in 400 MB")
    head, *rows = first_table(part)
    assert head[:8] == [
        *("setting", "weights", "KV cache", "prefill peak", "step", "total", "least total"),
        "fits",
    ]
    assert rows[0][0] == "reference, KV 16 bit" and len(rows) == 12
    for row in rows:
        weights, cache, peak, total = (float(row[i]) for i in (1, 2, 3, 5))
        assert weights + cache + peak == pytest.approx(total, rel=0.01)
    assert [row[0] for row in rows if "←" in row[0]] == ["`w6+8` ←"]
    deployment = report.deployment
    assert deployment is not None
    assert [row[7] for row in rows] == ["✓" if cell.fits else "no" for cell in deployment.cells]
    assert "estimated and not measured" in part


def test_the_crossover_is_said_in_words(shown: str) -> None:
    assert f"`w6+8` up to 20736 tokens of context; `{SHORT}+4` up to" in shown
    assert shown.count("nothing fits") >= 2


def test_a_section_says_what_the_weights_are(shown: str) -> None:
    alone = section(shown, "`w8`: 8-bit weights (group 64)\n")
    assert "**Verdict:** good · KV cache at full precision" in alone
    assert "made in memory of the reference's as `mlx_lm.convert` would write them" in alone
    assert "143 MB once loaded, 53.1 % of the reference's 269 MB" in alone
    assert "bytes of KV cache per token" not in alone and "group 0" not in shown
    pair = section(shown, f"`{SHORT}+8`: 4-bit weights (group 64), 8-bit (group 64) KV cache\n")
    assert f"`quants/{SHORT}` at revision" in pair and "bytes of KV cache per token" in pair
    assert "does not fit" not in pair


def test_one_setting_of_weights_has_a_title_of_its_own() -> None:
    shown = to_markdown(weights_report(REPO))
    title = shown.splitlines()[0]
    assert title == (
        f"# Weight-fidelity: `quants/{SHORT}` @ 4-bit weights (group 64) against "
        "`local-test/SmolLM2`"
    )
    assert "These are the bounds for weights." in shown
    pair = to_markdown(weights_report("w8+4")).splitlines()[0]
    assert pair.startswith("# Weight and KV-cache fidelity: `w8` @ 8-bit weights (group 64), 4-bit")


def test_weights_of_the_same_short_name_keep_their_notation() -> None:
    report = weights_report("w=a/model-4bit,w=b/model-4bit+8,w=c/other")
    names = short_names(report)
    assert names.of("w=a/model-4bit") == "w=a/model-4bit"
    assert names.of("w=b/model-4bit+8") == "w=b/model-4bit+8"
    assert names.of("w=c/other") == "other"


def test_older_facts_without_sizes_still_make_a_report() -> None:
    report = weights_report(GRID, weights=None, shape=None)
    assert report.deployment is None
    shown = to_markdown(report)
    head, *_ = first_table(section(shown, "All settings"))
    assert head[1] == "KV bytes/token" and "**Recommendation:**" in shown


def test_a_report_of_the_cache_alone_can_be_asked_where_it_fits() -> None:
    shown = to_markdown(weights_report("8,4", deployment=IN_400_MB))
    assert shown.startswith("# KV-fidelity: `local-test/SmolLM2`, 2 settings")
    assert "## Memory on Metal at 4k tokens of context, in 400 MB" in shown
    assert "bounds for weights" not in shown


def test_numbers_in_tables_are_plain(shown: str) -> None:
    assert not unlike_plain(shown.replace("—", "-"))


def test_a_sum_that_misleads_is_said(report: Report) -> None:
    first, *others = report.interactions
    sentences = ("`w8+8`: adding gives 0.1 nats", "adding would have misled: it is good")
    told = dataclasses.replace(
        first, interval=Interval(0.1, 0.2), misleads=True, sentences=sentences
    )
    small = dataclasses.replace(others[0], interval=Interval(0.001, 0.002), misleads=False)
    alone = dataclasses.replace(others[1], interval=None, misleads=None, guilty="undecided")
    shown = to_markdown(dataclasses.replace(report, interactions=(told, small, alone)))
    part = section(shown, "Weights and KV cache together")
    _, *rows = first_table(part)
    assert [row[5:] for row in rows] == [
        ["**yes**", "—"],
        ["no, told apart", "—"],
        ["no interval", "undecided"],
    ]
    assert f"- {'; '.join(sentences)}." in part
    assert "pair and sum are not told apart" not in part


def test_what_has_no_place_is_ranked_by_weights_and_cache() -> None:
    report = weights_report("w8+4~dequantized,w6+4~dequantized,w8", deployment=IN_400_MB)
    shown = to_markdown(report)
    # The weights of the one are smaller, its drift is larger: neither beats the other.
    assert [row.beaten_by for row in report.settings] == [None, None, None]
    assert ", without a prefill peak: `w6+4~dequantized`, `w8+4~dequantized`" in shown
    assert (
        "Not placed, because they score other positions or the quantizer alone: "
        "`w8+4~dequantized`, `w6+4~dequantized`."
    ) in shown


def test_the_reference_is_a_choice_too() -> None:
    deployment = weights_report("w3", deployment=IN_400_MB).deployment
    assert deployment is not None and deployment.pick == "reference"
    assert deployment.sentences[0].startswith("`reference` (the model as it is) in 400 MB at 4k")


def test_a_folder_with_a_hostile_name_stays_on_its_line() -> None:
    report = weights_report("w=./a%0A%23%20b%1B,w8", deployment=IN_400_MB)
    names = short_names(report)
    assert "\n" not in names.of("w=./a%0A%23%20b%1B") and "\x1b" not in "".join(
        names.names.values()
    )
    assert "\n# b" not in to_markdown(report) and "\x1b" not in to_markdown(report)
    assert len(to_answer(report, "run").splitlines()) <= 10
