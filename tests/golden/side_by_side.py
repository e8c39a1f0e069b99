"""Two versions of the project give the same numbers, bit for bit, on this machine.

``python tests/golden/side_by_side.py BEFORE AFTER`` scores every case with both, one after the
other, and compares reports, positions column by column, and Markdown; times, memory, ids and
versions apart. Each is a folder or a commit. What only AFTER has is listed and no difference.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from golden_cases import CASES, REAL_MODEL, Case, chosen, missing
from golden_compare import Outcome, compare, read_positions
from golden_trees import Place, RunFailed, opened

Pair = tuple[str, Outcome, Outcome]

_SHOWN = 3


def main() -> int:
    """Compare, print one line a case, and return 0 where all are the same, else 1."""
    args = _arguments()
    if args.list:
        for case in CASES:
            variables = [f"{name}={value}" for name, value in case.environment.items()]
            words = " ".join([*variables, "qfid", *case.words(args.model)])
            print(f"{case.name:<18} {case.how:<12} {words}")
        return 0
    try:
        cases = chosen(args.cases)
        with (
            opened(args.before) as before,
            opened(args.after) as after,
            tempfile.TemporaryDirectory() as kernels,
        ):
            results = [_run(case, before, after, args.model, Path(kernels)) for case in cases]
    except (RunFailed, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    counts = {result: results.count(result) for result in dict.fromkeys(results)}
    print(", ".join(f"{count} {result}" for result, count in counts.items()))
    return 0 if "same" in counts and counts.keys() <= {"same", "skipped"} else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", metavar="BEFORE", nargs="?", help="commit or folder")
    parser.add_argument("after", metavar="AFTER", nargs="?", help="commit or folder")
    parser.add_argument(
        "--cases", metavar="LIST", help="names or groups (default: demo and real, not gpu)"
    )
    parser.add_argument("--model", metavar="REPO", default=REAL_MODEL, help="the real model")
    parser.add_argument("--list", action="store_true", help="list the cases and what they run")
    args = parser.parse_args()
    if not args.list and args.after is None:
        parser.error("BEFORE and AFTER are needed")
    return args


def _run(case: Case, before: Path, after: Path, model: str, kernels: Path) -> str:
    """Run one case and print how it ended: ``same``, ``different``, ``failed``, ``skipped``."""
    reason = missing(model) if case.needs_real_model else None
    if reason is not None:
        print(f"skipped    {case.name}: {reason}", flush=True)
        return "skipped"
    began = time.monotonic()
    found: list[str] = []
    added: list[str] = []
    positions = 0
    with tempfile.TemporaryDirectory() as folder:
        places = []
        for name, tree in (("before", before), ("after", after)):
            variables = dict(case.environment)
            if case.group == "gpu":
                # Compiled once for all cases, and by each version for itself.
                variables["MLX_PTX_CACHE_DIR"] = str(kernels / name)
            places.append(Place(tree, Path(folder, name), variables))
        try:
            for label, old, new in _pairs(case, places[0], places[1], model):
                result = compare(old, new)
                found += [f"{label}{text}" for text in result.found]
                added += [text for text in result.added if text not in added]
                positions += sum(len(columns["position"]) for columns in new.positions.values())
        except RunFailed as error:
            print(f"failed     {case.name}: {error}", flush=True)
            return "failed"
    outcome = "different" if found else "same"
    seconds = time.monotonic() - began
    print(f"{outcome:<10} {case.name} ({positions} positions, {seconds:.0f} s)", flush=True)
    for sign, texts in (("!", found), ("+", added)):
        for text in texts[:_SHOWN]:
            print(f"  {sign} {text}")
        if len(texts) > _SHOWN:
            print(f"  {sign} and {len(texts) - _SHOWN} more", flush=True)
    return outcome


def _pairs(case: Case, old: Place, new: Place, model: str) -> Iterator[Pair]:
    """What is to be equal: a label, and the outcome of either version."""
    for place in (old, new):
        place.check()
    words = case.words(model)
    if case.how == "scored":
        yield "", _scored(old, words), _scored(new, words)
        return
    whole_place = replace(old, data=old.data.with_name("whole"))
    whole = _scored(whole_place, words)
    old.stop_after_a_chunk(*words)
    if case.how == "handed over":
        shutil.copytree(old.data, new.data)
        yield "resumed by the later: ", whole, _outcome(new, new.resume())
        yield from _reported(whole_place, whole, replace(new, data=new.data.with_name("reported")))
        return
    resumed = _outcome(old, old.resume())
    new.stop_after_a_chunk(*words)
    again = _outcome(new, new.resume())
    yield "resumed: ", resumed, again
    yield "resumed, against a run in one go: ", whole, again


def _reported(saved: Place, whole: Outcome, reader: Place) -> Iterator[Pair]:
    """A finished run opened by another version: as it stands, and reported anew."""
    shutil.copytree(saved.data, reader.data)
    yield "reported by the later: ", whole, _outcome(reader, json.loads(reader.report()))
    for name in ("report.json", "report.md"):
        (reader.run / name).unlink()
    yield "reported anew by the later: ", whole, _outcome(reader, json.loads(reader.report()))


def _scored(place: Place, words: list[str]) -> Outcome:
    return _outcome(place, json.loads(place.qfid(*words, "--format", "json")))


def _outcome(place: Place, report: dict[str, Any]) -> Outcome:
    return Outcome(report, place.report("md"), read_positions(place.run / "positions.arrow"))


if __name__ == "__main__":
    # Where this process was told to ignore Ctrl-C, the runs that are stopped would be too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
