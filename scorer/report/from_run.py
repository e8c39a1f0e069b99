"""From a saved run to its report: last checks, and the same report again at any time.

Imports no mlx: ``qfid report`` and the app make reports of saved runs with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scorer.common.errors import InputError, QfidError
from scorer.report.memory_warnings import memory_warnings
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.engagement import Engagement
from scorer.runs.facts import SettingFacts
from scorer.spec.settings.base import Setting
from scorer.stats.noise_floor import noise_floor
from scorer.stats.positions import Positions

if TYPE_CHECKING:
    from scorer.report.measured import ScoredSetting
    from scorer.report.tree import Report
    from scorer.runs.run import Run

Batches = dict[str, list[tuple[Positions, ChunkFacts]]]


def finished_report(run: Run, stored: Batches | None = None) -> Report:
    """The report of a saved run, from what is stored and nothing else.

    Where an earlier version stored one that says otherwise, this one says which rules changed.

    Args:
        run: The run.
        stored: Its batches, where the caller has read them already.

    Raises:
        QfidError: The run holds no scored chunk.
        InputError: The run's facts are malformed.
    """
    from scorer.report.build import build_report
    from scorer.report.rules import with_changes

    stored = run.read() if stored is None else stored
    if not any(stored.values()):
        raise QfidError(
            f"run `{run.id}` holds no scored chunk yet", f"score it with `qfid resume {run.id}`"
        )
    facts = run.facts.run
    if facts is None:
        raise InputError(f"`job.json` of run `{run.id}` lacks the facts of the run")
    repeats = facts.equal_chunks or {}
    stored = _without(repeats, stored)
    short = memory_warnings(stored, facts.batch, facts.device.kind)
    mixed = [
        f"the chunks were not all scored under the same conditions (--accept-changes): {change}"
        for change in run.facts.mixed
    ]
    facts = dataclasses.replace(
        facts,
        job=run.job,
        chunks=tuple(chunk for chunk in facts.chunks if chunk not in repeats),
        warnings=(*facts.warnings, *mixed, *_repeats(repeats, len(facts.chunks)), *short),
    )
    rows = [_scored_setting(run, setting, stored) for setting in run.job.settings]
    return with_changes(build_report(facts, rows), _stored_report(run))


def _stored_report(run: Run) -> Report | None:
    """The report that the run has stored; None where there is none that can be read."""
    from scorer.report.tree import Report

    values = run.report()
    try:
        return None if values is None else Report.from_json(values)
    except InputError:
        return None


def _without(repeats: Mapping[int, int], stored: Batches) -> Batches:
    """The batches but those of chunks that repeat another: equal chunks count once."""
    return {
        name: [(p, facts) for p, facts in batches if int(p.chunk[0]) not in repeats]
        for name, batches in stored.items()
    }


def _repeats(repeats: Mapping[int, int], planned: int) -> list[str]:
    """What a report says of equal chunks."""
    if not repeats:
        return []
    which = f"{len(repeats)} of {planned} chunks " + ("repeats" if len(repeats) == 1 else "repeat")
    return [f"{which} the tokens of another: equal chunks count once"]


def _scored_setting(run: Run, setting: Setting, stored: Batches) -> ScoredSetting:
    from scorer.report.measured import ScoredSetting

    name = setting.key
    facts = run.facts.settings.get(name)
    if facts is None:
        raise InputError(f"run `{run.id}` lacks the facts of setting `{name}`")
    batches = stored.get(facts.same_as or name, [])
    failure = run.failures().get(facts.same_as or name)
    engagement = next((b.engagement for _, b in batches if b.engagement is not None), None)
    if engagement is not None:
        facts = _with_engagement(facts, engagement)
    facts = dataclasses.replace(
        facts,
        seconds=sum(b.seconds for _, b in batches),
        peak_memory_bytes=max((b.peak_memory_bytes for _, b in batches), default=0),
        noise_floor=noise_floor([b.perturbed for _, b in batches], [len(p) for p, _ in batches]),
        failure=failure,
    )
    control = run.facts.controls.get(name)
    if control == facts.same_as:
        # The row is computed as its own control, which is a row of the job too.
        control = None
    return ScoredSetting(
        setting=setting,
        facts=facts,
        positions=Positions.concatenate([p for p, _ in batches]) if batches else None,
        control=_control(run, control, stored),
    )


def _control(run: Run, control: str | None, stored: Batches) -> Positions | None:
    """The dequantized path's positions, or None where it is the same arithmetic or not scored."""
    if control is None:
        return None
    batches = stored.get(control, [])
    if run.stored_as(control) != control or not batches:
        return None
    return Positions.concatenate([p for p, _ in batches])


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
