"""Which files of a data set hold which split, told from their names, and which are cached.

Two layouts are known: files that publishers name after the split (``data/test-00000-of-00002
.parquet``, ``en/train.jsonl``), and those that the Hub makes of every public data set, on a branch
of its own (``config/split/0000.parquet``). Nothing is downloaded here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.models.hub_cache import hub_folder, is_commit
from scorer.spec.corpora import HubText

CONVERTED = "refs/convert/parquet"
"""The branch with the Hub's own Parquet files."""
DEFAULT = "default"
"""The configuration of a data set that names none."""

_ENDING = re.compile(r"\.(parquet|jsonl|ndjson|json)(\.gz)?$", re.IGNORECASE)
_OF = re.compile(r"[-_.]?(\d{3,})-of-(\d{3,})([-_][0-9a-f]{6,})?$")
_NUMBER = re.compile(r"(?:^|[-_.])(?:part[-_.]?)?(\d+)$")
_SPLIT = re.compile(r"[A-Za-z][\w.-]*")
# Folders that say nothing of a configuration, and files that hold no rows.
_NO_CONFIG = ("data",)
_NO_ROWS = ("dataset_infos", "dataset_dict", "state", "config", "package", "croissant")
_PARTIAL = "partial-"
_MOST_NAMED = 12

Splits = Mapping[tuple[str, str], tuple[str, ...]]
"""Configuration and split to the files that hold it, in order."""


@dataclass(frozen=True, slots=True)
class CachedSplit:
    """A split of a data set that is whole in the local cache.

    Attributes:
        text: Its name, pinned to the commit.
        files: Its files, in order.
    """

    text: HubText
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(path.stat().st_size for path in self.files)


def data_splits(names: Iterable[str]) -> Splits:
    """Find the splits of a data set in the names of its files.

    Args:
        names: Paths in the repo, with ``/``.
    """
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for name in sorted(names):
        ending = _ENDING.search(name)
        parts = name.split("/")
        if ending is None or any(not part or part.startswith(".") for part in parts):
            continue
        stem = parts[-1][: -len(ending[0])]
        number, stem = _numbered(stem)
        folders = parts[:-1]
        if not stem and folders:
            stem = folders.pop()
        split = stem.removeprefix(_PARTIAL)
        if _SPLIT.fullmatch(split) is None or split in _NO_ROWS:
            continue
        config = "/".join(part for part in folders if part not in _NO_CONFIG) or DEFAULT
        found.setdefault((config, split), []).append((number, name))
    return {key: tuple(name for _, name in sorted(files)) for key, files in found.items()}


def _numbered(stem: str) -> tuple[int, str]:
    """The number of a file among those of its split, and the name without it."""
    for pattern in (_OF, _NUMBER):
        match = pattern.search(stem)
        if match is not None:
            return int(match[1]), stem[: match.start()]
    return 0, stem


def chosen_split(splits: Splits, text: HubText) -> tuple[str, ...]:
    """The files of the split that a text names.

    Raises:
        InputError: There is no such configuration or split, or several configurations and none is
            named; the message names those that exist.
    """
    repo = text.repo
    if not splits:
        raise InputError(
            f"data set `{repo}` has no files of Parquet or JSON lines",
            "download it, and name a file of it as the text",
        )
    configs = list(dict.fromkeys(config for config, _ in splits))
    config = text.config
    if config is None:
        if len(configs) > 1 and DEFAULT not in configs:
            raise InputError(
                f"data set `{repo}` has several configurations: {_named(configs)}",
                f"write hf:{repo}:CONFIG:{text.split}:{text.column}",
            )
        config = configs[0] if len(configs) == 1 else DEFAULT
    elif config not in configs:
        raise InputError(
            f"data set `{repo}` has no configuration `{config}`", f"it has {_named(configs)}"
        )
    found = splits.get((config, text.split))
    if found is None:
        there = [split for c, split in splits if c == config]
        which = "" if len(configs) == 1 else f" in configuration `{config}`"
        raise InputError(
            f"data set `{repo}` has no split `{text.split}`{which}", f"it has {_named(there)}"
        )
    return found


def _named(names: Iterable[str]) -> str:
    listed = [shown(name) for name in names]
    more = len(listed) - _MOST_NAMED
    return ", ".join(listed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def cached_split(text: HubText) -> CachedSplit | None:
    """Find a split in the local cache; None where it is not there as a whole. Uses no network.

    Without a revision it is looked for in the newest commit that was downloaded of the repo's own
    files, then in that of the Hub's.
    """
    folder = dataset_folder(text.repo)
    revisions = ("main", CONVERTED) if text.revision is None else (text.revision,)
    for revision in revisions:
        commit = revision if is_commit(revision) else _commit_of(folder, revision)
        if commit is None:
            continue
        snapshot = folder / "snapshots" / commit
        try:
            names = chosen_split(data_splits(_files(snapshot)), text)
        except InputError:
            continue
        if _is_whole(names):
            pinned = HubText(text.repo, text.config, text.split, text.column, commit)
            return CachedSplit(pinned, tuple(snapshot / name for name in names))
    return None


def dataset_folder(repo: str) -> Path:
    """The folder of a data set in the cache."""
    return hub_folder() / f"datasets--{repo.replace('/', '--')}"


def _commit_of(folder: Path, revision: str) -> str | None:
    try:
        commit = (folder / "refs" / revision).read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return commit if is_commit(commit) else None


def _files(snapshot: Path) -> Iterator[str]:
    """Paths of the files of a snapshot whose content is there."""
    for folder, _, names in os.walk(snapshot):
        for name in names:
            path = Path(folder, name)
            if path.is_file():
                yield path.relative_to(snapshot).as_posix()


def _is_whole(names: tuple[str, ...]) -> bool:
    """Whether all files of a split are there.

    Their names say how many there are, or the first of them does: it is downloaded last.
    """
    stems = [name.rpartition("/")[2][: -len(_ending(name))] for name in names]
    numbers = [_numbered(stem)[0] for stem in stems]
    match = _OF.search(stems[0])
    if match is not None:
        return numbers == list(range(int(match[2])))
    match = _NUMBER.search(stems[0])
    # The Hub counts from 0000, publishers also from 1.
    first = 1 if match is not None and numbers[0] == 1 and len(match[1]) < 4 else 0
    return numbers == list(range(first, first + len(numbers)))


def _ending(name: str) -> str:
    match = _ENDING.search(name)
    return "" if match is None else match[0]
