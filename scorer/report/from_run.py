"""From a saved run to its report: last checks, and the same report again at any time.

Imports no mlx: ``qfid report`` and the app make reports of saved runs with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scorer.common.errors import InputError, QfidError
from scorer.device.cpu_arithmetic import NUMPY
from scorer.report.memory_warnings import memory_warnings
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.comparability import run_conditions
from scorer.runs.engagement import Engagement
from scorer.runs.facts import RunFacts, SettingFacts
from scorer.runs.identity import Identity
from scorer.spec.settings.base import Setting
from scorer.stats.noise_floor import noise_floor
from scorer.stats.positions import Positions
from scorer.text.chunk_order import select_chunks

if TYPE_CHECKING:
    from scorer.report.measured import ScoredSetting
    from scorer.report.stopping_part import StoppingPart
    from scorer.report.tree import Report
    from scorer.runs.run import Run
    from scorer.runs.stored_chunks import StoredChunks
    from scorer.spec.deployment import DeploymentSpec

Batches = Mapping[str, Sequence[tuple[Positions, ChunkFacts]]]
"""Setting to its scored chunks with their facts, in ascending order of chunk."""


def finished_report(
    run: Run,
    stored: Mapping[str, StoredChunks] | None = None,
    deployment: DeploymentSpec | None = None,
) -> Report:
    """The report of a saved run, from what is stored and nothing else.

    No more than the positions of one setting are in memory at a time.

    Where an earlier version stored one that says otherwise, this one says which rules changed.

    Args:
        run: The run.
        stored: What :meth:`Run.read` returned, where the caller has called it already.
        deployment: Where the model is to run; None for what the run itself was asked.

    Raises:
        QfidError: The run holds no scored chunk, and no setting failed.
        InputError: The run's facts are malformed, or an older version made it, whose facts do not
            say what the memory of a deployment follows from.
    """
    from scorer.report.build import build_report
    from scorer.report.row_keys import with_row_keys
    from scorer.report.rules import with_changes
    from scorer.report.stopping import stopping_part

    stored = run.read() if stored is None else stored
    if not any(stored.values()) and not run.failures():
        raise QfidError(
            f"run `{run.id}` holds no scored chunk yet", f"score it with `qfid resume {run.id}`"
        )
    facts = run.facts.run
    if facts is None:
        raise InputError(f"`job.json` of run `{run.id}` lacks the facts of the run")
    if deployment is not None and (facts.weights is None or facts.shape is None):
        raise InputError(
            f"run `{run.id}` does not say what memory its model takes: an earlier version made it",
            "score it anew",
        )
    facts = _with_numpy_blas(facts, run.conditions)
    rows, stored = _rows(run, facts, stored)
    stopping, planned = None, facts.chunks
    if run.job.until_settled:
        stopping = stopping_part(dataclasses.replace(facts, job=run.job), rows)
        if stopping.stopped:
            # A run that has stopped is to score no more.
            planned = facts.chunks[: stopping.n_chunks]
    repeats = facts.equal_chunks or {}
    cells = (
        cell for chunks in stored.values() for cell in zip(chunks.chunks, chunks.facts, strict=True)
    )
    short = memory_warnings(cells, facts.batch, facts.device.kind)
    notes = [
        f"the chunks were not all scored under the same conditions (--accept-changes): {change}"
        for change in run.facts.mixed
    ]
    if run.facts.unknown:
        notes.append(
            "the run was continued, and it is not known whether these were the same before and "
            f"after: {', '.join(run.facts.unknown)}"
        )
    if run.facts.files and run.facts.identity.get("model content") is None:
        notes.append(
            "the run ended before the files of the model were hashed: where only a size is given, "
            "the content is not known"
        )
    if not _chosen_by_the_rule(facts):
        notes.append(
            "an earlier version spread the chunks by another rule: the same command scores others "
            f"now, and `qfid resume {run.id}` these"
        )
    notes += _repeats([chunk for chunk in planned if chunk in repeats], len(planned))
    facts = dataclasses.replace(
        facts,
        job=run.job if deployment is None else dataclasses.replace(run.job, deployment=deployment),
        chunks=tuple(chunk for chunk in planned if chunk not in repeats),
        warnings=(*facts.warnings, *notes, *short),
    )
    report = with_row_keys(build_report(facts, rows, stopping), run_conditions(run.facts))
    return with_changes(report, _stored_report(run))


def look_at(run: Run, look: int) -> StoppingPart:
    """What one look of a run that stops once it is settled says.

    Args:
        run: The run.
        look: Which look, from 1; every setting that did not fail has all its chunks.

    Raises:
        QfidError: Its positions cannot be read.
    """
    from scorer.report.stopping import stopping_part

    facts = run.facts.run
    assert facts is not None
    rows, _ = _rows(run, facts, run.read())
    return stopping_part(dataclasses.replace(facts, job=run.job), rows, look)


def _rows(
    run: Run, facts: RunFacts, stored: Mapping[str, StoredChunks]
) -> tuple[list[ScoredSetting], dict[str, StoredChunks]]:
    """The settings of a run with what is scored of them; equal chunks count once."""
    repeats = facts.equal_chunks or {}
    counted = {name: chunks.without(repeats) for name, chunks in stored.items()}
    return [_scored_setting(run, setting, counted) for setting in run.job.settings], counted


def _stored_report(run: Run) -> Report | None:
    """The report that the run has stored; None where there is none that can be read."""
    from scorer.report.tree import Report

    values = run.report()
    try:
        return None if values is None else Report.from_json(values)
    except InputError:
        return None


def _chosen_by_the_rule(facts: RunFacts) -> bool:
    """Whether a new run of the same job would take the same chunks, as far as can be said."""
    total, job = facts.corpus.total_chunks, facts.job
    if total is None or job.chunks != "spread":
        return True
    return set(facts.chunks) == set(select_chunks(total, job.chunks, job.max_chunks))


def _with_numpy_blas(facts: RunFacts, identity: Identity) -> RunFacts:
    """Facts that name MLX's BLAS for MLX alone: earlier versions named it for NumPy's products."""
    if identity.get("arithmetic") != NUMPY or "NumPy BLAS" in identity:
        return facts
    own = facts.arithmetic
    blas = f"unknown in NumPy; {own.blas} for what MLX multiplies"
    description = own.description.replace(f"BLAS: {own.blas}", f"BLAS: {blas}")
    return dataclasses.replace(
        facts, arithmetic=dataclasses.replace(own, blas=blas, description=description)
    )


def _repeats(repeats: Sequence[int], planned: int) -> list[str]:
    """What a report says of equal chunks."""
    if not repeats:
        return []
    which = f"{len(repeats)} of {planned} chunks " + ("repeats" if len(repeats) == 1 else "repeat")
    return [f"{which} the tokens of another: equal chunks count once"]


def _scored_setting(
    run: Run, setting: Setting, stored: Mapping[str, StoredChunks]
) -> ScoredSetting:
    from scorer.report.measured import ScoredSetting

    name = setting.key
    facts = run.facts.settings.get(name)
    if facts is None:
        raise InputError(f"run `{run.id}` lacks the facts of setting `{name}`")
    chunks = stored.get(facts.same_as or name)
    each = [] if chunks is None else chunks.facts
    failure = run.failures().get(facts.same_as or name)
    engagement = next((b.engagement for b in each if b.engagement is not None), None)
    if engagement is not None:
        facts = _with_engagement(facts, engagement)
    facts = dataclasses.replace(
        facts,
        seconds=sum(b.seconds for b in each),
        peak_memory_bytes=max((b.peak_memory_bytes for b in each), default=0),
        noise_floor=noise_floor(
            [b.perturbed for b in each], [] if chunks is None else chunks.sizes
        ),
        failure=failure,
        dropped=run.dropped().get(name, ""),
    )
    control = run.facts.controls.get(name)
    if control == facts.same_as:
        # The row is computed as its own control, which is a row of the job too.
        control = None
    control_failure = None if control is None else run.failures().get(control)
    if control_failure is not None:
        warning = f"its control failed: {control_failure.message}"
        facts = dataclasses.replace(facts, warnings=(*facts.warnings, warning))
        control = None
    return ScoredSetting(
        setting=setting,
        facts=facts,
        positions=chunks or None,
        control=_control(run, control, stored),
        control_failed=control_failure is not None,
    )


def _control(
    run: Run, control: str | None, stored: Mapping[str, StoredChunks]
) -> StoredChunks | None:
    """The dequantized path's positions, or None where it is the same arithmetic or not scored."""
    if control is None or run.stored_as(control) != control:
        return None
    return stored.get(control) or None


def _with_engagement(facts: SettingFacts, engagement: Engagement) -> SettingFacts:
    skipped: dict[str, int] = {}
    for _, name in engagement.skipped:
        skipped[name] = skipped.get(name, 0) + 1
    return dataclasses.replace(
        facts,
        engagement=engagement.sides,
        kv_layers_quantized=engagement.quantized,
        kv_layers_total=engagement.total,
        kv_layers_skipped=skipped,
        measured_kv_bytes_per_token=engagement.bytes_per_token,
    )
