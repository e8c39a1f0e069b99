"""The machine that figures are of."""

from __future__ import annotations

import os
import sys

from scorer.report.tree import Report


def machine_name(report: Report) -> str:
    """The CPU that a report is of, and how many cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return f"{cores} cores of {report.run.device.name}"


def described(report: Report, machine: str | None = None) -> str:
    """Machine, versions and arithmetic of a report, in Markdown.

    Args:
        report: The report.
        machine: The CPU and its cores; None for those of this machine.
    """
    versions = report.run.versions
    named = (f"{name} {versions[name]}" for name in ("mlx", "mlx-lm", "numpy"))
    where = ", ".join([machine or machine_name(report), *named])
    return f"{where}; {report.run.arithmetic.description}"
