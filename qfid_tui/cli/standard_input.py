"""A text from standard input, put into a file that the scorer can read."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qfid_tui.cli import diagnostics
from scorer.common.errors import InputError
from scorer.common.folders import temporary_folder
from scorer.text.content import LARGEST, too_large

_BLOCK = 1 << 20


@contextmanager
def text_from_standard_input() -> Iterator[Path]:
    """Read standard input to its end, and give the file that holds it while the block lasts.

    The scorer's own standard input is the pipe to its parent. It keeps a copy with the run.

    Raises:
        InputError: There is no standard input, it cannot be read or kept, or it is too long.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input is closed", "name a file of text: --corpus FILE")
    if sys.stdin.isatty():
        diagnostics.say("reading the text from standard input; Ctrl-D ends it")
    with tempfile.NamedTemporaryFile(
        prefix="qfid-", suffix=".text", dir=temporary_folder()
    ) as file:
        size = 0
        try:
            while block := sys.stdin.buffer.read(_BLOCK):
                size += len(block)
                if size > LARGEST:
                    raise too_large("standard input")
                file.write(block)
            file.flush()
        except OSError as error:
            raise InputError(
                f"standard input cannot be read into `{file.name}`: {error.strerror}"
            ) from error
        yield Path(file.name)
