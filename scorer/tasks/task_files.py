"""Which tasks are asked for: YAML files on this machine, looked at before the harness loads any.

A YAML file can name Python functions, data sets of the Hub, and kinds of tasks that generate text.
All of this is seen here first, where nothing of it runs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.common.errors import CustomCodeRefused, InputError
from scorer.common.install_command import install_command
from scorer.models.custom_code import Consent
from scorer.models.resolve import DEMO

HARNESS = "lm_eval"
"""The package of lm-evaluation-harness."""
_OLDEST = (0, 4, 13)
OWN_TASKS = Path(__file__).resolve().parent / "own"
"""The tasks that come with this package."""

# Formats that the data sets library reads from files on this machine.
_FILE_FORMATS = frozenset({"json", "csv", "parquet", "text", "arrow"})
SCORED_KINDS = ("multiple_choice", "loglikelihood", "loglikelihood_rolling")
"""Kinds of tasks that are scored by likelihoods alone."""
_GENERATES = "generate_until"
_MOST_BYTES = 4 << 20
_SKIPPED = frozenset({"__pycache__", ".ipynb_checkpoints"})


@dataclass(frozen=True, slots=True)
class TaskFile:
    """One task as its YAML file describes it, includes resolved.

    Attributes:
        name: Its name.
        path: The YAML file.
        config: What it says; a function is a :class:`Function`.
    """

    name: str
    path: Path
    config: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What is asked of the model: one of :data:`SCORED_KINDS`, or another."""
        # The harness takes a task without a kind for one that generates.
        return str(self.config.get("output_type", _GENERATES))

    def code(self) -> tuple[Path | str, ...]:
        """The Python files that the task would run; a name where it is no file beside the YAML."""
        found = []
        for function in _functions(self.config):
            module = function.name.rpartition(".")[0]
            file = function.folder / f"{module.replace('.', '/')}.py"
            found.append(file if file.is_file() else function.name)
        return tuple(dict.fromkeys(found))

    def data_files(self) -> dict[str, Any] | None:
        """``dataset_kwargs`` with paths that do not depend on the working directory.

        Returns:
            None where the task names no file.

        Raises:
            InputError: A file is not there.
        """
        given = self.config.get("dataset_kwargs")
        if not isinstance(given, dict) or "data_files" not in given:
            return None
        return {**given, "data_files": self._located(given["data_files"])}

    def _located(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._located(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._located(item) for item in value]
        text = str(value)
        if "://" in text:
            raise InputError(
                f"task `{self.name}` reads `{text}`, and tasks are read from this machine only",
                f"save it beside `{self.path.name}` and name the file there",
            )
        beside = self.path.parent / text
        if any(letter in text for letter in "*?["):
            return str(beside)
        for path in (beside, Path(text)):
            if path.is_file():
                return str(path.absolute())
        raise InputError(f"task `{self.name}`: there is no file `{text}` beside `{self.path}`")


@dataclass(frozen=True, slots=True)
class Function:
    """A Python function that a YAML file names with ``!function``.

    Attributes:
        name: Module and function: ``utils.process_docs``.
        folder: Where the YAML file lies.
    """

    name: str
    folder: Path


def _functions(value: Any) -> Iterator[Function]:
    if isinstance(value, Function):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _functions(item)
    elif isinstance(value, list):
        for item in value:
            yield from _functions(item)


def check_installed() -> None:
    """Check that the harness is there, before anything takes time.

    Raises:
        InputError: It is not, or it is too old.
    """
    import importlib.metadata

    needed = ".".join(map(str, _OLDEST))
    try:
        version = importlib.metadata.version(HARNESS)
    except importlib.metadata.PackageNotFoundError:
        message = "tasks need lm-evaluation-harness, which is not installed"
    else:
        numbers = [int(part) for part in re.findall(r"\d+", version)]
        if tuple(numbers[:3]) >= _OLDEST:
            return
        message = f"tasks need lm-evaluation-harness {needed}; {version} is installed"
    command = install_command(f"{HARNESS}>={needed},<0.5")
    raise InputError(message, f"`{command}` installs it")


def default_tasks(model: str) -> tuple[str, ...]:
    """Names of the tasks that a model is asked where nobody names any.

    The built-in model knows documents of Python and nothing of everyday.
    """
    return ("continuations",) if model == DEMO else ("continuations", "everyday")


def find_tasks(named: Sequence[str]) -> list[TaskFile]:
    """Find the tasks of folders, YAML files and names.

    Args:
        named: What the user named; nothing for the tasks of this package.

    Raises:
        InputError: There is no such task, or a file cannot be read.
    """
    found: dict[str, TaskFile] = {}
    for name in named or (str(OWN_TASKS),):
        for task in _named(name):
            if task.name in found and found[task.name].path != task.path:
                raise InputError(
                    f"`{task.path}` and `{found[task.name].path}` both hold a task `{task.name}`",
                    "give one of them another name",
                )
            found[task.name] = task
    return list(found.values())


def _named(name: str) -> list[TaskFile]:
    try:
        path = Path(name).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError, RuntimeError):
        is_folder = is_file = False
    if is_folder:
        return _in_folder(path)
    if is_file:
        if path.suffix not in (".yaml", ".yml"):
            raise InputError(f"`{name}` is no YAML file of a task", "name a `.yaml` or its folder")
        return _tasks_of(path)
    own = {task.name: task for task in _in_folder(OWN_TASKS)}
    if name in own:
        return [own[name]]
    raise InputError(
        f"there is no folder, YAML file or task `{name}`",
        f"name a folder with tasks in YAML, a YAML file, or one of: {', '.join(own)}",
    )


