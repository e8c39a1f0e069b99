"""The report as text: strict JSON, and the same bytes from the same run at any time."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from report_builders import make_facts, make_positions, random_positions, scored, stored_facts
from tiny_runs import Small, finished, planned

from qfid_tui.cli.commands import kv
from qfid_tui.cli.job_options import job_of
from qfid_tui.cli.parser import Parser
from scorer.report.build import build_report
from scorer.report.formats.csv_export import to_csv
from scorer.report.formats.json_text import report_text
from scorer.report.formats.markdown import to_markdown
from scorer.report.from_run import finished_report
from scorer.report.measured import ScoredSetting
from scorer.report.tree import Report
from scorer.runs.facts import FailureFacts, RunFacts, StoredFacts
from scorer.runs.listing import find_run
from scorer.stats.noise_floor import NoiseFloor, NoiseOf
from scorer.stats.positions import Positions

FAILURE = FailureFacts(
    "SettingFailed", "setting `4`: quantization did not engage", "please report it"
)


def strictly(text: str) -> Any:
    """Read JSON as RFC 8259 has it: no NaN, no Infinity."""

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_has_no_words_of_its_own() -> None:
    positions = random_positions()
    positions.kl[[3, 40]] = math.inf
    constant = replace(positions, nll_ref=np.ones(180), nll_quant=np.ones(180))
    report = build_report(make_facts("4"), [scored("4", constant)])
    text = report_text(report)
    row = strictly(text)["settings"][0]
    assert row["kl"]["mean"] == row["kl"]["max"] == "Infinity"
    assert float(row["kl"]["mean"]) == math.inf
    assert row["intervals"]["kl_mean"] is None
    assert row["nll_correlation"] is None
    assert row["verdict"] == "bad"
    assert any("2 positions have infinite KL" in warning for warning in row["warnings"])
    assert text.isascii() and text.endswith("}\n")


def test_the_saved_text_gives_the_same_bytes_again() -> None:
    report = build_report(
        make_facts("8,4,k8v4"),
        [
            scored("8", random_positions(), noise_floor=FLOOR),
            scored("4", None, failure=FAILURE),
            scored("k8v4", random_positions(scale=0.02, seed=3)),
        ],
    )
    again = Report.from_json(json.loads(report_text(report)))
    assert report_text(again) == report_text(report)
    assert to_markdown(again) == to_markdown(report)
    assert to_csv(again) == to_csv(report)


def test_stored_facts_give_the_same_bytes_again() -> None:
    facts = make_facts("8", documents={i: i // 2 for i in range(12)}, warnings=("w",))
    setting = scored("8", random_positions(), noise_floor=FLOOR, kv_layers_skipped={"X": 2})
    stored = stored_facts(facts, settings={"8": setting.facts}).to_json()
    read = StoredFacts.from_json(json.loads(json.dumps(stored)))
    assert read.run is not None
    again = build_report(read.run, [replace(setting, facts=read.settings["8"])])
    assert report_text(again) == report_text(build_report(facts, [setting]))


FLOOR = NoiseFloor(repeats=4, kl_mean=NoiseOf(1e-5, 4e-5), flip_rate=NoiseOf(1e-3, 4e-3))
SIX = tuple(range(6))


@cache
def straight(seed: int, documents: bool) -> tuple[RunFacts, tuple[Positions, Positions], str]:
    owners = {i: i % 5 for i in SIX} if documents else None
    facts = make_facts("8,4", n_chunks=6, documents=owners)
    found = (
        random_positions(n_chunks=6, seed=seed),
        random_positions(n_chunks=6, seed=seed + 9, scale=0.1),
    )
    settings = [scored(name, p) for name, p in zip("84", found, strict=True)]
    return facts, found, report_text(build_report(facts, settings))


@given(st.randoms(use_true_random=False), st.integers(0, 5), st.booleans())
def test_the_order_of_batches_does_not_matter(random: Any, seed: int, documents: bool) -> None:
    facts, found, text = straight(seed, documents)
    mixed = [p.select(np.array(random.sample(range(len(p)), len(p)))) for p in found]
    settings = [scored(name, p) for name, p in zip("84", mixed, strict=True)]
    assert report_text(build_report(facts, settings)) == text


KL_VALUES = st.floats(0, 5) | st.sampled_from([0.0, math.inf, 1e-300, -1e-8])


@given(
    st.lists(
        st.tuples(KL_VALUES, st.floats(0, 800), st.floats(0, 800), st.booleans()),
        min_size=6,
        max_size=6,
    )
)
def test_any_positions_make_strict_json_and_whole_pages(rows: list[Any]) -> None:
    kl, ref, quant, flips = zip(*rows, strict=True)
    positions: Positions = make_positions(
        chunk=[0, 0, 0, 1, 1, 1],
        position=[0, 1, 2] * 2,
        kl=kl,
        nll_ref=ref,
        nll_quant=quant,
        flips=flips,
    )
    settings: list[ScoredSetting] = [scored("8", positions), scored("4", positions)]
    report = build_report(make_facts("8,4", n_chunks=2, chunk_length=4), settings)
    assert strictly(report_text(report)) == report.to_json()
    assert to_markdown(report).count("nan") == 0
    assert to_csv(report).count("\n") == 3


def test_a_saved_run_prints_the_same_bytes_again(small: Small) -> None:
    events = small.score("8,k8v4,4@5", control=True, noise_floor=4)
    run = find_run(planned(events).run)
    stored = Report.from_json(run.report())
    again = finished_report(run)
    assert report_text(again) == report_text(stored)
    assert report_text(again) == report_text(Report.from_json(finished(events).report))
    assert to_markdown(stored) == to_markdown(again) == (run.path / "report.md").read_text("utf-8")
    assert to_csv(stored) == to_csv(again)
    assert all((row.noise_floor or 0) > 0 for row in stored.settings)


def test_the_command_of_a_run_asks_for_the_job_of_the_run(small: Small) -> None:
    events = small.score("8,k8v4:32,4@5", noise_floor=4)
    run = find_run(planned(events).run)
    report = run.report()
    assert report is not None
    parser = Parser(prog="qfid")
    kv.add_parser(parser.add_subparsers())
    words = shlex.split(report["run"]["command"])[1:]
    assert job_of(parser.parse_args(words)) == run.job
