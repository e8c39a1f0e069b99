"""Identities of runs: what differs, what is unknown, and what a run that goes on keeps."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.runs.identity import (
    continued_identity,
    fingerprint_differences,
    identity_differences,
    identity_hash,
    unknown_fields,
    unknown_fingerprint_fields,
)

IDENTITY = {"model": "a/b", "revision": "r", "corpus_hash": "c" * 64, "batch": 4}


def test_differences_are_named() -> None:
    assert identity_differences(IDENTITY, dict(IDENTITY)) == []
    other = {"model": "a/b", "revision": "x", "corpus_hash": "d" * 64}
    assert identity_differences(IDENTITY, other) == [
        "revision (`r`, now `x`)",
        f"corpus hash (`{'c' * 39}…`, now `{'d' * 39}…`)",
        "batch (`4`, now not recorded)",
    ]
    assert identity_differences({"a": 1}, {"a": True}) == ["a (`1`, now `True`)"]


def test_a_field_that_one_of_two_does_not_know_is_unknown_and_no_difference() -> None:
    older = {"model": "a/b", "blas": None, "tokenizer": "t"}
    now = {"model": "a/b", "blas": "MKL 2026.1", "tokenizer": None, "numpy blas": "OpenBLAS 0.3"}
    assert identity_differences(older, now) == []
    assert unknown_fields(older, now) == ["blas", "tokenizer", "numpy blas"]
    # What one of the two knows is kept, and counts the next time.
    after = continued_identity(older, now)
    assert after == {**now, "tokenizer": "t"}
    assert unknown_fields(after, after) == []
    assert identity_differences(after, {**after, "tokenizer": "u"}) == ["tokenizer (`t`, now `u`)"]


def test_a_field_of_a_fingerprint_can_be_unknown_too() -> None:
    stored = {"x": {"content": "1"}, "y": {"content": "1"}, "z": {}}
    now = {"x": {"content": "1", "package": "2"}, "y": {"content": "2"}, "w": {"content": "1"}}
    assert fingerprint_differences(stored, now) == {"y": ["content (`1`, now `2`)"]}
    assert unknown_fingerprint_fields(stored, now) == ["package of `x`"]


SCALARS = st.one_of(st.booleans(), st.integers(-3, 3), st.text(max_size=3))
IDENTITIES = st.dictionaries(st.sampled_from("abc"), SCALARS, min_size=1)


@settings(deadline=None, derandomize=True)
@given(a=IDENTITIES, b=IDENTITIES)
def test_nothing_differs_and_nothing_is_unknown_exactly_where_the_hashes_agree(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    same = not identity_differences(a, b) and not unknown_fields(a, b)
    assert same == (identity_hash(a) == identity_hash(b))
