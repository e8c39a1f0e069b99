"""Several runs side by side as CSV: a line for each text, length and setting."""

from __future__ import annotations

from collections.abc import Callable

from scorer.common.json_values import json_values
from scorer.report.formats.csv_export import Value, csv_line
from scorer.report.joined import JoinedReport, JoinedRow, JoinedRun

_RUN: dict[str, Callable[[JoinedRun], Value]] = {
    "run": lambda run: run.run,
    "text": lambda run: run.text,
    "corpus": lambda run: run.corpus,
    "split": lambda run: run.split,
    "dataset_revision": lambda run: run.dataset_revision,
    "corpus_sha256": lambda run: run.sha256,
    "protocol": lambda run: run.protocol,
    "chunk_length_tokens": lambda run: run.chunk_length,
}
_ROW: dict[str, Callable[[JoinedRow], Value]] = {
    "setting": lambda row: row.setting,
    "status": lambda row: row.status,
    "error": lambda row: row.failure,
    "verdict": lambda row: row.verdict,
    "verdict_shown": lambda row: row.verdict_shown,
    "kl_mean_nats": lambda row: row.kl_mean,
    "kl_mean_low_nats": lambda row: (
        None if row.kl_mean_interval is None else row.kl_mean_interval.low
    ),
    "kl_mean_high_nats": lambda row: (
        None if row.kl_mean_interval is None else row.kl_mean_interval.high
    ),
    "simultaneous": lambda row: row.simultaneous,
    "kl_p99_nats": lambda row: row.kl_p99,
    "flip_rate": lambda row: row.flip_rate,
    "perplexity_ref": lambda row: row.perplexity_ref,
    "perplexity_delta": lambda row: row.perplexity_delta,
    "n_chunks": lambda row: row.n_chunks,
    "n_positions": lambda row: row.n_positions,
    "comparability_key": lambda row: row.comparability_key,
}


def to_joined_csv(report: JoinedReport) -> str:
    """The joined report as CSV: a head with units, then one line per row.

    Texts that were asked for and have no run have a line too, with the reason.
    """
    head = ["model_id", "model_revision", *_RUN, *_ROW]
    lines = [csv_line(head)]
    runs = {run.run: run for run in report.runs}
    about: tuple[Value, ...] = (report.model_id, report.model_revision)
    for row in report.rows:
        values = [
            *about,
            *(value(runs[row.run]) for value in _RUN.values()),
            *(value(row) for value in _ROW.values()),
        ]
        lines.append(csv_line(json_values(values, words=True)))
    for each in report.not_scored:
        known: dict[str, Value] = {
            "text": each.text,
            "chunk_length_tokens": each.chunk_length,
            "status": "failed",
            "error": each.message,
        }
        lines.append(csv_line([*about, *(known.get(name) for name in (*_RUN, *_ROW))]))
    return "".join(lines)
