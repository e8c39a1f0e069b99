"""What to run in a given memory at a given context, from the rows of a report.

A function of the report alone, so that a saved run answers for any memory and context.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from scorer.fit.choice import CONTEXTS, Beats, Cell, Choice, Deployment, choose, over_contexts
from scorer.fit.prefill_peak import PrefillShape
from scorer.report.deploy_commands import (
    DeployCommands,
    convert_command,
    converted_folder,
    deploy_commands,
)
from scorer.report.deployment_part import (
    REFERENCE_CELL,
    ContextChoice,
    DeploymentPart,
    PlacedCell,
)
from scorer.report.setting_row import SettingRow
from scorer.report.tree import PairComparison, ReferencePart
from scorer.runs.shape_facts import ShapeFacts
from scorer.runs.weight_facts import WeightFacts
from scorer.spec.amounts import shown_bytes, tokens_word
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import MadeWeights, StoredWeights, cache_of, weights_of

# More than any machine has.
_NO_LIMIT = 1 << 62
_MOST_ALIKE = 3
RUNS_GGUF = (
    "no mlx_lm command runs a GGUF file: llama.cpp does (`llama-server -m FILE`), and what it "
    "takes beside the weights is counted here as mlx-lm takes it"
)
"""What is said of command lines for a setting of a GGUF file."""


def deployment_part(
    reference: ReferencePart,
    rows: Sequence[SettingRow],
    comparisons: Sequence[PairComparison],
    spec: DeploymentSpec,
) -> DeploymentPart | None:
    """Place every setting of a report in a deployment and choose one.

    Args:
        reference: The report's reference.
        rows: Its settings. Those on the dequantized path and those that score other positions are
            not placed: they are not what a runtime computes.
        comparisons: Its pairs.
        spec: The deployment.

    Returns:
        None where the run's facts do not say what memory follows from.
    """
    weights, shape = reference.weights, reference.shape
    if weights is None or shape is None:
        return None
    cells = [
        Cell(REFERENCE_CELL, weights.weight_bytes, kl_mean=0.0, verdict="good"),
        *(_cell(row, weights) for row in rows if _is_placed(row)),
    ]
    part = placed_cells(
        cells, shape, spec, report_beats(comparisons), reference.model_id, reference.max_context
    )
    alike = cheaper_alike(part, rows, comparisons)
    return replace(
        part,
        notes=(*part.notes, *left_out(rows)),
        cheaper_alike=tuple(row.setting for row in alike),
        sentences=(*part.sentences, *_alike_sentence(alike)),
    )


def cheaper_alike(
    part: DeploymentPart, rows: Sequence[SettingRow], comparisons: Sequence[PairComparison]
) -> list[SettingRow]:
    """The settings that take less than the choice and cannot be told apart from it, least first.

    Those that are settled as good and take less are left out: mlx-lm does not run them.

    Args:
        part: The choice.
        rows: The rows of the report.
        comparisons: Its pairs.
    """
    pick = None if part.pick is None else part.cell(part.pick)
    if pick is None:
        return []
    alike = {
        pair.b if pair.a == pick.setting else pair.a
        for pair in comparisons
        if pair.told_apart is False and pick.setting in (pair.a, pair.b)
    }
    least = {cell.setting: cell.least_bytes for cell in part.cells}
    found = [
        row
        for row in rows
        if row.setting in alike
        and least.get(row.setting, pick.least_bytes) < pick.least_bytes
        and row.numbers is not None
        and (row.numbers.verdict != "good" or row.numbers.is_open)
    ]
    return sorted(found, key=lambda row: least[row.setting])


def _alike_sentence(rows: Sequence[SettingRow]) -> Iterator[str]:
    named = [
        f"`{row.setting}` ({row.numbers.verdict_shown})" for row in rows if row.numbers is not None
    ]
    if named:
        more = f" and {len(named) - _MOST_ALIKE} more" if len(named) > _MOST_ALIKE else ""
        verbs = ("takes", "is") if len(named) == 1 else ("take", "are")
        yield (
            f"{', '.join(named[:_MOST_ALIKE])}{more} {verbs[0]} less and cannot be told apart from "
            f"it, but {verbs[1]} not settled as good"
        )


def placed_cells(
    cells: Sequence[Cell],
    shape: ShapeFacts,
    spec: DeploymentSpec,
    beats: Beats,
    model: str,
    max_context: int | None,
    contexts: Sequence[int] = CONTEXTS,
) -> DeploymentPart:
    """Place cells in a deployment and choose one, also before a report has their numbers.

    Args:
        cells: The cell :data:`REFERENCE_CELL`, and one for each setting, named by its notation.
        shape: Sizes of the model.
        spec: The deployment.
        beats: Whether one cell is told apart from another as better.
        model: Repo id or path of the reference, or ``demo``.
        max_context: Tokens that it was made for; None where that is not known.
        contexts: Contexts to choose for too; empty for none, which takes a tenth of the time.
    """
    deployment = Deployment(
        geometry=shape.geometry,
        shape=_prefill_shape(shape),
        memory=_NO_LIMIT if spec.memory is None else spec.memory,
        context=spec.context_for(max_context),
        parallel=spec.parallel,
        device=spec.device,
        step=spec.step,
    )
    choice = choose(cells, deployment, beats)
    commands = _commands(model, choice, spec)
    return DeploymentPart(
        memory=spec.memory,
        context=deployment.context,
        parallel=spec.parallel,
        device=spec.device,
        cells=tuple(
            PlacedCell(
                setting=each.cell.name,
                weight_bytes=each.bytes.weights,
                cache_bytes=each.bytes.cache,
                peak_bytes=each.bytes.peak,
                total_bytes=each.bytes.total,
                step=each.step,
                least_bytes=each.least,
                fits=each.fits,
                on_frontier=each.on_frontier,
            )
            for each in choice.placed
        ),
        pick=None if choice.pick is None else choice.pick.cell.name,
        reason=choice.reason,
        tied_with=choice.tied_with,
        sentences=(*_sentences(choice, spec), *_of_gguf(commands)),
        commands=_lines(commands),
        notes=() if commands is None or [*_of_gguf(commands)] else commands.notes,
        contexts=tuple(
            ContextChoice(
                contexts=row.contexts,
                setting=row.name,
                total_bytes=row.totals,
                steps=row.steps,
                until=row.until,
            )
            for row in over_contexts(cells, deployment, beats, contexts)
        ),
    )


def _is_placed(row: SettingRow) -> bool:
    return row.path == "deployed" and not row.quantize_start


def left_out(rows: Sequence[SettingRow]) -> Iterator[str]:
    """Which rows of a report are not placed, and why."""
    rows = [row for row in rows if not _is_placed(row)]
    for names, why in (
        ([r.setting for r in rows if r.path != "deployed"], "not what a runtime computes"),
        ([r.setting for r in rows if r.path == "deployed"], "scored on other positions"),
    ):
        if names:
            yield f"left out, as {why}: {', '.join(f'`{name}`' for name in names)}"


def _cell(row: SettingRow, reference: WeightFacts) -> Cell:
    numbers = row.numbers
    own = reference if row.weights is None else row.weights
    return Cell(
        name=row.setting,
        weights_bytes=own.weight_bytes,
        kv=cache_of(parse_setting(row.setting)),
        kl_mean=None if numbers is None else numbers.kl.mean,
        verdict=None if numbers is None else numbers.verdict,
        is_open=numbers is not None and numbers.is_open,
        runnable=can_be_chosen(row),
    )


def can_be_chosen(row: SettingRow) -> bool:
    """Whether a known runtime computes a setting, so that it can be what to run."""
    return row.runnable_by_mlx_lm or _is_gguf_alone(row)


def _is_gguf_alone(row: SettingRow) -> bool:
    """Whether a row is a GGUF file as it is: llama.cpp runs that, with no cache of MLX's."""
    setting = parse_setting(row.setting)
    source = weights_of(setting)
    is_gguf = isinstance(source, StoredWeights) and source.is_gguf
    return is_gguf and cache_of(setting) is None


