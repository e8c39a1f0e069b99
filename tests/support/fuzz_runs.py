"""The readers of saved runs under fire: lists, reports in every format, the app's own views."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from cli_saved_runs import save_run
from fuzz_inputs import (
    ACTS,
    FuzzCase,
    harmed_bytes,
    harmed_json,
    hostile_text,
    hostile_value,
    one_clear_line,
)
from hypothesis import strategies as st
from report_builders import random_positions
from signed_batches import signed, table

from qfid_tui.cli.commands.runs import _row
from qfid_tui.cli.commands.runs import table as text_table
from qfid_tui.cli.rendered_report import FORMATS, rendered
from qfid_tui.state.earlier_runs import earlier_settings
from qfid_tui.state.saved_comparison import open_comparison
from scorer.common.errors import QfidError
from scorer.common.folders import runs_folder
from scorer.report.all_runs import reported_runs
from scorer.report.formats.runs_parquet import runs_parquet
from scorer.report.formats.site import to_site
from scorer.report.report_files import read_report
from scorer.report.runs_table import runs_table
from scorer.report.saved_report import saved_report
from scorer.report.standings import standings
from scorer.results import open_run, read_positions
from scorer.runs.identity import identity_hash, is_identity
from scorer.runs.listing import find_run, list_runs, newest_unfinished, twins
from scorer.runs.run_lock import holder

FILES = ("job.json", "state.json", "report.json", "report.md", "positions.arrow", "lock")


@lru_cache
def saved(finished: bool) -> dict[str, bytes]:
    """The files of a run of two settings on four chunks."""
    run = save_run(finished=finished, chunks=4 if finished else 3)
    found = {name: (run.path / name).read_bytes() for name in FILES if (run.path / name).exists()}
    shutil.rmtree(run.path)
    return found


def look(folder: Path, changes: dict[str, bytes], *, finished: bool = False) -> None:
    """Everything that reads runs reads this one; what it cannot use is one clear line."""
    with mock.patch.dict(os.environ, {"QFID_DATA_DIR": str(folder)}):
        path = runs_folder() / "20260101-000000-x-0000"
        path.mkdir(parents=True, exist_ok=True)
        files = saved(finished) | changes
        for name in FILES:
            (path / name).unlink(missing_ok=True)
            if name in files:
                (path / name).write_bytes(files[name])
        (info,) = list_runs()
        for line in text_table([_row(info, "")]):
            assert not ACTS.search(line), ascii(line)
        holder(path)
        newest_unfinished()
        earlier_settings(info.model)
        try:
            run = find_run(path.name)
        except QfidError as error:
            assert info.state == "broken" and info.reason == error.message
            one_clear_line(error)
            return
        twins(run.readable_facts.identity)
        readers = [lambda: run.read(), lambda: run.whole, lambda: open_comparison(run.id)]
        for read in readers:
            refused_or(read)
        for read in (lambda: open_run(path).report, lambda: read_positions(path.name)):
            refused_or(read)
        named = refused_or(lambda: read_report(path / "report.json"))
        if named is not None:
            page = to_site(standings([named]), 1)
            assert not ACTS.search(page.replace("\n", ""))
        runs = runs_table(reported_runs([info]))
        assert len(runs.left_out) == (not runs.rows)
        if runs.rows:
            assert b"".join(runs_parquet(runs))
        report = refused_or(lambda: saved_report(run))
        for format in FORMATS if report is not None else ():
            text = refused_or(lambda: joined(rendered(format, report, run.id)))  # noqa: B023
            assert not ACTS.search((text or "").replace("\n", "")), format


def joined(parts: Iterable[str | bytes]) -> str:
    """The parts as one text; Parquet, which is none, is made and passed over."""
    return "".join([part for part in parts if isinstance(part, str)])


def refused_or(read: Any) -> Any:
    try:
        return read()
    except QfidError as error:
        one_clear_line(error)
        return None


def job_check(folder: Path, data: Any) -> None:
    """A job file that agrees with its own identity, so that its other values are believed."""
    if isinstance(data, dict) and isinstance(data.get("facts"), dict):
        if is_identity(identity := data["facts"].get("identity")):
            data["identity"] = identity_hash(identity)
    look(folder, {"job.json": json.dumps(data).encode()})


def bytes_check(folder: Path, value: tuple[str, bytes]) -> None:
    look(folder, dict([value]), finished=True)


def beside_check(folder: Path, value: tuple[str, Any]) -> None:
    look(folder, {value[0]: json.dumps(value[1]).encode()}, finished=True)


def facts_check(folder: Path, value: tuple[Any, int]) -> None:
    """A batch whose checksum is right, with any facts."""
    facts, chunk = value
    positions = random_positions(chunks=[chunk], scale=0.01)
    message = signed("8", chunk, json.dumps(facts), table(positions))
    look(folder, {"positions.arrow": saved(False)["positions.arrow"] + message})


def json_of(name: str) -> st.SearchStrategy[Any]:
    return st.builds(lambda: json.loads(saved(True)[name]))


def bytes_of(name: str) -> st.SearchStrategy[tuple[str, bytes]]:
    return st.tuples(st.just(name), harmed_bytes(st.builds(lambda: saved(True)[name])))


LOCK = {"pid": 1, "started": "1", "since": "2026-11-24T02:05:01+00:00"}
BATCH_FACTS = {"seconds": 0.5, "peak_memory_bytes": 1, "perturbed_kl_sums": [0.1]}
SMALL_FILES = ("job.json", "state.json", "report.json", "lock")

CASES = [
    FuzzCase("run: values of job.json", harmed_json(json_of("job.json")), job_check),
    FuzzCase("run: values of report.json",
             st.tuples(st.just("report.json"), harmed_json(json_of("report.json"))), beside_check),
    FuzzCase("run: values of state.json",
             st.tuples(st.just("state.json"), harmed_json(json_of("state.json"))), beside_check),
    FuzzCase("run: values of the lock",
             st.tuples(st.just("lock"), harmed_json(st.builds(lambda: dict(LOCK)))), beside_check),
    FuzzCase("run: any JSON in any file",
             st.tuples(st.sampled_from(SMALL_FILES), hostile_value), beside_check),
    FuzzCase("run: bytes of any file",
             st.one_of(*map(bytes_of, ("job.json", "state.json", "report.json")),
                       st.tuples(st.sampled_from(SMALL_FILES), st.binary(max_size=200))),
             bytes_check),
    FuzzCase("run: bytes of the positions", bytes_of("positions.arrow"), bytes_check),
    FuzzCase("run: facts of a batch",
             st.tuples(harmed_json(st.builds(lambda: copy.deepcopy(BATCH_FACTS)))
                       | st.dictionaries(hostile_text, hostile_value, max_size=3),
                       st.just(3)), facts_check),
]  # fmt: skip
