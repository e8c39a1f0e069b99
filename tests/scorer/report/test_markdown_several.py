"""The Markdown report of several settings: comparison, frontiers, pairs, side by side."""

from __future__ import annotations

from report_builders import make_facts, random_positions, scored

from scorer.report.build import build_report
from scorer.report.formats.inline import columns
from scorer.report.formats.markdown import to_markdown
from scorer.runs.facts import FailureFacts

FAILURE = FailureFacts(
    "SettingFailed", "setting `4`: quantization did not engage", "please report the model"
)


def several() -> list[str]:
    settings = [
        scored("8", random_positions()),
        scored("4", random_positions(scale=0.2, seed=1, flip_rate=0.2)),
        scored("k8v4", random_positions(scale=0.02, seed=2, flip_rate=0.03)),
    ]
    return to_markdown(build_report(make_facts("8,4,k8v4"), settings)).splitlines()


def one_line(lines: list[str], start: str) -> str:
    (found,) = (line for line in lines if line.startswith(start))
    return found


def test_comparison_stands_on_top() -> None:
    lines = several()
    assert lines[0] == "# KV-fidelity: `local-test/SmolLM2`, 3 settings"
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "setting",
        "KV bytes/token",
        "KL mean (nats)",
        "p99 (nats)",
        "flips (%)",
        "ppl Δ",
        "verdict",
        "group",
        "frontier",
    ]
    assert [line.split("|")[1].strip() for line in lines[4:7]] == ["`8`", "`4`", "`k8v4`"]
    assert " 12240 (53 %) " in lines[4]
    assert [line for line in lines if line.startswith("## ")] == [
        "## `8`: 8-bit (group 64)",
        "## `4`: 4-bit (group 64)",
        "## `k8v4`: k8v4-bit (group 64) via affine",
        "## Side by side",
        "## How it was measured",
    ]
    assert sum(line.startswith("Measured on") for line in lines) == 1
    assert one_line(lines, "- stress, over 12 common chunks: `4`, `k8v4`, `8`")
    assert one_line(lines, "± or (low-high): 95 % interval over 12 chunks")


def test_failed_and_waiting_settings_keep_their_rows() -> None:
    report = build_report(
        make_facts("8,4,2"),
        [scored("8", random_positions()), scored("4", None, failure=FAILURE), scored("2", None)],
    )
    lines = to_markdown(report).splitlines()
    assert "**failed**" in lines[5] and "**waiting**" in lines[6]
    assert "No chunk is scored yet." in lines
    assert "## Side by side" not in lines


def test_other_positions_are_named_apart() -> None:
    report = build_report(
        make_facts("4,4@5"),
        [
            scored("4", random_positions(scale=0.2)),
            scored("4@5", random_positions(scale=0.2, first=5, n_depth=10)),
        ],
    )
    lines = to_markdown(report).splitlines()
    assert one_line(lines, "`4`: Measured on **wikitext-2-raw/test**: 180 positions")
    assert one_line(lines, "`4@5`: Measured on **wikitext-2-raw/test**: 120 positions")
    assert one_line(lines, "- deployment from 5, over 12 common chunks: `4@5`")
    assert "never ranked" in one_line(lines, "**Frontier**")
    assert one_line(lines, "| `4@5` ").endswith("| ✓ deployment from 5 |")
    assert "| ✓ stress " in one_line(lines, "| `4` ")
    assert "`4@5` is not ranked with it: first 5 tokens at full precision, not 0" in one_line(
        lines, "**Recommendation:**"
    )


def test_positions_are_named_in_the_order_of_the_settings() -> None:
    report = build_report(
        make_facts("4,4@5,2"),
        [
            scored("4", random_positions(scale=0.2)),
            scored("4@5", random_positions(scale=0.2, first=5, n_depth=10)),
            scored("2", random_positions(scale=2.0)),
        ],
    )
    named = [line for line in to_markdown(report).splitlines() if ": Measured on" in line]
    assert [line.partition(": Measured")[0] for line in named] == ["`4`, `2`", "`4@5`"]


def test_the_two_paths_are_neither_ranked_nor_paired() -> None:
    positions = random_positions()
    report = build_report(
        make_facts("8,8~dequantized,4"),
        [
            scored("8", positions),
            scored("8~dequantized", positions, same_as="8"),
            scored("4", random_positions(scale=0.2, seed=1)),
        ],
    )
    lines = to_markdown(report).splitlines()
    assert "`8` drifts less" in one_line(lines, "| `8` - `4`")
    assert not any("`8~dequantized` -" in line or "- `8~dequantized`" in line for line in lines)
    assert "same arithmetic as `8`" in one_line(lines, "| `8~dequantized` ")
    assert one_line(lines, "- stress, dequantized path, over 12 common chunks: `8~dequantized`")


def test_many_settings_stay_readable() -> None:
    names = "8,6,5,4,3,2,8:32,6:32,4:32"
    found = [
        scored(name, random_positions(scale=0.001 * (i + 1) ** 2, seed=i))
        for i, name in enumerate(names.split(","))
    ]
    lines = to_markdown(build_report(make_facts(names), found)).splitlines()
    assert max(columns(line) for line in lines if line.startswith("|")) <= 130
    assert "36 pairs are" in one_line(lines, "**Told apart?**")
