"""The report of tasks as one page that needs neither network nor scripts."""

from __future__ import annotations

from scorer.report.formats.html import whole_page
from scorer.report.formats.html_elements import element
from scorer.report.formats.html_markdown import blocks
from scorer.report.formats.html_parts import section
from scorer.tasks.formats import facts_lines, headline, note_lines, task_body
from scorer.tasks.report import TasksReport


def to_html(report: TasksReport) -> str:
    """The report as a page, deterministic byte for byte."""
    main = [section(task.task, *blocks(task_body(task), deeper=1)) for task in report.tasks]
    notes = section("How to read it", *blocks(note_lines(report)))
    title = element("h1", f"Downstream tasks: {report.model_id}")
    first = [element("p", headline(report)), *blocks(facts_lines(report))]
    return whole_page(title, first, [*main, notes], report.versions)
