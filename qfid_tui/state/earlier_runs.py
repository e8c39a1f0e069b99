"""Settings that earlier runs of a model scored, for the grey rows of the table.

Reads stored reports only: nothing heavier than JSON.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qfid_tui.state.choices import DEMO
from qfid_tui.state.next_run import SavedRun
from qfid_tui.state.reading_pauses import ReadingPauses
from qfid_tui.state.setting_results import depth_of, figures_of
from qfid_tui.state.table_rows import EarlierSetting
from qfid_tui.state.text_names import text_name
from scorer.common.errors import QfidError
from scorer.report.saved_report import stored_report

if TYPE_CHECKING:
    from scorer.report.setting_row import SettingNumbers
    from scorer.runs.run import Run
    from scorer.runs.run_info import RunInfo
    from scorer.spec.job import Job

_RUNS = 20
_ROWS = 24
_SAVED_EVERY = 1000
_CONTINUED = ("finished", "unfinished")


@dataclass(frozen=True, slots=True)
class EarlierRuns:
    """What the saved runs of a model hold.

    Attributes:
        model: The model as jobs name it; None if none is chosen.
        settings: The settings they scored, see :func:`earlier_settings`.
        unfinished: Id of the newest run that can go on; None if there is none.
        is_deleted: Whether the run on the screen has been deleted.
        saved: The runs that can be continued, newest first.
    """

    model: str | None
    settings: tuple[EarlierSetting, ...] = ()
    unfinished: str | None = None
    is_deleted: bool = False
    saved: tuple[SavedRun, ...] = ()


def _never() -> bool:
    return False


def read_earlier(
    model: str | None, shown: str | None, *, is_saved: bool, stopped: Callable[[], bool] = _never
) -> EarlierRuns:
    """Read the saved runs of a model. Call it in a thread.

    Args:
        model: The model as jobs name it; None if none is chosen.
        shown: Id of the run on the screen, which is left out; None for none.
        is_saved: Whether the run on the screen has been saved, so that its folder must exist.
        stopped: Asked before each run whether nobody wants them any more; what has been read by
            then is returned.
    """
    deleted = is_saved and shown is not None and is_deleted(shown)
    if model is None:
        return EarlierRuns(None, is_deleted=deleted)
    runs = _runs_of(model, stopped)
    others = (info for info in runs if info.id != shown)
    settings = _settings(itertools.takewhile(lambda _: not stopped(), others))
    return EarlierRuns(
        model, tuple(settings), _unfinished_run(runs), deleted, tuple(_saved_runs(model, runs))
    )


def earlier_settings(model: str, leave_out: Container[str] = ()) -> list[EarlierSetting]:
    """The settings of the newest runs of a model, newest run first.

    If a setting was scored more than once under equal conditions, the run with the most chunks
    counts, then the newest. Runs without a report and unreadable runs are skipped.

    Args:
        model: The model as jobs name it.
        leave_out: Ids of runs that are on the screen already.
    """
    return _settings(info for info in _runs_of(model) if info.id not in leave_out)


def _runs_of(model: str, stopped: Callable[[], bool] = _never) -> list[RunInfo]:
    """The runs of a model, newest first; none where the folder of runs cannot be read."""
    from scorer.runs.listing import newest_first, run_index

    found: list[RunInfo] = []
    try:
        index = run_index(model)
    except (QfidError, OSError):
        return found
    pauses = ReadingPauses()
    for number, run in enumerate(newest_first(index), 1):
        if stopped():
            return found
        pauses.rest()
        if run.info.model == model:
            found.append(run.info)
        if number % _SAVED_EVERY == 0:
            # The app may be left before all are read.
            index.save()
    index.save()
    return found


def _settings(runs: Iterable[RunInfo]) -> list[EarlierSetting]:
    from scorer.runs.listing import Run

    found: list[EarlierSetting] = []
    for info in itertools.islice(runs, _RUNS):
        try:
            rows = _rows(Run(info.path), info)
        except (QfidError, OSError):
            continue
        for row in rows:
            same = next((i for i, known in enumerate(found) if _is_same(known, row)), None)
            if same is None:
                found.append(row)
            elif found[same].figures.chunks < row.figures.chunks:
                found[same] = row
    return found[:_ROWS]


def _is_same(one: EarlierSetting, other: EarlierSetting) -> bool:
    """Whether two rows are the same setting under the same conditions, chunks apart."""
    return one.name == other.name and not one.key.differences(other.key)


def _saved_runs(model: str, runs: Iterable[RunInfo]) -> list[SavedRun]:
    """The runs that can be continued, or opened because they lack nothing."""
    found = []
    files = _present_files(model)
    for number, info in enumerate(runs):
        if info.read_only or info.state not in _CONTINUED:
            continue
        # A model without a commit must have the files that the run scored.
        if info.revision is None and model != DEMO and info.files != files:
            continue
        scored = [n for n in info.settings if info.state == "finished" and n not in info.failed]
        found.append(
            SavedRun(
                info.id,
                info.conditions,
                info.settings,
                info.revision,
                tuple(scored),
                _job_of(info) if number < _RUNS else None,
            )
        )
    return found


def _job_of(info: RunInfo) -> Job | None:
    """The job of a run; None where it cannot be read."""
    from scorer.runs.listing import Run

    try:
        return Run(info.path).job
    except (QfidError, OSError):
        return None


def _present_files(model: str) -> str | None:
    """Digest of the states of the files of a model's folder; None where it is none."""
    from scorer.models.file_stamp import digest_of
    from scorer.models.model_content import file_states

    try:
        return digest_of(file_states(Path(model).expanduser()))
    except (OSError, RuntimeError, ValueError):
        return None


def _unfinished_run(runs: Iterable[RunInfo]) -> str | None:
    """Id of the newest run that can go on; None if there is none."""
    can_go_on = (info.id for info in runs if info.state == "unfinished" and not info.read_only)
    return next(can_go_on, None)


def is_deleted(run: str) -> bool:
    """Whether the folder of a saved run no longer exists."""
    from scorer.common.folders import runs_folder

    return not (runs_folder() / run).exists()


def _rows(run: Run, info: RunInfo) -> list[EarlierSetting]:
    from scorer.runs.comparability import ComparabilityKey, fingerprint_digest, run_conditions

    report = stored_report(run)
    if report is None:
        return []
    job, conditions = run.job, run_conditions(run.readable_facts)
    found = []
    for row in report.settings:
        numbers, figures = row.numbers, figures_of(row)
        if numbers is None or figures is None:
            continue
        chunks = report.chunks_of(row)
        found.append(
            EarlierSetting(
                name=row.setting,
                run=info.id,
                day=info.created[:10],
                text=f"{text_name(job.corpus.source)}, {figures.chunks} × {job.chunk_length}",
                figures=figures,
                chunks=chunks,
                kl=numbers.kl_mean_per_chunk,
                sizes=numbers.sizes(len(chunks)),
                flips=_shares(numbers),
                depth=tuple(depth_of(numbers)),
                bytes_per_token=row.kv_bytes_per_token,
                key=ComparabilityKey(
                    info.id,
                    conditions,
                    row.quantize_start,
                    row.path,
                    frozenset(chunks),
                    row.setting,
                    fingerprint_digest(run.readable_facts.fingerprints.get(row.setting, {})),
                ),
            )
        )
    return found


def _shares(numbers: SettingNumbers) -> tuple[float, ...]:
    """Share of flips of each chunk, 0 to 1."""
    flips = numbers.flips_per_chunk
    sizes = numbers.sizes(len(flips))
    return tuple(n / size for n, size in zip(flips, sizes, strict=True)) if all(sizes) else ()
