"""The categories of the warnings that the Python interface raises.

UserWarning
└── QfidWarning            every warning of this package
    ├── RunWarning         told while a run goes on, as on the command line
    └── ReportWarning      what to know before a number of a report is quoted
"""

from __future__ import annotations


class QfidWarning(UserWarning):
    """Base class of the warnings of this package."""


class RunWarning(QfidWarning):
    """Something about a run, told while it goes on."""


class ReportWarning(QfidWarning):
    """Something to know before a number of a report is quoted; it stands in the report too."""
