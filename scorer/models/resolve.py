"""Finds a model on this machine by repo id, folder or ``demo``.

Imports no mlx and reads no weights, only ``config.json`` and the headers of the weight files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import shlex
from pathlib import Path

from scorer.common.errors import CustomCodeRefused, InputError, ModelNotCached
from scorer.common.inert_text import shown
from scorer.models.hub_cache import (
    cached_commits,
    cached_repos,
    find_snapshot,
    hub_folder,
    is_repo_id,
    link_bounds,
    pull_command,
    repo_folder,
    snapshot_repo,
)
from scorer.models.info import ModelInfo, describe_model
from scorer.models.lfs_pointers import LfsPointer, completing

DEMO = "demo"

# Likeness of two names from which one may be a slip for the other, as difflib counts it.
_CLOSE = 0.85
# Two letters of a name so short that changed places.
_CLOSE_TO_DEMO = 0.75


def resolve_model(
    model: str, revision: str | None = None, *, allow_custom_code: bool = False
) -> ModelInfo:
    """Find a model on this machine and check that it can be scored.

    Args:
        model: Repo id in the local cache, path of a folder, or ``demo``. An existing folder with
            a ``config.json`` takes precedence over a repo of the same name, as in mlx-lm.
        revision: Branch, tag, full or short commit of a repo; None for the cached default.
        allow_custom_code: Accept a model that would run Python code of its own. None of it is run
            here; see :func:`scorer.models.custom_code.check_consent`.

    Raises:
        ModelNotCached: The repo or the revision is not in the cache, or incomplete; the hint is the
            command that downloads it.
        CustomCodeRefused: It would run code of its own that was not allowed.
        InputError: It cannot be scored: it is not a model, damaged, incomplete, not a text model,
            or of an architecture that mlx-lm lacks.
    """
    if model == DEMO:
        _refuse_revision(revision, "the built-in model")
        from scorer.demo import demo_model_path

        info = describe_model(DEMO, demo_model_path(), None)
        # The names in its config are the usual ones.
        return dataclasses.replace(info, geometry=dataclasses.replace(info.geometry, exact=True))
    folder = _local_folder(model)
    if folder is not None:
        _refuse_revision(revision, "a local folder")
        name, commit = snapshot_repo(folder.resolve()) or (folder.resolve().name, None)
        try:
            return describe_model(name, folder, commit, allow_custom_code=allow_custom_code)
        except CustomCodeRefused as error:
            raise CustomCodeRefused(
                f"`{model}`: {error.message}", error.hint, error.files
            ) from None
        except InputError as error:
            again = "copy or download the folder again"
            command = completing(folder) if isinstance(error, LfsPointer) else again
            raise InputError(f"`{model}`: {error.message}", error.hint or command) from None
    return _resolve_repo(model, revision, allow_custom_code)


def _refuse_revision(revision: str | None, what: str) -> None:
    if revision is not None:
        raise InputError(f"{what} has no revision `{revision[:60]}`", "leave out --revision")


def gguf_refused(name: str) -> InputError:
    """The error for a GGUF file that is named as a reference."""
    return InputError(
        f"`{name}` is GGUF, which cannot be the model that others are compared with: it has no "
        "config.json and no tokenizer that mlx-lm reads",
        "name the model's own folder or repo, and the GGUF file as a quantized copy of it",
    )


def _local_folder(model: str) -> Path | None:
    """Return the folder that ``model`` names, or None if it names a repo.

    Raises:
        InputError: It is written as a path but is not a folder, or it is not a valid repo id.
    """
    if not model.strip() or "\0" in model:
        raise InputError("no model was named", "give org/name, a folder, or `demo`")
    path = Path(model)
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"the path {shown(model)} is not UTF-8, and MLX cannot open files there",
            "rename the folder, or link to it from a path of plain letters",
        ) from None
    except OSError:
        pass
    written_as_path = model.startswith((".", "/", "~")) or path.is_absolute()
    try:
        path = path.expanduser()
        is_folder, exists = path.is_dir(), path.exists()
        has_config = is_folder and (path / "config.json").exists()
    except (OSError, RuntimeError):
        is_folder = exists = has_config = False
    if has_config or (is_folder and (written_as_path or not is_repo_id(model))):
        return path
    if is_folder and not repo_folder(model, hub_folder()).is_dir():
        return path
    if exists and not is_folder:
        if model.lower().endswith(".gguf"):
            raise gguf_refused(model)
        raise InputError(f"`{model}` is a file, not a model", "give the folder that holds it")
    if written_as_path:
        message, near = f"there is no folder `{model}`", _similar_folder(model)
        if near is None:
            raise InputError(message, "give org/name, a folder, or `demo`")
        raise InputError(f"{message}; `{near}` is", f"qfid kv {shlex.quote(near)}")
    if not is_repo_id(model):
        raise InputError(
            f"{shown(model)} is neither a folder nor a repo id", "write a repo as org/name"
        )
    return None


def _resolve_repo(repo: str, revision: str | None, allow_custom_code: bool) -> ModelInfo:
    hub = hub_folder()
    try:
        snapshot = find_snapshot(repo, revision, hub)
    except ModelNotCached as error:
        known = repo_folder(repo, hub).is_dir()
        folder = None if known else _similar_folder(repo)
        similar = folder if known or folder else _similar(repo, hub)
        hint = error.hint if similar is None else _instead(repo, similar)
        also = "" if similar is None else f"; `{similar}` is"
        also = f"; the folder `{folder}` is a model" if folder else also
        also = f"; `{DEMO}` is built in" if similar == DEMO else also
        raise _with_whole_revision(error.message + also, hint, repo, revision) from None
    try:
        return describe_model(
            repo,
            snapshot.path,
            snapshot.commit,
            link_bounds(repo, hub),
            allow_custom_code=allow_custom_code,
        )
    except CustomCodeRefused as error:
        raise CustomCodeRefused(f"`{repo}`: {error.message}", error.hint, error.files) from None
    except InputError as error:
        message = f"`{repo}`: {error.message}"
        if error.hint:
            raise InputError(message, error.hint) from None
        # Errors without a hint: the files are damaged or incomplete, so download them again.
        hint = pull_command(repo, revision)
        raise _with_whole_revision(message, hint, repo, revision) from None


def _with_whole_revision(
    message: str, hint: str, repo: str, revision: str | None
) -> ModelNotCached:
    """The error that the newest revision is not there, which names another that is whole."""
    whole = None if revision is not None else _whole_revision(repo)
    if whole is not None:
        message += f"; its revision {whole} is whole"
        hint = f"qfid kv {repo} --revision {whole}, or {hint} for the newest"
    return ModelNotCached(message, hint, repo, revision)


def _whole_revision(repo: str) -> str | None:
    """A cached revision that can be scored, the most recently written first; None without one."""
    hub = hub_folder()
    for commit in cached_commits(repo, hub):
        folder = repo_folder(repo, hub) / "snapshots" / commit
        with contextlib.suppress(InputError):
            describe_model(repo, folder, commit, link_bounds(repo, hub))
            return commit[:12]
    return None


def _instead(repo: str, similar: str) -> str:
    """What to do where a cached repo has nearly the name that was given."""
    owner, other = (name.lower().rpartition("/")[0] for name in (repo, similar))
    slip = not owner or difflib.SequenceMatcher(None, owner, other).ratio() >= _CLOSE
    use = f"qfid kv {shlex.quote(similar)}"
    # The same model of another owner may be meant.
    return use if slip else f"{use}, or {pull_command(repo, None)} for that one"


def _similar_folder(path: str) -> str | None:
    """The path of a model's folder that has nearly the name of one that is not there."""
    named = Path(path)
    try:
        beside = sorted(named.expanduser().parent.iterdir())
        names = [each.name for each in beside if (each / "config.json").is_file()]
    except (OSError, RuntimeError, ValueError):
        return None
    close = difflib.get_close_matches(named.name, names, n=1, cutoff=_CLOSE)
    return path[: path.rindex(named.name)] + close[0] if close and named.name else None


def _similar(repo: str, hub: Path) -> str | None:
    cached = {name.lower(): name for name, _ in cached_repos(hub)}
    wanted = repo.lower()
    if difflib.SequenceMatcher(None, wanted, DEMO).ratio() >= _CLOSE_TO_DEMO:
        return DEMO
    for lower, name in cached.items():
        if lower.rpartition("/")[2] == wanted.rpartition("/")[2]:
            return name
    close = difflib.get_close_matches(wanted, cached, n=1, cutoff=_CLOSE)
    return cached[close[0]] if close else None
