"""A version of the project as a folder of its own, and its command run in a child process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The tree that this file belongs to."""

# The engine's own switches stay as they are: both versions get the same.
_DROPPED = ("QFID_DATA_DIR", "QFID_RECORD", "QFID_SCORER")
_DEADLINE = 900.0
_INTERRUPTED = 130
# The modules behind `python -m qfid_tui.cli` and behind the `python -m scorer` that it starts.
_PROBE = (
    "import json; from importlib.util import find_spec as find; "
    "print(json.dumps([find(name).origin for name in ('qfid_tui.cli', 'scorer.__main__')]))"
)


class RunFailed(Exception):
    """A command did not end as it should; the message holds its last words."""


@dataclass(frozen=True)
class Place:
    """A version with a folder for its data and its part of the environment.

    Attributes:
        tree: Folder of the version, with ``scorer`` and ``qfid_tui`` in it.
        data: What ``QFID_DATA_DIR`` is to name: made by the first run.
        environment: Variables on top of those of this process.
    """

    tree: Path
    data: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def runs(self) -> Path:
        """The folder of saved runs."""
        return self.data / "runs"

    @property
    def run(self) -> Path:
        """The one saved run."""
        (found,) = [path for path in self.runs.iterdir() if not path.name.startswith(".")]
        return found

    def variables(self) -> dict[str, str]:
        """The environment of a child: this version comes before any that is installed."""
        kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        path = [str(self.tree), *filter(None, [kept.get("PYTHONPATH")])]
        kept.setdefault("QFID_DEVICE", "cpu")
        kept.setdefault("HF_HUB_OFFLINE", "1")
        kept |= {"PYTHONPATH": os.pathsep.join(path), "QFID_DATA_DIR": str(self.data)}
        return {**kept, **self.environment}

    def check(self) -> None:
        """Make sure that a child runs this version and no other.

        Raises:
            RunFailed: It does not.
        """
        for found in json.loads(self._python("-c", _PROBE).stdout):
            if not Path(found).resolve().is_relative_to(self.tree.resolve()):
                raise RunFailed(f"a child in {self.tree} runs {found}")

    def qfid(self, *words: str) -> str:
        """Standard output of the command.

        Raises:
            RunFailed: It did not end with 0.
        """
        return self._python("-m", "qfid_tui.cli", *words).stdout

    def report(self, form: str = "json") -> str:
        """The saved run's report as the command prints it again."""
        return self.qfid("report", self.run.name, "--format", form)

    def resume(self, *words: str) -> dict[str, Any]:
        """Resume the saved run; its report."""
        printed = self.qfid("resume", self.run.name, "--format", "json", *words)
        found: dict[str, Any] = json.loads(printed)
        return found

    def stop_after_a_chunk(self, *words: str) -> None:
        """Score, and interrupt the command once the first chunk is scored.

        Raises:
            RunFailed: It was not stopped half-way.
        """
        with self._started("-m", "qfid_tui.cli", *words, stdout=subprocess.DEVNULL) as process:
            assert process.stderr is not None
            said = ""
            for line in process.stderr:
                said += line
                if re.match(r"\d+ of \d+ chunks scored", line):
                    process.send_signal(signal.SIGINT)
                    break
            said += process.communicate(timeout=_DEADLINE)[1]
        if process.returncode != _INTERRUPTED:
            raise RunFailed(f"the run was not stopped half-way: {_last(said)}")

    def _python(self, *words: str) -> subprocess.CompletedProcess[str]:
        with self._started(*words, stdout=subprocess.PIPE) as process:
            out, err = process.communicate(timeout=_DEADLINE)
        if process.returncode != 0:
            shown = " ".join(words[1:])[:200]
            raise RunFailed(f"`{shown}` ended with {process.returncode}: {_last(err)}")
        return subprocess.CompletedProcess(process.args, 0, out, err)

    @contextmanager
    def _started(self, *words: str, stdout: int) -> Iterator[subprocess.Popen[str]]:
        with tempfile.TemporaryDirectory() as nowhere:
            process = subprocess.Popen(
                [sys.executable, "-P", *words],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                cwd=nowhere,
                env=self.variables(),
            )
            try:
                yield process
            finally:
                process.kill()
                process.communicate()


@contextmanager
def opened(version: str) -> Iterator[Path]:
    """The folder of a version: of a folder itself, of a commit a working tree for a while.

    Raises:
        RunFailed: It is neither, or holds no such project.
    """
    folder = Path(version).expanduser()
    if folder.is_dir():
        yield _project(folder.resolve())
        return
    with tempfile.TemporaryDirectory() as parent:
        tree = Path(parent) / "tree"
        _git("worktree", "add", "--detach", str(tree), version)
        try:
            yield _project(tree)
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _project(folder: Path) -> Path:
    if not (folder / "scorer").is_dir() or not (folder / "qfid_tui").is_dir():
        raise RunFailed(f"`{folder}` is no tree of this project")
    return folder


def _git(*words: str) -> None:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise RunFailed(f"git {words[0]} {words[1]}: {_last(done.stderr)}")


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "it said nothing"
