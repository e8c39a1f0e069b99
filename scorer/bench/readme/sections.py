"""The parts of the README that are written by a command, each between two marks."""

from __future__ import annotations

from scorer.common.errors import QfidError

FIGURES, ARCHITECTURES, SPEED = "figures", "architectures", "speed"
SECTIONS = (FIGURES, ARCHITECTURES, SPEED)
"""Names of the parts."""
_WRITES = "of what `python -m scorer.bench.readme` writes"


def begin_of(section: str) -> str:
    """The mark before a section."""
    return f"<!-- Begin {_WRITES}: {section}. -->"


def end_of(section: str) -> str:
    """The mark after a section."""
    return f"<!-- End {_WRITES}: {section}. -->"


def with_section(readme: str, section: str, made: str) -> str:
    """A README with another text between the marks of a section.

    Raises:
        QfidError: It has no such marks.
    """
    before, begin, rest = readme.partition(begin_of(section))
    _, end, after = rest.partition(end_of(section))
    if not begin or not end:
        raise QfidError(f"the file has no marks to write the section {section} between")
    return f"{before}{begin}\n\n{made}\n\n{end}{after}"


def section_of(readme: str, section: str) -> str:
    """What stands between the marks of a section; empty without marks."""
    return readme.partition(begin_of(section))[2].partition(end_of(section))[0].strip()
