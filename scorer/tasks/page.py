"""The report of tasks as one page that needs neither network nor scripts."""

from __future__ import annotations

from scorer.report.formats.html import page_head
from scorer.report.formats.html_elements import element, written
from scorer.report.formats.html_markdown import blocks
from scorer.report.formats.html_parts import section
from scorer.tasks.formats import facts_lines, headline, note_lines, task_body
from scorer.tasks.report import TasksReport


def to_html(report: TasksReport) -> str:
    """The report as a page, deterministic byte for byte."""
    title = f"Downstream tasks: {report.model_id}"
    first = [element("p", headline(report)), *blocks(facts_lines(report))]
    tasks = [section(task.task, *blocks(task_body(task), deeper=1)) for task in report.tasks]
    made = f"Made by qfid {report.versions.get('qfid', '')}."
    body = element(
        "body",
        element("header", element("h1", title), *first),
        element("main", *tasks, section("How to read it", *blocks(note_lines(report)))),
        element("footer", element("p", made, class_="note")),
    )
    return written(element("html", page_head(title), body, lang="en"))
