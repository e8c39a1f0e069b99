"""Runs that were harmed, edited or made by someone else: one line each, never a traceback."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from saved_runs import FACTS, IDENTITY, folder_of_runs, job

from scorer.common.errors import InputError, QfidError
from scorer.runs.listing import (
    find_run,
    identity_hash,
    list_runs,
    new_run,
    newest_unfinished,
    twins,
)

GOOD = {
    "schema": 1,
    "job": job().to_json(),
    "facts": FACTS.to_json(),
    "created": "2026-11-24T02:05:01+00:00",
    "identity": identity_hash(IDENTITY),
}
BAD_TEXTS = ["", "{", "null", "[]", '"x"', "1" * 5000, "[" * 100_000, "\udcff", "{}", "NaN"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return folder_of_runs(tmp_path, monkeypatch)


def put(folder: Path, content: bytes) -> Path:
    path = folder / "20260101-000000-x-0000"
    path.mkdir(parents=True, exist_ok=True)
    (path / "job.json").write_bytes(content)
    return path


def refused(path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_run(path.name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    [info] = list_runs()
    assert info.state == "broken" and info.reason == caught.value.message
    assert newest_unfinished() is None and twins(IDENTITY) == []


@pytest.mark.parametrize("text", BAD_TEXTS, ids=range(len(BAD_TEXTS)))
def test_a_malformed_job_file_is_one_line(folder: Path, text: str) -> None:
    refused(put(folder, text.encode("utf-8", "surrogateescape")))


@pytest.mark.parametrize("key", GOOD)
@pytest.mark.parametrize("value", [None, [], {}, "x", 2, 1.0, True, {"model": "a\nb"}, ...])
def test_a_wrong_or_missing_key_of_the_job_file_is_one_line(
    folder: Path, key: str, value: Any
) -> None:
    data = {**GOOD, key: value}
    if value is ...:
        del data[key]
    refused(put(folder, json.dumps(data).encode()))


def test_the_pattern_of_these_files_is_good(folder: Path) -> None:
    path = put(folder, json.dumps(GOOD).encode())
    assert find_run(path.name).job == job()


def test_an_edited_identity_is_noticed(folder: Path) -> None:
    data = copy.deepcopy(GOOD)
    data["facts"]["identity"]["batch"] = 5
    refused(put(folder, json.dumps(data).encode()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*GOOD, *job().to_json(), "identity"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    key=st.sampled_from(["job", "facts", "created", "identity", "model", "settings"]), value=JSON
)
def test_arbitrary_values_in_a_job_file_raise_nothing_but_input_errors(
    folder: Path, key: str, value: Any
) -> None:
    data = copy.deepcopy(GOOD)
    (data["job"] if key in data["job"] else data)[key] = value
    path = put(folder, json.dumps(data).encode())
    [info] = list_runs()
    try:
        assert find_run(path.name).info() == info
    except InputError as error:
        assert info.reason == error.message and "\n" not in error.message


def test_what_is_beside_a_run_cannot_break_its_line(folder: Path) -> None:
    run = new_run(job(), FACTS)
    (run.path / "positions.arrow").mkdir()
    (run.path / "report.json").mkdir()
    (run.path / "state.json").mkdir()
    (run.path / "lock").mkdir()
    [info] = list_runs()
    assert info.state == "unfinished" and info.chunks_done == 0
    with pytest.raises(QfidError):
        run.open_writer()
    with pytest.raises(QfidError):
        run.read()


def test_a_writer_that_cannot_open_gives_the_lock_back(folder: Path) -> None:
    run = new_run(job(), FACTS)
    run.positions_path.mkdir()
    with pytest.raises(InputError, match="positions"):
        run.open_writer()
    run.positions_path.rmdir()
    run.open_writer().close()
