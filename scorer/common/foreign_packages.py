"""Packages that a leftover ``PYTHONPATH`` puts before those of this environment.

Those of another Python do not work here, or are of another version. That is no fault while all
goes well, so it is looked for only once something fails. Standard library only.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from scorer.common.error_text import named_line
from scorer.common.errors import InputError

VARIABLE = "PYTHONPATH"
PACKAGES = (
    *("numpy", "mlx", "mlx_lm", "tokenizers", "pyarrow", "huggingface_hub", "transformers"),
    *("textual", "rich", "platformdirs"),
)
HINT = f"{VARIABLE} names that folder: `unset {VARIABLE}`"


def packages_from_variable(packages: Sequence[str] = PACKAGES) -> dict[str, Path]:
    """Return the packages that are imported from a folder of ``PYTHONPATH``, with their folders.

    Args:
        packages: Those to look for. One that this environment does not have itself is not named.
    """
    if sys.flags.ignore_environment:
        return {}
    named = _folders(os.environ.get(VARIABLE, "").split(os.pathsep))
    others = [folder for folder in _folders(sys.path) if folder not in named]
    found = {}
    for package in packages:
        places = [entry / package for entry in named if _is_package(entry / package)]
        if places and any(_is_package(entry / package) for entry in others):
            found[package] = places[0]
    return found


def _is_package(folder: Path) -> bool:
    # That of MLX has no __init__.py. Without either file another folder of the name goes first.
    return (folder / "__init__.py").is_file() or any(folder.glob("core.*"))


def _folders(entries: Sequence[str]) -> list[Path]:
    return [Path(entry).absolute() for entry in entries if entry]


def foreign_import(error: BaseException) -> InputError | None:
    """Return the error to show where an import has failed because of such a package.

    Args:
        error: What was raised, perhaps because of something else.

    Returns:
        None where no import failed, or no package comes from ``PYTHONPATH``.
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if not any(isinstance(each, ImportError | SyntaxError | AttributeError) for each in chain):
        return None
    found = packages_from_variable()
    files = [frame.filename for each in chain for frame in traceback.extract_tb(each.__traceback__)]
    for each in chain:
        files += [str(file) for file in (getattr(each, "path", ""), getattr(each, "filename", ""))]
    for package, folder in found.items():
        if any(file.startswith(f"{folder}{os.sep}") for file in files):
            return InputError(
                f"`{package}` comes from `{folder}` and does not work here: {named_line(error)}",
                HINT,
            )
    return None
