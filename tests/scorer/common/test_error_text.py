"""The one line that an exception is shown as."""

from __future__ import annotations

from scorer.common.error_text import first_line, named_line


def test_the_first_line_of_a_message() -> None:
    assert first_line(ValueError("\n  one\ntwo")) == "one"
    assert first_line(ValueError("")) == "ValueError"
    assert first_line(ValueError(" \n"), empty="nothing") == "nothing"


def test_the_class_stands_before_it() -> None:
    assert named_line(KeyError("x")) == "KeyError: 'x'"
    assert named_line(RuntimeError()) == "RuntimeError: no message"
