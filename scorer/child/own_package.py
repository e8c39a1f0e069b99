"""Whether Python takes something else for the package ``scorer``, whose name is common."""

from __future__ import annotations

from importlib.metadata import packages_distributions
from pathlib import Path

from scorer.common.errors import InputError

PLACE = Path(__file__).parents[1]
"""The folder of the package that runs."""

_PACKAGE, _DISTRIBUTION = "scorer", "qfid"


def other_scorers() -> list[InputError]:
    """What else is called ``scorer`` here, each with what to do about it."""
    return [*_installed(), *_in_working_folder()]


def _installed() -> list[InputError]:
    """Other distributions that install a package of this name, over ours or under it."""
    owners = packages_distributions().get(_PACKAGE, [])
    return [
        InputError(
            f"the distribution `{name}` installs a package called `scorer`, as qfid does: one "
            "replaces files of the other",
            f"`pip uninstall {name}` and install qfid again, or give each an environment",
        )
        for name in sorted({name for name in owners if name} - {_DISTRIBUTION})
    ]


def _in_working_folder() -> list[InputError]:
    """Files that Python programs started in this folder would import instead."""
    try:
        here = Path.cwd()
    except OSError:
        # Deleted, which is told elsewhere.
        return []
    return [
        InputError(
            f"Python started in this folder takes `{path}` for qfid's package `scorer`",
            "rename it, or call qfid from another folder",
        )
        for path in (here / "scorer.py", here / "scorer" / "__init__.py")
        if path.is_file() and path.parent != PLACE
    ]
