"""Which rows may be ranked together, and what is said of those that may not."""

from __future__ import annotations

from typing import Any

import pytest

from scorer.runs.comparability import (
    ComparabilityKey,
    common_chunks,
    comparable_groups,
    fingerprint_digest,
    precedence,
    run_conditions,
)
from scorer.runs.facts import StoredFacts
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_setting

IDENTITY: dict[str, Any] = {
    "model": "org/model",
    "model revision": "abc",
    "model files": "11" * 32,
    "model content": "44" * 32,
    "corpus": "22" * 32,
    "tokenizer": "33" * 32,
    "tokenizer versions": "tokenizers 0.23.3",
    "protocol": "mqf",
    "chunk length": 512,
    "chunks": "0,1,2",
    "batch": 4,
    "kernel": "auto",
    "device": "cpu Xeon",
    "compute dtype": "float32",
    "BLAS": "MKL",
    "arithmetic": "numpy",
    "mlx version": "0.32.4",
    "mlx-lm version": "0.32.2",
    "BLAS version": "MKL 2026.2",
    "NumPy BLAS": "OpenBLAS 0.3.31",
}


def key(
    name: str = "8", run: str = "one", chunks: range = range(4), **changes: Any
) -> ComparabilityKey:
    identity = {k: v for k, v in {**IDENTITY, **changes}.items() if v is not ...}
    conditions = run_conditions(StoredFacts(identity=identity))
    return ComparabilityKey.of(KVSetting.parse(name), chunks, run, conditions)


def test_settings_of_one_run_differ_in_start_and_path() -> None:
    assert key("8").differences(key("4:32")) == ()
    assert key("8").differences(key("4@64")) == ("first 64 tokens at full precision, not 0",)
    assert key("4@64").differences(key("4@32")) == ("first 32 tokens at full precision, not 64",)
    assert key("8").differences(key("4@64~dequantized")) == (
        "first 64 tokens at full precision, not 0",
        "dequantized path, not deployed",
    )


def test_chunks_and_names_are_no_difference() -> None:
    names = {"model": "folder", "model revision": "none", "chunks": "2,3"}
    conditions = run_conditions(StoredFacts(identity={**IDENTITY, **names}))
    other = ComparabilityKey.of(KVSetting.parse("4"), range(2, 9), "two", conditions)
    assert key().differences(other) == ()
    assert common_chunks([key(), other]) == {2, 3}
    assert common_chunks([]) == frozenset()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"corpus": "44" * 32}, "text"),
        ({"model files": "44" * 32}, "files of the model"),
        ({"tokenizer": "44" * 32}, "tokenizer"),
        ({"chunk length": 256}, "chunk length 256, not 512"),
        ({"protocol": "llama.cpp"}, "protocol llama.cpp, not mqf"),
        ({"batch": 1}, "batch 1, not 4"),
        ({"kernel": "mlx-lm"}, "kernel mlx-lm, not auto"),
        ({"mlx version": "0.33.0"}, "mlx version 0.33.0, not 0.32.4"),
        ({"BLAS": "OpenBLAS"}, "BLAS OpenBLAS, not MKL"),
        ({"device": "cpu " + "x" * 50}, f"device cpu {'x' * 25}…, not cpu Xeon"),
    ],
)
def test_runs_differ_in_what_their_numbers_depend_on(changes: dict[str, Any], said: str) -> None:
    assert key().differences(key("4", "two", **changes)) == (said,)


@pytest.mark.parametrize("missing", [None, ...])
@pytest.mark.parametrize("both", [True, False])
def test_what_a_run_does_not_say_counts_as_different(missing: Any, both: bool) -> None:
    old = key("4", "two", arithmetic=missing)
    assert key(arithmetic=missing if both else "numpy").differences(old) == ("arithmetic unknown",)
    assert old.differences(key()) == ("arithmetic unknown",)
    # A field that only later versions have.
    assert key(later="new").differences(key("4", "two")) == ("later unknown",)
    # Rows of one run share what is unknown.
    assert key("8", "two", arithmetic=missing).differences(old) == ()


def test_a_run_of_unknown_conditions_is_like_no_other() -> None:
    unknown = ComparabilityKey.of(KVSetting.parse("8"), range(4), "two")
    assert key().differences(unknown) == unknown.differences(key()) == ("conditions unknown",)


def test_a_run_of_mixed_conditions_is_like_no_other() -> None:
    facts = StoredFacts(identity=IDENTITY, mixed=("batch (`4`, now `8`)",))
    mixed = ComparabilityKey.of(KVSetting.parse("8"), range(4), "two", run_conditions(facts))
    assert key().differences(mixed) == mixed.differences(key())
    assert key().differences(mixed) == ("changes accepted on resume",)


def test_groups_keep_their_order_and_stress_on_the_deployed_path_comes_first() -> None:
    names = ["4@64", "8~dequantized", "8", "2@64", "4"]
    groups = comparable_groups([key(name) for name in names], lambda found: found)
    assert [[(k.start, k.path) for k in group] for group in groups] == [
        [(64, "deployed")] * 2,
        [(0, "dequantized")],
        [(0, "deployed")] * 2,
    ]
    first = min((group[0] for group in groups), key=precedence)
    assert (first.start, first.path) == (0, "deployed")


def test_rows_of_two_runs_have_one_digest_where_nothing_differs() -> None:
    own = key()
    assert own.digest is not None and len(own.digest) == 12 and int(own.digest, 16) >= 0
    same = [key("4", run="two"), key("k8v4", run="two", chunks=range(9)), key(model="folder")]
    others = [
        *(key("4@64", run="two"), key("8~dequantized", run="two")),
        *(key(run="two", **{name: "other"}) for name in ("corpus", "batch", "BLAS version")),
        key(run="two", later="recorded by a later version"),
    ]
    for other in same:
        assert other.digest == own.digest and not other.differences(own)
    for other in others:
        assert other.digest not in (own.digest, None) and other.differences(own)


@pytest.mark.parametrize("name", ["corpus", "BLAS version", "NumPy BLAS", "mlx version"])
@pytest.mark.parametrize("value", [None, ...])
def test_a_row_of_unknown_conditions_has_no_digest(name: str, value: Any) -> None:
    assert key(**{name: value}).digest is None
    assert ComparabilityKey.of(KVSetting.parse("8"), range(4)).digest is None


def test_one_name_for_other_weights_is_a_difference_but_no_part_of_the_digest() -> None:
    setting = parse_setting("w=./folder")
    print_a = fingerprint_digest({"content": "ab" * 32})
    print_b = fingerprint_digest({"content": "cd" * 32})
    assert print_a is not None and len(print_a) == 12 and print_a != print_b
    assert fingerprint_digest({}) is None
    conditions = key().conditions
    a, b, unknown = (
        ComparabilityKey.of(setting, range(4), run, conditions, own)
        for run, own in (("one", print_a), ("two", print_b), ("three", None))
    )
    assert a.differences(b) == ("other weights of that name",)
    assert a.digest == b.digest
    assert not a.differences(unknown) and not a.differences(a)
    other = ComparabilityKey.of(parse_setting("w=./other"), range(4), "two", conditions, print_b)
    assert not a.differences(other)
