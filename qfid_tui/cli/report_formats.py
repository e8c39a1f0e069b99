"""Delivers a report in the requested format, and checks ``--fail-under``."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from qfid_tui.cli.rendered_report import FORMATS, JOINED_FORMATS, MQF_JSON, rendered

if TYPE_CHECKING:
    from qfid_tui.cli.output import ReportFile
    from scorer.report.gate import Tier
    from scorer.report.joined import JoinedReport
    from scorer.report.tree import Report
    from scorer.runs.run import Run
    from scorer.spec.deployment import DeploymentSpec

_ENDINGS = {
    "": "md",
    ".md": "md",
    ".markdown": "md",
    ".txt": "md",
    ".html": "html",
    ".htm": "html",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}
# From best to worst.
_TIERS = ("good", "marginal", "bad")


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the format and destination of a report."""
    group = parser.add_argument_group("report")
    group.add_argument(
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        help="md (default), html: a page with charts and the worst passages, json, mqf-json: one "
        "setting as mlx-quant-fidelity writes it, csv: a line per setting, positions: a line per "
        "token, parquet: the same for data frames, badge: an image line per setting, card: a block "
        "for a Hugging Face model card, answer: what to run where, in a few lines",
    )
    group.add_argument(
        "--only",
        metavar="SETTING",
        help="which setting mqf-json holds, if the report has several",
    )
    group.add_argument(
        "--output",
        metavar="FILE",
        help="write the report to FILE (-: print it); without --format its ending chooses: "
        ".md, .html, .json, .csv or .parquet",
    )
    group.add_argument(
        "--fail-under",
        choices=_TIERS[:2],
        help="exit with code 4 if a setting's verdict is worse than this; an open one (`good?`) "
        "counts as what it says",
    )
    group.add_argument(
        "--confident",
        action="store_true",
        help="--fail-under by intervals that hold together over all settings: exit with code 4 if "
        "any lies beyond a bound, else with 5 if any setting is not settled",
    )


