"""The lowest versions that are tried are those that the package allows."""

from __future__ import annotations

import re
import tomllib

from project import ROOT

_FLOOR = re.compile(r"([a-z0-9-]+)(?:\[[a-z0-9]+\])?>=([0-9.]+)")


def _padded(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in [*version.split("."), "0", "0"][:3])


def test_the_versions_that_are_tried_are_the_floors() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    floors = {m[1]: _padded(m[2]) for line in wanted if (m := _FLOOR.match(line))}
    lines = (ROOT / "tests" / "lowest.txt").read_text("utf-8").splitlines()
    tried = dict(line.split("==") for line in lines if not line.startswith("#"))
    # Not ours: mlx-lm brings it, and its floor is the lowest that installs beside the others.
    del tried["transformers"]
    assert {name: _padded(version) for name, version in tried.items()} == floors
