"""What to run where, in ten lines at most. Pure standard library."""

from __future__ import annotations

from collections.abc import Iterator

from scorer.report.commands import deployment_options
from scorer.report.deployment_part import ContextChoice, DeploymentPart
from scorer.report.formats.inline import digits
from scorer.report.formats.short_names import ShortNames, short_names
from scorer.report.tree import Report
from scorer.spec.amounts import tokens_word
from scorer.spec.deployment import DeploymentSpec

_MOST_CROSSOVERS = 4


def to_answer(report: Report, run_id: str, asked: DeploymentSpec | None = None) -> str:
    """The answer as text.

    Args:
        report: The report.
        run_id: Id of its run, for the command that prints all of it; "" for none.
        asked: The deployment that it was made anew for; None for that of the run.
    """
    deployment = report.deployment
    if deployment is None:
        return "This run says nothing about memory; `--context` and `--memory` ask for it.\n"
    # The command lines name a repo in full.
    names = short_names(report) if deployment.commands else ShortNames()
    lines = [f"{names.plain(sentence)}." for sentence in deployment.sentences]
    lines += _drift(report, deployment)
    lines += [f"  {command}" for command in deployment.commands]
    lines += _contexts(deployment.contexts, names)
    if run_id:
        options = [] if asked is None else deployment_options(asked)
        lines.append(f"All of it: {' '.join(['qfid report', run_id, *options])}")
    return "\n".join(lines) + "\n"


def _drift(report: Report, deployment: DeploymentPart) -> Iterator[str]:
    row = next((row for row in report.settings if row.setting == deployment.pick), None)
    if row is None or row.numbers is None:
        return
    numbers = row.numbers
    yield (
        f"Drift from the reference: KL mean {digits(numbers.kl.mean)} nats, flips "
        f"{100 * numbers.flip_rate:.2f} %, {numbers.verdict_shown}, on {row.n_chunks} chunks of "
        f"{row.corpus.name}; key {row.key_text or 'not known'}."
    )


def _contexts(rows: tuple[ContextChoice, ...], names: ShortNames) -> Iterator[str]:
    """What is chosen at other contexts, in one line."""
    if len(rows) < 2:
        return
    parts = []
    for row in rows[:_MOST_CROSSOVERS]:
        what = "nothing fits" if row.setting is None else f"`{names.of(row.setting)}`"
        until = "beyond" if row.until is None else f"up to {tokens_word(row.until)}"
        parts.append(f"{what} {until}")
    yield f"By context: {', '.join(parts)}."
