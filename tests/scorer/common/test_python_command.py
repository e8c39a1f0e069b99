"""A child process ignores of its environment what its parent ignores."""

from __future__ import annotations

import subprocess
import sys

import pytest
from project import ROOT

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from scorer.common.python_command import python_command
print(*python_command("a.module", "more")[1:])
"""


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "-P -m a.module more"),
        (["-P"], "-P -m a.module more"),
        (["-I"], "-I -m a.module more"),
        (["-E"], "-P -E -m a.module more"),
        (["-s"], "-P -s -m a.module more"),
    ],
)
def test_flags_are_handed_on(flags: list[str], expected: str) -> None:
    program = PROGRAM.format(root=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-S", *flags, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == expected + "\n"
