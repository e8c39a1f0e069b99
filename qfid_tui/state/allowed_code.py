"""Which Python files of which model the user has allowed to run, in this session only."""

from __future__ import annotations

from collections.abc import Mapping

_MOST_SHOWN = 6


class AllowedCode:
    """Consent to run a model's own Python files, kept in memory and nowhere else.

    It is for files of one content: the scorer refuses others, and the user is asked again.
    """

    def __init__(self) -> None:
        self._files: dict[str, dict[str, str]] = {}

    def allow(self, model: str, files: Mapping[str, str]) -> None:
        """Allow a model's files.

        Args:
            model: The model as a job names it.
            files: File name to SHA-256; replaces what was allowed of this model before.
        """
        self._files[model] = dict(files)

    def of(self, model: str) -> dict[str, str]:
        """What is allowed of a model, file name to SHA-256; empty for nothing."""
        return dict(self._files.get(model, {}))


def code_question(model: str, files: Mapping[str, str]) -> str:
    """The question whether files of this content may run.

    Args:
        model: The model as a job names it.
        files: File name to SHA-256, "" for a file that is missing.
    """
    shown = [f"{name} (SHA-256 {sha256 or 'missing'})" for name, sha256 in files.items()]
    more = len(shown) - _MOST_SHOWN
    named = ", ".join(shown[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"{model} runs Python code of its own, which can do whatever you can: {named}. Run it?"
