"""The folders of saved runs, of cached files and of the user's choices."""

from __future__ import annotations

import os
from pathlib import Path

from scorer.common.errors import InputError
from scorer.common.process_limits import missing_working_folder

_VARIABLE = "QFID_DATA_DIR"


def runs_folder() -> Path:
    """Return the folder of saved runs: ``$QFID_DATA_DIR/runs``, else in the user's data folder.

    Raises:
        InputError: The user has no home folder, or the variable holds no usable path.
    """
    return (_chosen() or _of_user("user_data_path")) / "runs"


def tasks_folder() -> Path:
    """Return the folder of results of tasks: ``$QFID_DATA_DIR/tasks``, else beside the runs.

    Raises:
        InputError: As of :func:`runs_folder`.
    """
    return runs_folder().with_name("tasks")


def cache_folder() -> Path:
    """Return the folder of cached files: ``$QFID_DATA_DIR/cache``, else the user's cache folder.

    Raises:
        InputError: As of :func:`runs_folder`.
    """
    chosen = _chosen()
    return _of_user("user_cache_path") if chosen is None else chosen / "cache"


def choices_folder() -> Path:
    """Return the folder of the app's choices: ``$QFID_DATA_DIR``, else the user's configuration.

    Raises:
        InputError: As of :func:`runs_folder`.
    """
    return _chosen() or _of_user("user_config_path")


def temporary_folder() -> Path:
    """Return a folder for temporary files: the system's, else one beside the cached files.

    Raises:
        InputError: None can be written to.
    """
    import tempfile

    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        pass
    try:
        folder = cache_folder() / "temporary"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, InputError):
        folder = None
    if folder is None or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            "there is no folder for temporary files that can be written to",
            "set TMPDIR to a folder you may write to",
        ) from None
    return folder


def _chosen() -> Path | None:
    chosen = os.environ.get(_VARIABLE)
    if not chosen:
        return None
    try:
        return Path(chosen).expanduser().absolute()
    except RuntimeError:
        raise InputError(
            f"{_VARIABLE} is `{chosen}`, and no home folder is known for it",
            f"set {_VARIABLE} to a full path",
        ) from None
    except OSError:
        raise missing_working_folder() from None


def _of_user(name: str) -> Path:
    import platformdirs

    try:
        found: Path = getattr(platformdirs, name)("qfid")
    except RuntimeError:
        raise InputError(
            "there is no home folder: HOME is not set, empty or no full path",
            f"set {_VARIABLE} to a folder you may write to",
        ) from None
    return found
