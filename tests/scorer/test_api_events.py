"""The callback of ``measure_kv_fidelity``: what it gets, and what its exceptions leave."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from measured import measure
from tiny_runs import Small, cells, finished, numbers

from scorer.common.errors import InputError, QfidError
from scorer.runs.listing import find_run, list_runs
from scorer.score import score
from scorer.spec.events import ChunkScored, Event, Failed, Finished, Hello, Planned, parse_line

pytestmark = pytest.mark.filterwarnings("ignore::scorer.common.warning_categories.ReportWarning")


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def test_it_gets_every_event_in_order(small: Small) -> None:
    events: list[Event] = []
    threads = set()

    def listen(event: Event) -> None:
        threads.add(threading.get_ident())
        events.append(event)

    report = measure(small, settings=["8", "4"], on_event=listen)[0]
    assert kinds(events) == kinds(small.score("8,4", chunks="first"))
    assert isinstance(events[0], Hello) and threads == {threading.get_ident()}
    assert cells(events) == [("8", 0), ("4", 0), ("8", 1), ("4", 1)]
    assert finished(events).report["settings"][0]["kl"]["mean"] == report.kl.mean
    for event in events:
        again = parse_line(event.to_line())
        # Infinities and NaN are no JSON; there are none here.
        assert again == event


def test_the_last_event_of_a_run_that_fails_is_told_too(small: Small) -> None:
    events: list[Event] = []
    with pytest.raises(InputError, match="there is no file"):
        measure(small, kv_bits=8, corpus="nowhere.txt", on_event=events.append)
    assert isinstance(events[-1], Failed) and events[-1].exit_code == 2


def test_a_chunk_is_saved_before_it_is_told(small: Small) -> None:
    seen = []

    def look(event: Event) -> None:
        if isinstance(event, ChunkScored):
            (run,) = list_runs()
            seen.append(event.chunk in find_run(run.id).scored().get(event.setting, []))

    measure(small, kv_bits=8, on_event=look)
    assert seen == [True, True]


SLOW = pytest.mark.slow


class Enough(Exception):
    pass


@pytest.fixture(scope="module")
def undisturbed(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The rows of a run that nothing ends early."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QFID_DATA_DIR", str(tmp_path_factory.mktemp("undisturbed")))
        return numbers([report.to_json() for report in measure(small, settings=["8", "4"])])


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        pytest.param(kind, error, marks=[] if Enough is error or ChunkScored is kind else SLOW)
        for kind in (Planned, ChunkScored, Finished)
        for error in (Enough, KeyboardInterrupt, MemoryError, RuntimeError, QfidError)
    ],
)
def test_an_exception_of_it_ends_the_run_and_leaves_it_whole(
    small: Small, undisturbed: Any, error: type[BaseException], kind: type[Event]
) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, kind):
            raise error("enough")

    with pytest.raises(error, match="enough") as caught:
        measure(small, settings=["8", "4"], on_event=stop)
    assert type(caught.value) is error
    (run,) = list_runs()
    found = find_run(run.id)
    assert found.finished == (kind is Finished)
    scored = {Planned: [], ChunkScored: [0], Finished: [0, 1]}[kind]
    assert sorted(found.scored().get("8", [])) == scored
    # Nobody holds its lock, and it goes on to the same figures.
    events = list(score(found.job, run=run.id))
    rows: list[dict[str, Any]] = finished(events).report["settings"]
    assert numbers(rows) == undisturbed
