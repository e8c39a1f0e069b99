"""What a hint of the command line says to those who call from Python."""

from __future__ import annotations

import pytest

from scorer.common.python_hints import in_python


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("`qfid resume 2026-a` goes on with it; x", "`resume_run('2026-a')` goes on with it; x"),
        (
            "score anew with `qfid kv`, or mix the two with --accept-changes",
            "score anew with `measure_kv_fidelity`, or mix the two with accept_changes=True",
        ),
        (
            "--chunk-length 40 would fit; --force scores it as it is",
            "chunk_length=40 would fit; force=True scores it as it is",
        ),
        ("give --chunk-length 64 or less", "give chunk_length=64 or less"),
        (
            "score with shorter chunks (--chunk-length), or",
            "score with shorter chunks (chunk_length), or",
        ),
        (
            "free memory, or score with --batch 1 or shorter chunks",
            "free memory, or score with shorter chunks",
        ),
        ("score the text: --corpus builtin", "score the text: corpus='builtin'"),
        ("give --revision with one of: a, b", "give revision with one of: a, b"),
        ("leave out --revision", "leave out revision"),
        (
            "--allow-custom-code runs it; read it first",
            "allow_custom_code=True runs it; read it first",
        ),
        # Commands of a shell stay as they are.
        ("qfid pull a/b --revision c0", "qfid pull a/b --revision c0"),
        ("`qfid doctor` looks at it", "`qfid doctor` looks at it"),
        ("`python -m pip install mkl`", "`python -m pip install mkl`"),
        ("", ""),
    ],
)
def test_options_become_parameters(hint: str, expected: str) -> None:
    assert in_python(hint) == expected
    assert in_python(expected) == expected