class Delivery:
    """Format and destination of a report, from the options.

    Attributes:
        format: One of ``FORMATS``.
    """

    def __init__(
        self, args: argparse.Namespace, *, of_answer: bool = False, joined: bool = False
    ) -> None:
        """Check the options.

        Args:
            args: The options.
            of_answer: Whether ``--fail-under`` judges only what the report says to run.
            joined: Whether several runs are joined, which has fewer formats.

        Raises:
            InputError: ``--output`` cannot be written, or does not say which format is meant; or
                ``--only`` stands with a format that holds all settings, or ``--confident`` without
                ``--fail-under``.
        """
        self.format: str = args.format or _format_of(args.output)
        self._only: str | None = args.only
        if self._only is not None and self.format != MQF_JSON:
            from scorer.common.errors import InputError

            raise InputError(
                f"--only chooses the setting of --format {MQF_JSON}",
                f"the format {self.format} holds all settings",
            )
        self._fail_under: Tier | None = args.fail_under
        self._confident: bool = args.confident
        if self._confident and self._fail_under is None:
            from scorer.common.errors import InputError

            raise InputError(
                "--confident is about --fail-under, which is not given",
                "add the tier: --fail-under good --confident",
            )
        self._of_answer = of_answer
        self._file: ReportFile | None = None
        if joined:
            self._check_joined()
        if self.format == "parquet" and args.output is None:
            from scorer.common.errors import InputError

            raise InputError(
                "parquet is no text to print", "name a file: --output positions.parquet"
            )
        if args.output not in (None, "-"):
            from qfid_tui.cli.output import ReportFile

            self._file = ReportFile(args.output)

    def check_settings(self, settings: Sequence[str]) -> None:
        """Refuse, before anything is scored, settings that the format cannot hold.

        Args:
            settings: Those of the report, in notation.

        Raises:
            InputError: They are too many, or the one that is wanted is not among them.
        """
        if self.format == MQF_JSON:
            from scorer.report.formats.mqf_json import chosen_setting

            chosen_setting(settings, self._only)

    def deliver(self, report: Report, run_id: str, asked: DeploymentSpec | None = None) -> None:
        """Print the report or write it to its file.

        Args:
            report: The report.
            run_id: Its run.
            asked: The deployment that it was made anew for; None for that of the run.

        Raises:
            QfidError: It cannot be written, or the run's positions cannot be read.
        """
        from qfid_tui.cli.diagnostics import say
        from qfid_tui.cli.output import print_report

        parts = rendered(self.format, report, run_id, self._only, asked)
        if self._file is None:
            print_report(parts)
        else:
            self._file.write(parts)
            say(f"report written to {self._file.path}")

    def fail(self, message: str, hint: str, exit_code: int) -> None:
        """Do nothing: a run without a report has nothing to deliver."""

    def _check_joined(self) -> None:
        """Refuse, before anything is scored, a format that holds one run.

        Raises:
            InputError: The format is of one run.
        """
        if self.format not in JOINED_FORMATS:
            from scorer.common.errors import InputError

            raise InputError(
                f"--format {self.format} holds one run, and several are joined",
                f"each is saved: `qfid report RUN --format {self.format}`; joined are "
                f"{', '.join(JOINED_FORMATS)}",
            )

    def deliver_joined(self, report: JoinedReport) -> None:
        """Print a joined report or write it to its file.

        Raises:
            QfidError: It cannot be written.
        """
        from qfid_tui.cli.diagnostics import say
        from qfid_tui.cli.output import print_report
        from scorer.report.formats.joined_text import joined_text

        parts = [joined_text(self.format, report)]
        if self._file is None:
            print_report(parts)
        else:
            self._file.write(parts)
            say(f"report written to {self._file.path}")

    def exit_code(self, report: Report, run: Run | None = None) -> int:
        """Return 0, or 4 if a scored setting is worse than ``--fail-under``; name such settings.

        Point estimates decide. An open verdict that passes is named, too. With ``--confident``
        intervals decide, and 5 says that it is not settled.

        Args:
            report: The report.
            run: Its saved run, from which an older report is made anew if it lacks the intervals;
                None for a report that this version has made.

        Raises:
            QfidError: The run cannot be read.
        """
        if self._fail_under is None:
            return 0
        from qfid_tui.cli.diagnostics import say

        pick = report.deployment.pick if self._of_answer and report.deployment else None
        if self._confident:
            return _confident(report, run, self._fail_under, pick)
        if pick is not None:
            # What was scored to find the answer may be as bad as it likes.
            rows = tuple(row for row in report.settings if row.setting == pick)
            report = dataclasses.replace(report, settings=rows)
        below = below_tier(report, self._fail_under)
        worse = {name for name, _ in below}
        if still_open := [
            f"`{row.setting}` ({row.numbers.verdict_shown})"
            for row in report.settings
            if row.numbers is not None and row.numbers.is_open and row.setting not in worse
        ]:
            say(
                f"--fail-under {self._fail_under} is passed by point estimates alone: open is "
                f"{', '.join(still_open)}"
            )
        if not below:
            return 0
        named = ", ".join(f"`{name}` ({verdict})" for name, verdict in below)
        say(f"worse than --fail-under {self._fail_under}: {named}")
        return 4


def _confident(report: Report, run: Run | None, tier: Tier, pick: str | None) -> int:
    """Say what the gate says by intervals, and return its exit code."""
    from qfid_tui.cli.diagnostics import say
    from scorer.report.gate import gate, lacks_intervals

    if run is not None and lacks_intervals(report):
        from scorer.report.from_run import finished_report

        report = finished_report(run)
    found = gate(report, tier, pick)
    for line in found.lines():
        say(f"--fail-under {tier} --confident: {line}")
    return found.exit_code


def _format_of(output: str | None) -> str:
    """Return the format for the ending of a file name.

    Raises:
        InputError: No format has the ending.
    """
    ending = PurePath(output or "").suffix.lower()
    if ending not in _ENDINGS:
        from scorer.common.errors import InputError

        raise InputError(
            f"no format of a report has the ending `{ending}`",
            f"--format says which is meant: {', '.join(FORMATS)}",
        )
    return _ENDINGS[ending]


def below_tier(report: Report, tier: str) -> list[tuple[str, str]]:
    """Return setting and verdict of every scored setting whose verdict is worse than ``tier``."""
    passing = _TIERS[: _TIERS.index(tier) + 1]
    return [
        (row.setting, row.numbers.verdict)
        for row in report.settings
        if row.numbers is not None and row.numbers.verdict not in passing
    ]
