"""``python -m qfid_tui.bench [--format md|json]``: the speed of the app and its targets."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scorer.common.folders import temporary_folder


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure and its target, or None, both in ``unit``."""

    what: str
    value: float
    target: float | None
    unit: str

    @property
    def met(self) -> bool | None:
        """Whether the figure is within its target; None without a target."""
        return None if self.target is None else self.value <= self.target


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 0 if every target is met, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m qfid_tui.bench", description="Measure the app against its targets."
    )
    parser.add_argument("--format", choices=("md", "json"), default="md")
    parser.add_argument("--rounds", type=int, default=5, help="repeats; minima are reported")
    parser.add_argument("--only", choices=tuple(_PARTS), help="measure only one part")
    args = parser.parse_args(arguments)
    rows: list[Figure] = []
    busy, cores = os.getloadavg()[0], os.cpu_count() or 1
    if busy > cores / 2:
        print(
            f"the load is {busy:.1f} on {cores} cores: all times except CPU time are too long",
            file=sys.stderr,
        )
    with tempfile.TemporaryDirectory(prefix="qfid-bench-", dir=temporary_folder()) as folder:
        os.environ["QFID_DATA_DIR"] = os.environ["HF_HOME"] = folder
        if args.format == "md":
            print("| what | measured | target | |\n|---|---|---|---|", flush=True)
        for name, part in _PARTS.items():
            if args.only in (None, name):
                for row in part(Path(folder), args.rounds):
                    rows.append(row)
                    if args.format == "md":
                        print(_line(row), flush=True)
    if args.format == "json":
        print(json.dumps([asdict(row) | {"met": row.met} for row in rows], indent=1))
    return 0 if all(row.met is not False for row in rows) else 1


def _line(row: Figure) -> str:
    target = "" if row.target is None else f"≤ {row.target:g} {row.unit}".rstrip()
    met = {True: "met", False: "missed", None: ""}[row.met]
    return f"| {row.what} | {row.value:.3g} {row.unit} | {target} | {met} |".replace("  ", " ")


def _first_paint(folder: Path, rounds: int) -> Iterator[Figure]:
    from qfid_tui.tools.bench.in_terminal import first_paint

    ours, empty = first_paint(folder, 4 * rounds)
    yield Figure("first paint of an empty Textual app", 1000 * empty, None, "ms")
    yield Figure("first paint of the app", 1000 * ours, None, "ms")
    yield Figure("first paint, the app ÷ an empty Textual app", ours / empty, 1.1, "")


def _replay(folder: Path, rounds: int) -> Iterator[Figure]:
    from qfid_tui.tools.bench.in_process import replay

    found = replay(folder, 2000, rounds)
    yield Figure("replay of 2000 chunks × 8 settings", found.total, 0.5, "s")
    yield Figure("CPU of the app's process meanwhile", found.cpu, None, "s")
    yield Figure(f"a key's latency meanwhile, p95 of {found.keys}", 1000 * found.latency, 15, "ms")


def _shares(folder: Path, rounds: int) -> Iterator[Figure]:
    from qfid_tui.tools.bench.in_terminal import cpu_shares

    shares = cpu_shares(folder, max(1, rounds // 2))
    targets = {"idle": 1.0, "running": 35.0, "hidden": 20.0}
    names = {"idle": "idle", "running": "during a run", "hidden": "during a run, charts hidden"}
    for state, target in targets.items():
        found = shares[state]
        what = f"share of a core, {names[state]} ({found['paints']:.1f} paints/s)"
        yield Figure(what, 100 * found["share"], target, "%")


def _inspector(folder: Path, rounds: int) -> Iterator[Figure]:
    from qfid_tui.tools.bench.in_process import inspector

    for name, seconds in inspector(rounds).items():
        # A page or a jump redraws the whole screen, whatever the length of the text.
        target = None if name in ("page", "largest") else 5.0
        what = f"inspector over 65536 tokens, CPU of one move by {name}"
        yield Figure(what, 1000 * seconds, target, "ms")


def _runs(folder: Path, rounds: int) -> Iterator[Figure]:
    from qfid_tui.tools.bench.many_runs import many_runs

    found = many_runs(folder / "runs", rounds)
    listed_none = found.listed_none
    most = 1000 * 2 * listed_none
    yield Figure("`qfid runs` without a run, the whole command", 1000 * listed_none, None, "ms")
    yield Figure("`qfid runs` with 5000 runs", 1000 * found.listed, None, "ms")
    yield Figure("`qfid runs`, 5000 runs ÷ none", found.listed / listed_none, 2.0, "")
    yield Figure("`qfid runs`, 5000 runs for the first time", 1000 * found.listed_first, None, "ms")
    yield Figure("history of 5000 runs, until its first rows", 1000 * found.history, most, "ms")
    yield Figure("history of 5000 runs, until the oldest", 1000 * found.history_whole, most, "ms")
    yield Figure("quitting without a run", 1000 * found.quit_none, None, "ms")
    yield Figure("quitting with 5000 runs, all listed", 1000 * found.quit, most, "ms")
    yield Figure("quitting with 5000 runs, just painted", 1000 * found.quit_at_once, most, "ms")


_PARTS = {
    "first-paint": _first_paint,
    "replay": _replay,
    "share": _shares,
    "inspector": _inspector,
    "runs": _runs,
}
