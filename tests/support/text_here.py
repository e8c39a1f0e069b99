"""A run's text, read and tokenized in the test's own process.

A process for every run would take the tests minutes. Those of the process itself carry the marker
``text_process``, and what runs in a child of a test has one in any case.
"""

from __future__ import annotations

from typing import Any

from scorer.child.foreign_text import prepare_tokens
from scorer.common.errors import QfidError
from scorer.engine.text_process import text_request
from scorer.text.tokenized import TokenizedSource


class TextHere:
    """In place of :class:`scorer.engine.text_process.TextProcess`."""

    _found: tuple[dict[str, Any], bytes] | QfidError

    def begin(self, *of: Any, **more: Any) -> None:
        try:
            self._found = prepare_tokens()(text_request(*of, **more), lambda step: None)
        except QfidError as error:
            self._found = error

    def wait(self, *_: Any) -> bool:
        return True

    def tokens(self, *_: Any) -> TokenizedSource:
        if isinstance(self._found, QfidError):
            raise self._found
        return TokenizedSource.from_parts(*self._found)

    def __enter__(self) -> TextHere:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was started."""
