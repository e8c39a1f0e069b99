"""Reports of one model on several texts and lengths, made by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

from report_builders import identity_of, make_facts, random_positions, scored

from scorer.report.build import build_report
from scorer.report.row_keys import with_row_keys
from scorer.report.standings import NamedReport
from scorer.report.tree import Report
from scorer.runs.comparability import run_conditions
from scorer.runs.facts import StoredFacts


def report_on(text: str, length: int, settings: dict[str, float | None], **changes: Any) -> Report:
    """A report of settings by their drift; None for one that failed to be scored.

    Args:
        text: Name of the text.
        length: Tokens of a chunk.
        settings: Drift of each setting.
        changes: Those of the identity.
    """
    facts = make_facts(list(settings), n_chunks=6, chunk_length=length)
    corpus = dataclasses.replace(
        facts.corpus, name=text, sha256=f"{sum(text.encode()):064x}", chunk_length=length
    )
    facts = dataclasses.replace(facts, corpus=corpus)
    rows = [
        scored(
            name,
            None
            if scale is None
            else random_positions(n_chunks=6, n_depth=length - 1, scale=scale, flip_rate=0.0),
        )
        for name, scale in settings.items()
    ]
    identity = {**identity_of(facts), "corpus": corpus.sha256, **changes}
    return with_row_keys(build_report(facts, rows), run_conditions(StoredFacts(identity=identity)))


def runs(**settings: dict[str, float | None]) -> list[NamedReport]:
    """Runs by text and length: ``runs(prose_16={"8": 0.1})``."""
    found = []
    for name, values in settings.items():
        text, _, length = name.rpartition("_")
        found.append(NamedReport(f"run-{name}", report_on(text, int(length), values)))
    return found
