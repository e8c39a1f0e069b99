"""Every warning of ``measure_kv_fidelity`` is one of Python's, of a category that is documented."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from measured import measure
from tiny_models import write_tiny_model
from tiny_runs import Small, stopped

from scorer import measure_kv_fidelity
from scorer.common.warning_categories import QfidWarning, ReportWarning, RunWarning
from scorer.runs.listing import list_runs
from scorer.spec.events import Event, Warned


def test_what_the_command_line_prints_is_told_at_the_callers_line(small: Small) -> None:
    stopped(small.job("8"), after=1)
    with pytest.warns(QfidWarning) as caught:
        measure(small, kv_bits=8)
    (found,) = [w for w in caught if "of the same model and text is unfinished" in str(w.message)]
    assert found.category is RunWarning and issubclass(RunWarning, UserWarning)
    # The hint follows.
    assert "\n`resume_run('" in str(found.message)


def test_every_warning_of_a_report_is_told_once(small: Small) -> None:
    with pytest.warns(ReportWarning) as caught:
        reports = measure(small, settings=["8", "4"])
    told = [str(warning.message) for warning in caught]
    assert sorted(told) == sorted({text for report in reports for text in report.warnings})
    assert any(text.startswith("few chunks:") for text in told)


def test_a_warning_names_the_line_of_the_call() -> None:
    with pytest.warns(ReportWarning, match="few chunks") as caught:
        measure_kv_fidelity("demo", kv_bits=8, chunk_length=32, max_chunks=1)
    assert {warning.filename for warning in caught} == {__file__}


def test_what_was_told_during_the_run_is_not_told_again(small: Small, tmp_path: Path) -> None:
    # Longer chunks than the model was made for: told at once, and in the report.
    short = write_tiny_model(tmp_path / "short", "llama", head_dim=64, max_position_embeddings=16)
    events: list[Event] = []
    with pytest.warns(QfidWarning) as caught:
        report = measure(Small(short, small.text), kv_bits=8, on_event=events.append)
    told = [event.message for event in events if isinstance(event, Warned)]
    assert told and set(told) <= set(report.warnings)
    texts = [str(warning.message).split("\n")[0] for warning in caught]
    assert sorted(texts) == sorted(report.warnings)
    early = [w for w in caught if w.category is RunWarning]
    assert [str(w.message).split("\n")[0] for w in early] == told


def test_a_warning_that_is_an_error_ends_the_run_and_leaves_it_whole(small: Small) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ReportWarning)
        with pytest.raises(ReportWarning, match="far outside"):
            measure(small, kv_bits=8)
    (run,) = list_runs()
    assert run.state == "finished"


def test_a_quiet_run_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = measure_kv_fidelity("demo", kv_bits=4, chunk_length=64, max_chunks=5)
    assert report.warnings == ()
