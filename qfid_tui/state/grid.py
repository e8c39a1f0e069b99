"""Weights beside KV settings as a grid of cells, placed where the model is to run.

Cells are what is scored and what is ticked. Nothing is read: numbers come from the comparison,
bytes from its report or from what was read of the model's headers. Pure standard library.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from qfid_tui.state.setting_names import name_beside
from qfid_tui.state.weights_offer import WeightsInfo
from scorer.common.errors import InputError
from scorer.fit.choice import CONTEXTS, Beats, Cell
from scorer.report.deployment import left_out, placed_cells, report_beats
from scorer.report.deployment_part import REFERENCE_CELL, DeploymentPart, PlacedCell
from scorer.spec.settings.weights import cache_of, weights_of

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.comparison import Comparison
    from qfid_tui.state.setting_results import Figures
    from qfid_tui.state.weights_offer import WeightsOffer
    from scorer.models.info import ModelInfo
    from scorer.report.setting_row import SettingRow
    from scorer.report.weights_parts import InteractionPart
    from scorer.runs.shape_facts import ShapeFacts
    from scorer.spec.deployment import DeploymentSpec
    from scorer.spec.settings.base import Setting

Status = Literal["reference", "scored", "waiting", "failed", "ticked", "absent"]


@dataclass(frozen=True, slots=True)
class GridCell:
    """A set of weights with a way to store the KV cache.

    Attributes:
        name: The setting in notation; ``reference`` for the model as it is; "" where it is neither
            scored nor ticked.
        status: ``ticked`` where it is to be scored by the next run.
        figures: Its numbers; None before its first chunk.
        placed: Its bytes, and whether it fits; None where they are not known.
        failure: Why it failed; "" if it did not.
        dropped: Why it is scored no further; "" where it is.
        kv_verdict: The verdict by the bounds of KV settings, where it is judged by those of
            weights and has none of its own; "" elsewhere.
        interaction: What weights and cache do together; None where that is not known.
        letters: Letters that it shares with what it cannot be told apart from; "" where that is not
            known.
    """

    name: str
    status: Status
    figures: Figures | None = None
    placed: PlacedCell | None = None
    failure: str = ""
    dropped: str = ""
    kv_verdict: str = ""
    interaction: InteractionPart | None = None
    letters: str = ""

    @property
    def fits(self) -> bool:
        """Whether it fits, as far as is known."""
        return self.placed is None or self.placed.fits


@dataclass(frozen=True)
class Grid:
    """The grid of a comparison.

    Attributes:
        weights: Weights in notation, down; "" for the model's own.
        caches: KV settings in notation, across; "" for the cache at 16 bit.
        cells: A row for each of the weights.
        infos: What is known of each of the weights; None for nothing.
        spec: Where the model is to run.
        is_final: Whether the numbers are those of a report.
        bounds: Whose bounds the verdicts are given by.
        part: Every cell placed, and the choice; None where the bytes are not known.
        model: Repo id or path of the model.
    """

    weights: tuple[str, ...]
    caches: tuple[str, ...]
    cells: tuple[tuple[GridCell, ...], ...]
    infos: tuple[WeightsInfo | None, ...]
    spec: DeploymentSpec
    is_final: bool
    bounds: Literal["weights", "KV cache"]
    part: DeploymentPart | None
    model: str
    _place: Placing | None

    @cached_property
    def contexts(self) -> DeploymentPart | None:
        """The same with what is chosen at other contexts; takes tens of milliseconds."""
        return None if self._place is None else self._place.part(CONTEXTS)

    @property
    def pick(self) -> str | None:
        """The cell to run; None before a cell has numbers."""
        scored = any(cell.figures is not None for row in self.cells for cell in row)
        return self.part.pick if self.part is not None and scored else None

    def name(self, setting: str) -> str:
        """The name of a setting or of its weights where the model is known to the reader."""
        if setting in ("", REFERENCE_CELL):
            return "the reference" if setting else "as it is"
        return name_beside(setting, self.model)

    def cell(self, row: int, column: int) -> GridCell:
        """A cell; the nearest one for a place outside."""
        row = min(max(0, row), len(self.weights) - 1)
        return self.cells[row][min(max(0, column), len(self.caches) - 1)]

    def place_of(self, name: str) -> tuple[int, int] | None:
        """Row and column of a setting; None where it has none."""
        for row, cells in enumerate(self.cells):
            for column, cell in enumerate(cells):
                if cell.name == name:
                    return row, column
        return None

    @property
    def frontier(self) -> list[GridCell]:
        """The scored cells that no other beats on least total bytes and KL, fewest bytes first."""
        found = [
            cell
            for cells in self.cells
            for cell in cells
            if cell.placed is not None and cell.placed.on_frontier
        ]
        return sorted(found, key=lambda cell: cell.placed.least_bytes if cell.placed else 0)


@dataclass(frozen=True, slots=True)
class Placing:
    """What a choice is made from."""

    cells: tuple[Cell, ...]
    shape: ShapeFacts
    spec: DeploymentSpec
    beats: Beats
    model: str
    max_context: int | None
    notes: tuple[str, ...]

    def part(self, contexts: Sequence[int] = ()) -> DeploymentPart:
        """Place every cell and choose one, at other contexts too."""
        found = placed_cells(
            self.cells,
            self.shape,
            self.spec,
            self.beats,
            self.model,
            self.max_context,
            contexts,
        )
        return dataclasses.replace(found, notes=(*found.notes, *self.notes))


def grid_of(
    choices: Choices,
    comparison: Comparison,
    model: ModelInfo | None,
    offer: WeightsOffer | None,
) -> Grid:
    """The grid of what is scored and ticked.

    Args:
        choices: What is ticked, and where the model is to run.
        comparison: What is scored.
        model: The chosen model; None if it is not in the cache.
        offer: What was read of its weights; None while that is not known.
    """
    from qfid_tui.state.table_rows import weights_info

    settings = _settings(choices, comparison, model)
    places = {_place_of(setting): setting for setting in settings.values()}
    weights = tuple(dict.fromkeys(("", *(down for down, _ in places))))
    caches = tuple(dict.fromkeys(("", *(across for _, across in places))))
    infos = {key: weights_info(key, comparison, offer) for key in weights if key}
    reference = None if comparison.report is None else comparison.report.reference
    if reference is not None and reference.weights is not None:
        infos[""] = WeightsInfo.of_facts(reference.weights)
    elif offer is not None and offer.own is not None:
        infos[""] = offer.own
    placing = _placing(choices, comparison, model, offer, settings, infos)
    part = None if placing is None else placing.part()
    found = {} if part is None else {cell.setting: cell for cell in part.cells}
    facts = _report_rows(comparison)
    interactions = (
        {} if comparison.report is None else {i.setting: i for i in comparison.report.interactions}
    )

    def cell(down: str, across: str) -> GridCell:
        if not down and not across:
            return GridCell(REFERENCE_CELL, "reference", placed=found.get(REFERENCE_CELL))
        setting = places.get((down, across))
        if setting is None:
            return GridCell("", "absent")
        name = setting.key
        result, row = comparison.settings.get(name), facts.get(name)
        return GridCell(
            name,
            _status(name, comparison),
            None if result is None else result.figures,
            found.get(name),
            (result.failure or "") if result is not None else "",
            result.dropped if result is not None else "",
            (row.kv_verdict_shown or "") if row is not None else "",
            interactions.get(name),
            row.letters if row is not None else "",
        )

    return Grid(
        weights,
        caches,
        tuple(tuple(cell(down, across) for across in caches) for down in weights),
        tuple(infos.get(key) for key in weights),
        choices.deployment,
        comparison.report is not None,
        "weights" if len(weights) > 1 else "KV cache",
        part,
        choices.model or "",
        placing,
    )


def _settings(
    choices: Choices, comparison: Comparison, model: ModelInfo | None
) -> dict[str, Setting]:
    """What is scored, then what is ticked; those a runtime computes from the first token on."""
    found: dict[str, Setting] = {}
    for result in comparison.settings.values():
        if result.setting is not None:
            found[result.setting.key] = result.setting
    geometry = None if model is None or not model.geometry.exact else model.geometry
    for setting in choices.ticked_settings():
        try:
            resolved = setting if geometry is None else setting.resolved(geometry)
            if geometry is not None:
                resolved.check(geometry)
        except InputError:
            continue
        found.setdefault(resolved.key, resolved)
    return {
        key: setting
        for key, setting in found.items()
        if setting.path == "deployed" and setting.start == 0
    }


def _place_of(setting: Setting) -> tuple[str, str]:
    source, cache = weights_of(setting), cache_of(setting)
    return "" if source is None else source.key, "" if cache is None else cache.key


def _status(name: str, comparison: Comparison) -> Status:
    result = comparison.settings.get(name)
    if result is None:
        return "ticked"
    if result.failure is not None:
        return "failed"
    if result.figures is not None:
        return "scored"
    return "waiting" if comparison.is_active else "ticked"


def _report_rows(comparison: Comparison) -> dict[str, SettingRow]:
    return {} if comparison.report is None else {r.setting: r for r in comparison.report.settings}


def _placing(
    choices: Choices,
    comparison: Comparison,
    model: ModelInfo | None,
    offer: WeightsOffer | None,
    settings: dict[str, Setting],
    infos: dict[str, WeightsInfo | None],
) -> Placing | None:
    """What a choice is made from; None where the sizes of the model are not known."""
    report = comparison.report
    reference = None if report is None else report.reference
    shape = None if reference is None else reference.shape
    if shape is None and offer is not None:
        shape = offer.shape
    own = infos.get("")
    if shape is None or own is None:
        return None
    rows = _report_rows(comparison)
    cells = [Cell(REFERENCE_CELL, own.weight_bytes, kl_mean=0.0, verdict="good")]
    for name, setting in settings.items():
        known = infos.get(_place_of(setting)[0])
        if known is None:
            continue
        figures, row = comparison.figures(name), rows.get(name)
        cells.append(
            Cell(
                name,
                known.weight_bytes,
                cache_of(setting),
                None if figures is None else figures.kl_mean,
                None if figures is None else figures.verdict,
                figures is not None and figures.is_open,
                row.runnable_by_mlx_lm if row is not None else _runs(setting),
            )
        )
    names = reference.model_id if reference is not None else choices.model or ""
    longest = reference.max_context if reference is not None else None
    if longest is None and model is not None:
        longest = model.max_context
    beats = _by_kl if report is None else report_beats(report.comparisons)
    notes = () if report is None else tuple(left_out(report.settings))
    return Placing(tuple(cells), shape, choices.deployment, beats, names, longest, notes)


def _runs(setting: Setting) -> bool:
    """Whether mlx-lm runs a setting, as far as is known before a report says."""
    cache = cache_of(setting)
    return cache is None or cache.kv_method.bits is not None


def _by_kl(one: Cell, other: Cell) -> bool:
    """Whether one drifts less, by the figures so far: pairs are compared when a run ends."""
    mine, theirs = one.kl_mean, other.kl_mean
    return mine is not None and theirs is not None and mine < theirs
