"""The report for people: heads as mlx-quant-fidelity's, whole tables, quiet foreign text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_builders import by_turns, make_facts, random_positions, scored

from scorer.report.build import build_report
from scorer.report.formats.inline import columns
from scorer.report.formats.markdown import to_markdown
from scorer.report.formats.markdown_details import changed_layers
from scorer.runs.engagement import SideEngagement
from scorer.runs.facts import DeviceFacts, FailureFacts
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_settings
from scorer.stats.noise_floor import NoiseFloor, NoiseOf

FAILURE = FailureFacts(
    "SettingFailed", "setting `4`: quantization did not engage", "please report the model"
)


def page(name: str = "8", **changes: Any) -> list[str]:
    report = build_report(make_facts(name), [scored(name, random_positions(), **changes)])
    return to_markdown(report).splitlines()


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


# --- one setting ----------------------------------------------------------------------------


def test_heads_are_the_peers() -> None:
    lines = page()
    assert lines[0] == "# KV-fidelity: `local-test/SmolLM2` @ 8-bit (group 64)"
    assert lines[2].startswith("**Verdict:** ")
    assert lines[2].endswith(" · **mode:** stress (quantize_start=0)")
    order = [
        lines.index(one_line(lines, start))
        for start in (
            "# KV-fidelity",
            "**Verdict:**",
            "| metric",
            "| KL mean",
            "| KL median",
            "| KL p99",
            "| KL max",
            "| flip rate",
            "| perplexity Δ",
            "Measured on **wikitext-2-raw/test**: 180 positions of 12 chunks of 16 tokens",
            "_mlx 0.32.4, mlx-lm 0.32.2, model rev `0123456789abcdef",
            "**Drift by position depth**",
            "**By confidence of the reference**",
            "**Quantiles**",
            "**Cost:**",
            "**Recommendation:**",
            "## How it was measured",
            "qfid kv local-test/SmolLM2 --settings 8",
        )
    ]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("name", "changes", "title"),
    [
        ("4:32", {}, "4-bit (group 32)"),
        ("k8v4", {}, "k8v4-bit (group 64) via affine"),
        ("8~dequantized", {}, "8-bit (group 64), dequantized path"),
        (
            "8",
            {
                "kv_layers_skipped": {"RotatingKVCache": 24},
                "kv_layers_quantized": 6,
            },
            "8-bit (group 64) (partial: 6/30 layers)",
        ),
    ],
)
def test_title(name: str, changes: dict[str, Any], title: str) -> None:
    assert page(name, **changes)[0] == f"# KV-fidelity: `local-test/SmolLM2` @ {title}"


def test_partial_coverage_is_said_on_top_and_with_the_verdict() -> None:
    lines = page(kv_layers_skipped={"RotatingKVCache": 24}, kv_layers_quantized=6)
    assert lines[2] == (
        "> **Warning:** partial coverage: 6 of 30 layers quantized; kept at full precision: "
        "24 × RotatingKVCache"
    )
    assert "(partial coverage) · **mode:**" in one_line(lines, "**Verdict:**")
    assert one_line(lines, "**Cost:**").endswith(" 6 of 30 layers quantized.")


def test_what_holds_the_verdict() -> None:
    found = scored("4", random_positions(scale=0.2, flip_rate=0.0, seed=3))
    lines = to_markdown(build_report(make_facts("4"), [found])).splitlines()
    assert one_line(lines, "- not marginal: KL mean").endswith(" nats is above 0.1 nats")
    assert not any(line.startswith("- not marginal: flip rate") for line in lines)


@pytest.mark.parametrize(
    ("total", "rest"), [(595, ""), (100, ", more than the 100 of this text leave")]
)
def test_what_is_open_and_what_would_settle_it(total: int, rest: str) -> None:
    # KL means 0.004 and 0.014 by turns; test_build.py has the arithmetic.
    facts, positions = by_turns()
    facts = replace(facts, corpus=replace(facts.corpus, total_chunks=total))
    lines = to_markdown(build_report(facts, [scored("8", positions)])).splitlines()
    assert one_line(lines, "**Verdict:**").startswith("**Verdict:** good? ")
    assert one_line(lines, "- open: KL mean") == (
        "- open: KL mean 0.009 nats, 95 % interval 0.005682 … 0.01232 nats, crosses the bound of "
        f"good (0.01 nats); about 96 more chunks would settle it{rest}"
    )
    assert "about 96 more chunks" in one_line(lines, "**Recommendation:**")


def test_noise_floor() -> None:
    floor = NoiseFloor(
        repeats=8, kl_mean=NoiseOf(1.25e-5, 2.5e-5), flip_rate=NoiseOf(0.0012, 0.0024)
    )
    line = one_line(page(noise_floor=floor), "Noise floor over 8 repeats")
    assert "KL mean 1.25e-05 nats (at most 2.5e-05), flip rate 0.12 % (at most 0.24)" in line
    assert "lower bound of what other arithmetic does" in line
    assert "say next to nothing" not in line
    few = NoiseFloor(repeats=2, kl_mean=NoiseOf(1.25e-5, 4e-4))
    assert "2 repeats say next to nothing" in one_line(page(noise_floor=few), "Noise floor over 2")
    assert not any(line.startswith("Noise floor") for line in page())


def test_what_rounding_can_cause_is_not_ranked() -> None:
    floor = NoiseFloor(repeats=4, kl_mean=NoiseOf(0.1, 0.4))
    names = ["8", "4"]
    found = [
        scored("8", random_positions(), noise_floor=floor),
        scored("4", random_positions(scale=0.2, seed=1), noise_floor=floor),
    ]
    lines = to_markdown(build_report(make_facts(names), found)).splitlines()
    assert one_line(lines, "| `8` - `4`").endswith("| below the noise floor |")
    assert "(`4` and `8` are tied)" in one_line(lines, "- stress, over 12 common chunks:")
    assert one_line(lines, "**Groups**, the least drift first: a: `8`, `4`. Settings")
    assert any("near the bound of good" in line for line in lines)
    apart = [replace(one, facts=replace(one.facts, noise_floor=None)) for one in found]
    lines = to_markdown(build_report(make_facts(names), apart)).splitlines()
    assert "`8` drifts less" in one_line(lines, "| `8` - `4`")


def test_pairs_say_that_they_are_a_family_and_what_they_speak_for() -> None:
    lines = several()
    assert "speaking for these passages only" in one_line(lines, "**Told apart?**")
    assert "Holm's method at 5 %" in one_line(lines, "3 pairs tested as one family")


def test_a_metric_without_an_interval_is_named() -> None:
    lines = page()
    assert one_line(lines, "**Verdict:**").startswith("**Verdict:** good? ")
    few = "- open: KL p99: fewer than 200 positions give no interval"
    assert one_line(lines, "- open: KL p99") == few


def test_deployment_says_what_is_scored_and_where_depth_counts_from() -> None:
    found = scored("4@5", random_positions(first=5, n_depth=10))
    lines = to_markdown(build_report(make_facts("4@5"), [found])).splitlines()
    assert "**mode:** deployment (quantize_start=5)" in one_line(lines, "**Verdict:**")
    assert "the first 5 positions" in one_line(lines, "> **Deployment mode:**")
    assert one_line(lines, "| positions from 5 on")
    assert "--quantized-kv-start 5" in "\n".join(lines)


def test_the_llama_cpp_protocol_is_named_where_numbers_are() -> None:
    job = Job("m", (KVSetting(8, 8),), protocol="llama.cpp", chunk_length=16)
    facts = make_facts("8", job=job, scored_from=8)
    found = scored("8", random_positions(first=8, n_depth=7))
    lines = to_markdown(build_report(facts, [found])).splitlines()
    assert "protocol `llama.cpp`" in one_line(lines, "> **Warning:**")
    measured = one_line(lines, "Measured on")
    assert "protocol **llama.cpp**: positions from 8 on" in measured
    assert one_line(lines, "| positions from 8 on")
    assert "protocol `llama.cpp`" in one_line(lines, "- Text:")


def test_control() -> None:
    job = Job("m", (KVSetting(8, 8),), chunk_length=16, control=True)
    facts = make_facts("8", job=job)
    control = random_positions(seed=6)
    both = to_markdown(build_report(facts, [scored("8", random_positions(), control)]))
    assert "| quantizer only |" in both
    none = to_markdown(build_report(facts, [scored("8", random_positions())]))
    assert "**Quantizer-only control:** none, same arithmetic here" in none


def test_one_chunk() -> None:
    facts = make_facts("8", n_chunks=1)
    lines = to_markdown(build_report(facts, [scored("8", random_positions(n_chunks=1))]))
    assert "1 chunk gives no interval" in lines
    assert "180 positions" not in lines and "15 positions of 1 chunk of 16 tokens" in lines


def test_a_failed_setting_alone() -> None:
    lines = to_markdown(build_report(make_facts("4"), [scored("4", None, failure=FAILURE)]))
    assert "**Verdict:** none, failed · **mode:** stress" in lines
    assert (
        "`SettingFailed`: setting `4`: quantization did not engage (please report the model)"
        in lines
    )
    assert "**Recommendation:** none, no setting was scored" in lines


def test_weights_of_many_files_are_only_counted() -> None:
    files: dict[str, str | int] = {f"model-{i}.safetensors": "ab" * 32 for i in range(5)}
    facts = make_facts("8", model_files=files)
    found = to_markdown(build_report(facts, [scored("8", random_positions())]))
    assert "- Weights: 5 files, hashes in the JSON report" in found


# --- tables and foreign text ----------------------------------------------------------------

CELL = re.compile(r"(?<!\\)\|")


def check_tables(markdown: str) -> int:
    """Every table has as many cells in every line as in its head, and lines up."""
    tables = 0
    lines = markdown.splitlines()
    for i, line in enumerate(lines):
        if not re.fullmatch(r"\|(-+:?\|)+", line):
            continue
        tables += 1
        block = [lines[i - 1], line]
        for row in lines[i + 1 :]:
            if not row.startswith("|"):
                break
            block.append(row)
        assert len({len(CELL.findall(row)) for row in block}) == 1
        assert len({columns(row) for row in block}) == 1
    return tables


def test_tables_are_whole() -> None:
    assert check_tables("\n".join(page())) == 4
    # comparison, told apart, 3 × metrics, depth, confidence, KL and Δp quantiles
    assert check_tables("\n".join(several())) == 9


FOREIGN = st.text(st.characters(codec=None), max_size=30) | st.sampled_from(
    [
        "a|b",
        "`",
        "``x",
        "](http://x)",
        "<b>",
        "\x1b[31m",
        "a\nb\n# c",
        "| --- |",
        "\u202eabc",
        "$x$",
    ]
)


@given(FOREIGN, FOREIGN, FOREIGN)
def test_foreign_text_leaves_the_page_whole(model: str, corpus: str, other: str) -> None:
    facts = make_facts(
        "8",
        job=Job(model, (KVSetting(8, 8),), chunk_length=4),
        model_id=model,
        model_revision=other,
        architecture=other,
        chunk_length=4,
        n_chunks=2,
        model_files={other + ".safetensors": "ab" * 32},
        device=DeviceFacts("cpu", other, 1),
        warnings=(other,),
    )
    provenance = {"name": corpus, "split": other, "tokenizer_id": other, "sha256": other}
    facts = replace(facts, corpus=replace(facts.corpus, **provenance))
    skipped = {"kv_layers_skipped": {other: 3}, "warnings": (corpus,), "arithmetic": other}
    found = scored("8", random_positions(n_chunks=2, n_depth=3), **skipped)
    plain = to_markdown(build_report(facts, [found]))
    assert check_tables(plain) == 4
    # No heading, fence or quote but ours, whatever the text holds.
    assert [line[:2] for line in plain.splitlines() if line.startswith("#")] == ["# ", "##"]
    assert sum(line.startswith("```") for line in plain.splitlines()) in (2, 4)
    assert sum(line.startswith(">") for line in plain.splitlines()) >= 2
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", plain)
    plain.encode()


def test_engagement_in_words() -> None:
    def side(layer: str, name: str, bits: int) -> SideEngagement:
        return SideEngagement(
            layer=layer,
            side=name,
            cache_class="CodesKVCache",
            bits=bits,
            group_size=64,
            tokens=255,
        )

    sides = [side(str(i), name, 8) for i in (0, 1, 2, 5) for name in "kv"]
    assert changed_layers(sides) == (
        "K and V of layers 0–2, 5 in `CodesKVCache` at 8 bit, group 64, 255 tokens"
    )
    apart = [side("3", "k", 8), side("3", "v", 4)]
    assert changed_layers(apart) == (
        "K of layer 3 in `CodesKVCache` at 8 bit, group 64, 255 tokens; "
        "V of layer 3 in `CodesKVCache` at 4 bit, group 64, 255 tokens"
    )
    assert "K of 2 layers" in changed_layers([side("3.1", "k", 8), side("4.1", "k", 8)])


def test_settings_of_another_size_are_not_beside_each_other() -> None:
    settings = parse_settings("8,4@5")
    assert [s.start for s in settings] == [0, 5]
    found = [
        scored("8", random_positions()),
        scored("4@5", random_positions(first=5, n_depth=10, scale=0.2)),
    ]
    lines = to_markdown(build_report(make_facts("8,4@5"), found)).splitlines()
    heads = [line for line in lines if line.startswith("| positions")]
    assert ["`8`" in head for head in heads] == [True, False]
    assert ["`4@5`" in head for head in heads] == [False, True]
