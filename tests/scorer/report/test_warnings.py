from __future__ import annotations

import pytest
from report_builders import make_facts

from scorer.report.warnings import run_warnings, setting_warnings
from scorer.runs.facts import SettingFacts
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.text.provenance import CorpusFacts

EIGHT = KVSetting(8, 8)


def test_nothing_to_warn_of() -> None:
    assert run_warnings(make_facts(), [20.0, 21.0], [12, 12]) == []
    assert setting_warnings(SettingFacts(), EIGHT, "good", -0.01, 0) == []


@pytest.mark.parametrize(
    ("perplexities", "said"),
    [
        ([30.0, 900.0], None),  # the builder's unigrams: 900
        ([30.0, 900.1], "that of the text's own unigrams (900)"),
        ([1000.5], "above 1000"),
        ([float("inf")], "above 1000"),
        ([], None),
    ],
)
def test_absurd_perplexity(perplexities: list[float], said: str | None) -> None:
    found = run_warnings(make_facts(), perplexities, [12] * len(perplexities))
    assert len(found) == (said is not None)
    if said is not None:
        assert said in found[0] and "backwards" in found[0]


def test_text_without_known_unigrams() -> None:
    facts = make_facts(corpus=CorpusFacts(name="own.txt"))
    assert run_warnings(facts, [999.0], [12]) == []
    assert len(run_warnings(facts, [1001.0], [12])) == 1


def test_unfinished_run() -> None:
    assert run_warnings(make_facts(), [20.0, 20.0], [5, 5]) == [
        "unfinished run: this report covers 5 of 12 chunks"
    ]
    assert run_warnings(make_facts(), [20.0, 21.0], [12, 5]) == [
        "unfinished run: this report covers 5 to 12 of 12 chunks, each setting its own"
    ]
    assert run_warnings(make_facts(), [], []) == []


def test_few_chunks_of_one_setting_are_no_warning_about_the_run() -> None:
    unfinished = "unfinished run: this report covers 2 to 12 of 12 chunks, each setting its own"
    assert run_warnings(make_facts(), [20.0, 21.0], [12, 2]) == [unfinished]


@pytest.mark.parametrize(
    ("n_chunks", "said"),
    [
        (1, "few chunks: 1 chunk gives no interval, and 16 tokens"),
        (4, "few chunks: the intervals are rough, and 64 tokens"),
        (5, None),
    ],
)
def test_few_chunks(n_chunks: int, said: str | None) -> None:
    found = run_warnings(make_facts(n_chunks=n_chunks), [20.0], [n_chunks])
    assert len(found) == (said is not None)
    if said is not None:
        assert found[0].startswith(said)


def test_protocol_and_the_runs_own_warnings_come_last() -> None:
    job = Job("m", (EIGHT,), protocol="llama.cpp")
    facts = make_facts(job=job, warnings=("the batch was halved",))
    protocol, own = run_warnings(facts, [20.0], [12])
    assert "`llama.cpp`" in protocol and "never rank" in protocol
    assert own == "the batch was halved"


def test_partial_coverage_names_layers_and_kinds() -> None:
    facts = SettingFacts(
        kv_layers_quantized=6,
        kv_layers_total=30,
        kv_layers_skipped={"RotatingKVCache": 20, "ArraysCache": 4},
        warnings=("own",),
    )
    assert setting_warnings(facts, EIGHT, "good", 0.1, 0) == [
        "partial coverage: 6 of 30 layers quantized; kept at full precision: 4 × ArraysCache, "
        "20 × RotatingKVCache",
        "own",
    ]


def test_infinite_kl_and_lower_perplexity() -> None:
    one, fell = setting_warnings(SettingFacts(), EIGHT, "bad", -0.5, 1)
    assert one.startswith("1 position has infinite KL")
    assert "perplexity is lower" in fell and "`8`" in fell
    assert setting_warnings(SettingFacts(), EIGHT, "bad", 0.0, 3)[0].startswith("3 positions have")
    assert setting_warnings(SettingFacts(), EIGHT, None, -0.5, 0) == []
