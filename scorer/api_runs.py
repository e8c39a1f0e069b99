"""How the functions of the Python interface run a job: events, warnings, reports, errors."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import warnings
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scorer.common.error_values import error_of
from scorer.common.errors import InputError, QfidError, SettingFailed
from scorer.common.process_limits import missing_working_folder
from scorer.common.python_hints import in_python
from scorer.common.warning_categories import QfidWarning, ReportWarning, RunWarning
from scorer.spec.events import Event, Failed, Finished, Planned, SettingFailedEvent, Warned
from scorer.spec.job import Job
from scorer.spec.ranks import Ranks, local_ranks, read_hostfile

if TYPE_CHECKING:
    from scorer.report.setting_report import SettingReport
    from scorer.report.tree import Report


RanksWanted = int | str | PathLike[str]
"""How many processes share a run, or the path of a host file."""
Shard = Literal["tensor", "pipeline"]
"""How a model is split over ranks."""


def located(name: str | PathLike[str]) -> str:
    """A name as it is; a path object as an absolute path, which is no name of something else.

    Raises:
        InputError: The path is relative, and the working directory has been deleted; or several
            names are given.
    """
    if isinstance(name, str):
        return name
    if isinstance(name, list | tuple):
        raise InputError(
            "several names stand where one is taken",
            "`scorer.measure_over_texts` takes several texts and lengths",
        )
    try:
        return str(Path(name).expanduser().absolute())
    except OSError:
        raise missing_working_folder() from None
    except RuntimeError:
        # There is no such user.
        return str(Path(name))


def run_job(
    job: Job,
    allow_custom_code: bool,
    on_event: Callable[[Event], object] | None,
    run: str | None = None,
    accept_changes: bool = False,
    ranks: RanksWanted = 1,
    shard: Shard | None = None,
) -> tuple[Report, Planned]:
    """Score a job, or what a run of it lacks; the report, and what was planned."""
    from scorer.child.apart import scored_for_program
    from scorer.report.tree import Report

    events = scored_for_program(
        job,
        allow_custom_code=allow_custom_code,
        run=run,
        accept_changes=accept_changes,
        ranks=_ranks(ranks, shard),
    )
    planned: Planned | None = None
    told: set[str] = set()
    # An exception on the way leaves the run as Ctrl-C does: unlocked, and what is scored saved.
    with contextlib.closing(events):
        for event in events:
            if on_event is not None:
                on_event(event)
            if isinstance(event, Planned):
                planned = event
            elif isinstance(event, Warned):
                told.add(event.message)
                _warn(RunWarning, event.message, event.hint)
            elif isinstance(event, SettingFailedEvent):
                if planned is not None and event.setting not in planned.settings:
                    _warn(RunWarning, f"the control failed: {event.message}", event.hint)
            elif isinstance(event, Failed):
                raise error_of(dataclasses.asdict(event) | {"hint": in_python(event.hint)})
            elif isinstance(event, Finished):
                assert planned is not None
                report = Report.from_json(event.report)
                of_settings = (row.warnings for row in report.settings)
                for message in dict.fromkeys(itertools.chain.from_iterable(of_settings)):
                    if message not in told:
                        _warn(ReportWarning, message)
                return report, planned
    raise QfidError("the run ended without a report")


def _ranks(wanted: RanksWanted, shard: str | None) -> Ranks | None:
    if isinstance(wanted, int):
        found = local_ranks(wanted)
    else:
        hosts = read_hostfile(Path(wanted).expanduser())
        found = hosts if len(hosts.hosts) > 1 else None
    if shard is None:
        return found
    if found is None:
        raise InputError("`shard` splits a model over ranks, and there is one", "ranks=2")
    return dataclasses.replace(found, shard=shard)


def _warn(category: type[QfidWarning], message: str, hint: str = "") -> None:
    """Warn at the line that called a function of this interface; ``run_job`` calls this."""
    text = f"{message}\n{in_python(hint)}" if hint else message
    warnings.warn(text, category, stacklevel=4)


class _BySetting(dict[str, "SettingReport"]):
    """Reports by notation; a setting is found as it was written too, ``w=./folder``."""

    def __missing__(self, setting: str) -> SettingReport:
        from scorer.spec.settings.registry import parse_settings

        try:
            (asked,) = parse_settings(setting)
        except (InputError, ValueError):
            raise KeyError(setting) from None
        if asked.key == setting or asked.key not in self:
            raise KeyError(setting)
        return self[asked.key]


def by_setting(report: Report, run: str) -> dict[str, SettingReport]:
    """The reports of a run's settings by notation, in their order.

    A setting is found under its key, and as it was written: paths in keys are absolute.

    Raises:
        SettingFailed: A setting gave no usable number.
    """
    from scorer.report.setting_report import SettingReport

    found: dict[str, SettingReport] = _BySetting()
    failed: SettingFailed | None = None
    for row in report.settings:
        try:
            found[row.setting] = SettingReport.from_report(report, run, row.setting)
        except SettingFailed as error:
            failed = failed or error
    if failed is not None:
        failed.reports = found
        raise failed
    return found
