"""Which saved run is of the same job, told without reading positions."""

from __future__ import annotations

import dataclasses

import pytest

from scorer.bench.made_up_run import save_made_up_run
from scorer.common.folders import runs_folder
from scorer.runs.run import Run
from scorer.runs.same_job import run_of_job
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings

JOB = Job("made-up", parse_settings("8,4"), chunk_length=16, max_chunks=4)


def saved(name: str, chunks: int, *, reported: bool) -> Run:
    folder = runs_folder() / name
    folder.mkdir(parents=True)
    run = save_made_up_run(folder, dataclasses.replace(JOB, max_chunks=chunks), chunks)
    if reported:
        # Notes how many chunks there are.
        run.save_report({}, "")
    return run


@pytest.mark.parametrize("reported", [True, False])
def test_no_position_is_read(reported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run = saved("20260101-000000-made-up-0001", 4, reported=reported)
    saved("20260102-000000-made-up-0002", 2, reported=True)

    def read(_: Run) -> None:
        raise AssertionError("positions were read")

    monkeypatch.setattr(Run, "scored", read)
    for asked in (4, 3):
        found = run_of_job(dataclasses.replace(JOB, max_chunks=asked), lambda job: job)
        assert found is not None and found.run.id == run.id
        assert (found.chunks.asked, found.chunks.planned, found.chunks.missing) == (asked, 4, 0)
