"""The text of a run that came from standard input: no later process could read it again."""

from __future__ import annotations

from pathlib import Path

from scorer.common.atomic_files import write_atomic

_NAME = "text"


def kept_text(run_path: Path) -> Path:
    """Return the file that holds the text of the run in a folder."""
    return run_path / _NAME


def keep_text(run_path: Path, text_file: Path) -> None:
    """Copy a text into the folder of a run.

    Raises:
        OSError: It cannot be read.
        QfidError: It cannot be written.
    """
    write_atomic(kept_text(run_path), text_file.read_bytes())