def _prefill_shape(shape: ShapeFacts) -> PrefillShape:
    return PrefillShape(shape.hidden, shape.inner, shape.heads, shape.vocab, 2)


def report_beats(comparisons: Sequence[PairComparison]) -> Beats:
    """Whether one cell is told apart from another as the one that drifts less."""
    differences = {}
    for pair in comparisons:
        if pair.told_apart and pair.kl_mean_difference is not None:
            differences[pair.a, pair.b] = pair.kl_mean_difference
            differences[pair.b, pair.a] = -pair.kl_mean_difference

    def beats(one: Cell, other: Cell) -> bool:
        if one.name == REFERENCE_CELL:
            # It is what drift is measured from.
            return other.name != REFERENCE_CELL
        return differences.get((one.name, other.name), math.inf) < 0

    return beats


def _commands(model: str, choice: Choice, spec: DeploymentSpec) -> DeployCommands | None:
    pick = choice.pick
    if pick is None:
        return None
    return setting_commands(model, pick.cell.name, pick.step, parallel=spec.parallel)


def setting_commands(
    model: str, name: str, step: int, *, parallel: int = 1
) -> DeployCommands | None:
    """The command lines that run a setting; None for the built-in model, which mlx-lm lacks.

    Args:
        model: Repo id or path of the reference.
        name: The setting in notation, or :data:`REFERENCE_CELL`.
        step: The prefill step.
        parallel: Sequences at the same time.
    """
    if model == "demo":
        return None
    setting = None if name == REFERENCE_CELL else parse_setting(name)
    source = None if setting is None else weights_of(setting)
    kv = None if setting is None else cache_of(setting)
    convert = None
    if isinstance(source, MadeWeights):
        folder = converted_folder(model, source.key)
        convert = convert_command(
            model, folder, bits=source.bits, group_size=source.group_size, mode=source.mode
        )
        model = folder
    elif isinstance(source, StoredWeights):
        if source.is_gguf:
            return DeployCommands(None, None, None, (RUNS_GGUF,))
        model = source.model
    return deploy_commands(model, kv, step, parallel=parallel, convert=convert)


