"""Whether another process is scoring the same at this moment."""

from __future__ import annotations

import dataclasses

from cli_saved_runs import save_run
from running_runs import held

from qfid_tui.state.running_elsewhere import running_elsewhere
from scorer.spec.settings.registry import parse_settings


def test_the_same_job_of_another_process_is_found() -> None:
    run = save_run("8,4", finished=False, chunks=1)
    save_run("8,4")
    job = run.job
    assert running_elsewhere(job) is None
    with held(run.path) as pid:
        found = running_elsewhere(dataclasses.replace(job, settings=parse_settings("4,2")))
        assert found is not None
        assert (found.run, found.pid, found.settings) == (run.id, pid, ("4",))
        assert f"process {pid} is scoring 4" in found.words and run.id in found.words
        for other in (
            dataclasses.replace(job, settings=parse_settings("2")),
            dataclasses.replace(job, chunk_length=32),
            dataclasses.replace(job, model="org/other"),
        ):
            assert running_elsewhere(other) is None
    assert running_elsewhere(job) is None
