"""The folder of saved runs: new ones, lists, and finding one to look at or to resume.

Pure standard library: the app lists runs before anything heavy is imported.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from scorer.common.atomic_files import storage_error, sync_folder, write_atomic
from scorer.common.errors import InputError, QfidError
from scorer.common.folders import cache_folder, runs_folder
from scorer.runs.facts import StoredFacts
from scorer.runs.identity import Identity, identity_differences, identity_hash
from scorer.runs.kept_text import keep_text
from scorer.runs.run import Run
from scorer.runs.run_files import job_json
from scorer.runs.run_index import ListedRun, RunIndex
from scorer.runs.run_info import RunInfo
from scorer.runs.run_lock import NO_LOCKS, RunLock
from scorer.spec.job import Job

__all__ = [
    "Run",
    "RunInfo",
    "cache_folder",
    "check_place",
    "find_run",
    "identity_differences",
    "identity_hash",
    "list_runs",
    "new_run",
    "newest_first",
    "newest_run",
    "newest_unfinished",
    "run_index",
    "runs_folder",
    "twins",
    "unfinished_twin",
]

_SLUG_LENGTH = 40
_DATE_LENGTH = len("20261124-020501")
_ID = re.compile(r"\d{8}-\d{6}-(.+)-[0-9a-f]{4}")
_SHOWN = 5
_HALF_MADE_SECONDS = 3600


def new_run(
    job: Job, facts: StoredFacts, text_file: Path | None = None, *, locked: bool = False
) -> Run:
    """Make the folder of a new run, with its ``job.json``.

    Args:
        job: What is to be scored.
        facts: What is stored with it. The identity says what must be equal for one run to
            continue another: model, revision, corpus, tokenizer, protocol, batch, kernel,
            arithmetic; neither settings nor chunks, which can be added. The chunks let lists show
            how much is done.
        text_file: A text that no later process could read again; kept with the run.
        locked: Take the run's lock before another process can see the run; its first writer has
            the lock then. Otherwise the run looks like one that was left unfinished.

    Raises:
        InputError: The folder of runs cannot be made or written.
        QfidError: No space is left.
        ValueError: The facts have no identity or hold an infinite number.
    """
    now = datetime.now(UTC)
    text = job_json(job, facts, now.isoformat())
    folder = runs_folder()
    _remove_leavings(folder)
    # Made under a name that lists pass over, so that no list ever meets half a run.
    fresh = folder / f".new-{secrets.token_hex(6)}"
    lock = RunLock(fresh)
    try:
        fresh.mkdir(parents=True)
        if locked:
            lock.acquire()
        if text_file is not None:
            keep_text(fresh, text_file)
        write_atomic(fresh / "job.json", text)
        run = _named(fresh, f"{now:%Y%m%d-%H%M%S}-{_slug(job.model)}")
        sync_folder(folder)
        return Run(run, lock if locked else None)
    except BaseException as error:
        lock.release()
        shutil.rmtree(fresh, ignore_errors=True)
        if isinstance(error, OSError):
            raise _no_folder(folder, error) from error
        raise


def check_place() -> None:
    """Check that a run can be made, locked and written; nothing is left behind.

    For before a model is loaded: :func:`new_run` comes after it.

    Raises:
        InputError: The folder of runs cannot be made or written, or has no file locks.
        QfidError: No space is left.
    """
    folder = runs_folder()
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    trial = folder / f".new-{secrets.token_hex(6)}"
    try:
        trial.mkdir(parents=True)
        with RunLock(trial):
            pass
    except (OSError, QfidError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(cause, OSError) and cause.errno not in NO_LOCKS:
            raise _no_folder(folder, cause) from error
        raise
    finally:
        shutil.rmtree(trial, ignore_errors=True)
        with contextlib.suppress(OSError):
            for path in missing:
                path.rmdir()


def _remove_leavings(folder: Path) -> None:
    """Remove what killed processes left: half-deleted runs, and half-made ones, which are small.

    A young half-made one may be that of a process at work.
    """
    for left_over in folder.glob(".deleted-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    for left_over in folder.glob(".new-*"):
        with contextlib.suppress(OSError):
            if time.time() - left_over.stat().st_mtime > _HALF_MADE_SECONDS:
                shutil.rmtree(left_over, ignore_errors=True)


def run_index(model: str | None = None) -> RunIndex:
    """The runs, to be looked at one by one; their names are known at once, newest first.

    Args:
        model: Leave out the names that :func:`new_run` has given to runs of other models. A run
            that is left may still be of another one.

    Raises:
        InputError: The folder of runs cannot be read.
    """
    names, folders = _entries()
    if model is not None:
        slug = _slug(model)
        names = [n for n in names if (named := _ID.fullmatch(n)) is None or named[1] == slug]
    return RunIndex(runs_folder(), names, folders, _info)


def newest_first(index: RunIndex, start: int = 0) -> Iterator[ListedRun]:
    """Look at the runs of an index, newest first, no further than they are taken.

    A run that has gone since the index was made is left out.

    Args:
        index: The index.
        start: Begin with this one of its names.
    """
    names = itertools.islice(index.names, start, None)
    for _, same in itertools.groupby(names, key=_second):
        runs = [run for run in map(index.look, same) if not _is_gone(run.info)]
        if len(runs) > 1:
            runs.sort(key=lambda run: _age(run.info), reverse=True)
        yield from runs


def list_runs() -> list[RunInfo]:
    """All runs, newest first; unreadable ones are listed as broken, with the reason."""
    index = run_index()
    found = [run.info for run in newest_first(index)]
    index.save()
    return found


def find_run(text: str) -> Run:
    """The run with this id, this unique beginning of an id, or this path.

    Raises:
        InputError: No run or several match, the path leads out of the folder of runs, or the
            run cannot be read.
    """
    folder = runs_folder()
    wanted = text.strip()
    if "/" in wanted or os.sep in wanted:
        wanted = _name_of_path(folder, wanted)
    ids = [path.name for path in _folders()]
    found = [wanted] if wanted in ids else [i for i in ids if wanted and i.startswith(wanted)]
    if len(found) == 1:
        path = folder / found[0]
        if reason := _unusable(path):
            raise InputError(f"run `{found[0]}` {reason}")
        return Run(path)
    if found:
        raise InputError(f"`{wanted}` begins {len(found)} runs", f"one of: {_some(found)}")
    raise InputError(
        f"there is no run `{wanted[:80]}`",
        f"the newest: {_some(ids)}" if ids else f"no run has been saved in `{folder}` yet",
    )


def newest_run() -> Run:
    """The newest readable run.

    Raises:
        InputError: There is none.
    """
    for listed in newest_first(run_index()):
        with contextlib.suppress(QfidError, OSError):
            return Run(listed.info.path)
    raise InputError("no run is saved yet", "`qfid kv demo` makes one")


def newest_unfinished(model: str | None = None) -> Run | None:
    """The newest run that can be resumed, of ``model`` where one is named.

    Runs that another process is writing to are passed over, and so are broken ones.
    """
    return next((run for run in _resumable() if model in (None, run.job.model)), None)


def unfinished_twin(identity: Identity, chunks: tuple[int, ...] | None = None) -> Run | None:
    """The newest run that can be resumed and whose numbers this identity would continue.

    Args:
        identity: The identity.
        chunks: The chunks that the run has to have; None for any.
    """
    for run in _resumable():
        has_chunks = chunks is None or run.readable_facts.chunks == chunks
        if has_chunks and not identity_differences(run.conditions, identity):
            return run
    return None


def twins(identity: Identity) -> list[Run]:
    """All readable runs that this identity can go on with, newest first.

    Settings can be added to any of them. Unknown fields do not count,
    see :mod:`scorer.runs.identity`.
    """
    return [run for run in _readable() if not identity_differences(run.conditions, identity)]


def _resumable() -> Iterator[Run]:
    """The runs that can be resumed, newest first; those that a process writes to are left out."""
    index = run_index()
    found = [run.info for run in newest_first(index)]
    index.save()
    for info in found:
        if info.state == "unfinished" and not info.read_only:
            with contextlib.suppress(QfidError, OSError):
                yield Run(info.path)


def _readable() -> list[Run]:
    found = []
    for path in _folders():
        if not _unusable(path):
            with contextlib.suppress(QfidError, OSError):
                found.append(Run(path))
    return sorted(found, key=_age, reverse=True)


def _age(run: Run | RunInfo) -> tuple[str, str]:
    """Sorts by date: that of the name, which broken runs have too, then to the microsecond."""
    return _second(run.id), run.created


def _second(name: str) -> str:
    """When a run began, as its name says it."""
    return name[:_DATE_LENGTH]


def _is_gone(info: RunInfo) -> bool:
    return info.state == "broken" and not os.path.lexists(info.path)


def _info(path: Path) -> RunInfo:
    reason = _unusable(path)
    if not reason:
        try:
            return Run(path).info()
        except QfidError as error:
            reason = error.message
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
    return RunInfo(id=path.name, folder=str(path), state="broken", reason=reason)


def _unusable(path: Path) -> str:
    """Why an entry of the folder can be no run, or ""."""
    try:
        if path.is_symlink():
            return "is a symbolic link, which is not followed"
        return "" if path.is_dir() else "is not a folder"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _folders() -> list[Path]:
    """The entries of the folder of runs, newest first; plain files and dot names are no runs."""
    folder = runs_folder()
    return [folder / name for name in _names()]


def _names() -> list[str]:
    return _entries()[0]


def _entries() -> tuple[list[str], list[str]]:
    """Names of the entries, newest first: folders and links, and folders alone."""
    folder = runs_folder()
    folders, links = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    if entry.is_symlink():
                        links.append(entry.name)
                    elif entry.is_dir():
                        folders.append(entry.name)
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise _no_folder(folder, error) from error
    return sorted(folders + links, reverse=True), folders


def _name_of_path(folder: Path, text: str) -> str:
    try:
        path = Path(text).expanduser().resolve()
        inside = path.parent == folder.resolve() and not path.name.startswith(".")
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        raise InputError(
            f"`{text}` is not a run in `{folder}`", "give its id, or set QFID_DATA_DIR"
        )
    return path.name


def _named(fresh: Path, stem: str) -> Path:
    """Rename the new folder to a free id that begins with ``stem``."""
    while True:
        path = fresh.with_name(f"{stem}-{secrets.token_hex(2)}")
        if path.exists():
            continue
        try:
            return fresh.rename(path)
        except OSError:
            if not path.exists():  # else another process was first
                raise


def _slug(model: str) -> str:
    """The last part of a model's name, in characters that are safe in any file name."""
    last = re.split(r"[/\\]", model.rstrip("/\\"))[-1]
    return re.sub(r"[^A-Za-z0-9._]+", "-", last)[:_SLUG_LENGTH].strip("-.") or "model"


def _some(ids: list[str]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(f"`{i}`" for i in ids[:_SHOWN]) + more


def _no_folder(folder: Path, error: OSError) -> QfidError:
    cause = storage_error(error, folder)
    full = type(cause) is QfidError
    return type(cause)(
        f"the folder of runs `{folder}` cannot be used: {os.strerror(error.errno or 0)}",
        "free some space, or set QFID_DATA_DIR to a folder on another disk"
        if full
        else "set QFID_DATA_DIR to a folder you may write to",
    )