def _in_folder(folder: Path) -> list[TaskFile]:
    found: list[TaskFile] = []
    for path in sorted(folder.rglob("*.yaml")):
        if not _SKIPPED & set(path.parts):
            found += _tasks_of(path)
    if not found:
        raise InputError(
            f"`{folder}` holds no task: no `.yaml` file with `task:` in it",
            "a task is a YAML file with `task:` and `dataset_path: json`, its items beside it",
        )
    return found


def _tasks_of(path: Path) -> list[TaskFile]:
    """The task of a YAML file; none where it is a part that others include, or a group."""
    config = _read(path, ())
    name = config.get("task")
    if isinstance(name, list) or "group" in config:
        # A group only names tasks, which have files of their own.
        return []
    if name is None:
        return []
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"`{path}`: `task` is not a name")
    return [TaskFile(name, path.absolute(), config)]


def _read(path: Path, including: tuple[Path, ...]) -> dict[str, Any]:
    """What a YAML file says, with what it includes."""
    import yaml

    path = path.absolute()
    if path in including:
        raise InputError(f"`{path}` includes itself")

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Safe: it makes no Python objects but :class:`Function`."""

    def function(loader: yaml.SafeLoader, node: yaml.Node) -> Function:
        return Function(str(getattr(node, "value", "")), path.parent)

    Loader.add_constructor("!function", function)
    try:
        data = path.read_bytes()
        if len(data) > _MOST_BYTES:
            raise InputError(f"`{path}` is larger than a task may be", "data lie in other files")
        config = yaml.load(data, Loader)
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"`{path}` is no YAML: {reason}") from error
    if not isinstance(config, dict):
        raise InputError(f"`{path}` describes no task: it is no mapping of names to values")
    merged: dict[str, Any] = {}
    includes = config.pop("include", [])
    for each in includes if isinstance(includes, list) else [includes]:
        merged |= _read(path.parent / str(each), (*including, path))
    return merged | config


def check_task(task: TaskFile, consent: Consent) -> None:
    """Check, before anything of it runs, that a task can be asked.

    Raises:
        CustomCodeRefused: It runs Python of its own, and that was not allowed.
        InputError: It generates text, or reads a data set of the Hub.
    """
    if "class" in task.config or task.code():
        _check_code(task, consent)
    if task.kind not in SCORED_KINDS:
        what = "generates text" if task.kind == _GENERATES else f"is of the kind `{task.kind}`"
        raise InputError(
            f"task `{task.name}` {what}; only tasks of likelihoods are scored",
            f"leave it out, or set `output_type` to one of {', '.join(SCORED_KINDS[:2])}",
        )
    path = task.config.get("dataset_path")
    if isinstance(task.config.get("custom_dataset"), Function):
        return
    if not isinstance(path, str) or (
        path not in _FILE_FORMATS and not (task.path.parent / path).is_dir()
    ):
        raise InputError(
            f"task `{task.name}` reads the data set `{path}` of the Hub, and tasks are read from "
            "this machine only",
            "save its items as JSON lines, then `dataset_path: json` and `dataset_kwargs: "
            "{data_files: {test: items.jsonl}}`",
        )
    if task.data_files() is None and path in _FILE_FORMATS:
        raise InputError(
            f"task `{task.name}` names no file with items",
            "`dataset_kwargs: {data_files: {test: items.jsonl}}` does",
        )


def _check_code(task: TaskFile, consent: Consent) -> None:
    files = {str(each): "" for each in task.code()} or {str(task.path): ""}
    if consent is True:
        return
    for name in files:
        if (path := Path(name)).is_file():
            files[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    raise CustomCodeRefused(
        f"task `{task.name}` runs Python of its own: {', '.join(files)}",
        "--allow-custom-code runs it; read it first",
        files,
    )