def _of_gguf(commands: DeployCommands | None) -> Iterator[str]:
    if commands is not None and RUNS_GGUF in commands.notes:
        yield RUNS_GGUF[0].upper() + RUNS_GGUF[1:]


def _lines(commands: DeployCommands | None) -> tuple[str, ...]:
    if commands is None:
        return ()
    lines = (commands.convert, commands.generate, commands.server)
    return tuple(line for line in lines if line is not None)


def _sentences(choice: Choice, spec: DeploymentSpec) -> list[str]:
    where = f"at {tokens_word(choice.deployment.context)} tokens of context"
    if spec.parallel > 1:
        where += f" × {spec.parallel} sequences"
    limit = "" if spec.memory is None else f" in {shown_bytes(spec.memory)}"
    pick = choice.pick
    if pick is None:
        return _no_choice(choice, f"{limit} {where}")
    need = pick.bytes
    # Nothing was measured on Metal, see scorer.fit.prefill_peak.
    guess = "an estimated " if choice.deployment.device == "metal" else ""
    parts = (
        f"{shown_bytes(need.total)}: {shown_bytes(need.weights)} weights, "
        f"{shown_bytes(need.cache)} KV cache, {guess}{shown_bytes(need.peak)} prefill peak at step "
        f"{pick.step}"
    )
    kind = {
        "cheapest good": "the cheapest setting that is settled as good",
        "best that fits": "no setting that fits is settled as good; the best is this one",
    }[choice.reason]
    what = " (the model as it is)" if pick.cell.name == REFERENCE_CELL else ""
    found = [f"`{pick.cell.name}`{what}{limit} {where}: {kind}, {parts}"]
    if choice.tied_with:
        names = ", ".join(f"`{name}`" for name in choice.tied_with)
        found.append(f"{names} cannot be told apart from it on this text")
    return found


def _no_choice(choice: Choice, where: str) -> list[str]:
    smallest = choice.smallest
    if smallest is None or choice.reason != "nothing fits":
        what = "scored" if choice.reason == "not scored what fits" else "run by mlx-lm"
        return [f"Nothing that fits{where} is {what}"]
    found = [
        f"Nothing fits{where}: the least is `{smallest.cell.name}` with "
        f"{shown_bytes(smallest.bytes.total)} at step {smallest.step}"
    ]
    if choice.longest_context is not None:
        found.append(f"It fits up to {tokens_word(choice.longest_context)} tokens of context")
    return found
