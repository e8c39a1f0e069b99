"""What is said of a child process that ended without its last word."""

from __future__ import annotations

import signal

import pytest

from scorer.common.child_end import died, ending, may_lack_memory


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with code 0"),
        (3, "ended with code 3"),
        (-signal.SIGABRT, "was ended by SIGABRT"),
        (-200, "was ended by signal 200"),
    ],
)
def test_an_exit_code_in_words(code: int, words: str) -> None:
    assert ending(code) == words


def test_what_says_or_hints_that_memory_ran_out() -> None:
    assert may_lack_memory(-signal.SIGKILL, ())
    assert may_lack_memory(-signal.SIGSEGV, ())
    assert may_lack_memory(1, ("a line", "std::bad_alloc"))
    assert not may_lack_memory(-signal.SIGTERM, ("a line",))


def test_an_error_says_how_it_ended_what_is_saved_and_what_helps() -> None:
    error = died(1)
    assert (error.message, error.hint, error.exit_code) == (
        "the scorer ended with code 1 without a report",
        "",
        1,
    )
    error = died(-signal.SIGKILL, ["first", "last words"], "all is saved")
    assert error.message == (
        "the scorer was ended by SIGKILL without a report; its last line: last words"
    )
    assert error.hint == ("all is saved; if memory ran out, score with --batch 1 or shorter chunks")
    assert error.exit_code == 1
    assert died(-signal.SIGABRT, ["[metal::malloc] no"]).exit_code == 3
