"""The state of the workbench: one immutable value from which every panel paints itself.

Functions that make the next state are in :mod:`qfid_tui.state.workbench_changes`, those that say
which keys work now in :mod:`qfid_tui.state.workbench_actions`. Nothing here knows Textual, and
nothing here reads a file: workers read, and the state holds what they found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from qfid_tui.state.chart_points import chart_row
from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.grid import Grid, grid_of
from qfid_tui.state.listed_models import ModelOrder
from qfid_tui.state.memory_fit import Fit, fit_of
from qfid_tui.state.next_run import NextRun, SavedRun, next_run
from qfid_tui.state.run_options import OPTIONS, Option, with_legal_group
from qfid_tui.state.setting_names import names_of
from qfid_tui.state.table_rows import EarlierSetting, TableRow, table_rows
from qfid_tui.state.weights_offer import WeightsOffer
from scorer.common.errors import InputError
from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable
from scorer.models.sizes import ModelSizes
from scorer.spec.events import Hello
from scorer.spec.geometry import KVGeometry
from scorer.spec.settings.weights import sources_of

Panel = Literal["models", "options", "settings"]
ChartName = Literal["chunks", "depth"]
StripsShown = Literal["both", "KL", "flips"]


@dataclass(frozen=True, slots=True)
class RowCursor:
    """Where the cursor of the settings table is.

    Attributes:
        index: Index of the row.
        name: Its setting in notation; None before any row was shown.
        run: Id of its earlier run; "" for a row of this comparison.
    """

    index: int = 0
    name: str | None = None
    run: str = ""

    def find(self, rows: Sequence[TableRow]) -> int:
        """Index of the cursor's row among other rows: the same setting, else the same index."""
        for index, row in enumerate(rows):
            if (row.name, row.run) == (self.name, self.run):
                return index
        return min(self.index, max(0, len(rows) - 1))


@dataclass(frozen=True)
class WorkbenchState:
    """Everything that the workbench shows.

    Attributes:
        choices: What the user has chosen.
        comparison: The comparison on the screen. It changes while events arrive; ``version`` says
            which of its states this value stands for.
        version: :attr:`Comparison.version` when this value was made.
        found: Models of the cache by name, those included that cannot be scored.
        reading: Whether the cache is still being read.
        fetching: How far the download of a model is, in words; "" for none.
        sizes: Sizes of the models whose weight headers were read; None if they cannot be read.
        weights: Folder of a model to the weights that can be compared with it, as far as read.
        earlier: Settings of earlier runs of the chosen model.
        unfinished: Id of the newest run of the model that lacks something; None for none.
        saved: Runs of the chosen model that can be continued, newest first.
        queue: Texts and lengths that are scored when the run that goes on has ended.
        probed: The device as the probe described it; None until it answers.
        key_names: Default keys to the user's own keys, as the footer shows them.
        filter: Text that names in the list of models must contain.
        filtering: Whether the filter field is open.
        order: By what the list of models is sorted.
        model_cursor: Name of the model with the cursor; None in an empty list.
        row_cursor: Where the cursor of the settings table is.
        option_cursor: Index of the option with the cursor.
        focus: Id of the widget with the focus; "" for none.
        panel: The panel that is open; on a narrow screen it takes the place of the others.
        enlarged: Whether a panel fills the screen.
        tall_rows: Whether the rows of the settings table are two lines high.
        strips: What the strips of the settings table show.
        own_scale: Whether each strip has a scale of its own; None: where one scale for all would
            draw flat lines.
        chart: The chart beside the scatter plot where there is room for two charts.
    """

    choices: Choices
    comparison: Comparison = field(default_factory=Comparison)
    version: int = 0
    found: Mapping[str, ModelInfo | Unscorable] = field(default_factory=dict)
    reading: bool = True
    fetching: str = ""
    sizes: Mapping[ModelInfo, ModelSizes | None] = field(default_factory=dict)
    weights: Mapping[Path, WeightsOffer] = field(default_factory=dict)
    earlier: tuple[EarlierSetting, ...] = ()
    unfinished: str | None = None
    saved: tuple[SavedRun, ...] = ()
    queue: tuple[tuple[str, int], ...] = ()
    probed: Hello | None = None
    key_names: Mapping[str, str] = field(default_factory=dict)
    filter: str = ""
    filtering: bool = False
    order: ModelOrder = "last used"
    model_cursor: str | None = None
    row_cursor: RowCursor = RowCursor()
    option_cursor: int = 0
    focus: str = ""
    panel: Panel = "settings"
    enlarged: bool = False
    tall_rows: bool = False
    strips: StripsShown = "both"
    own_scale: bool | None = None
    chart: ChartName = "chunks"

    def changed(self, **changes: Any) -> WorkbenchState:
        """A state with other values of some fields; the same object if nothing differs.

        What was computed from fields that stay the same is taken over: a step of a cursor computes
        no row.
        """
        different = {name for name, value in changes.items() if _differ(getattr(self, name), value)}
        if not different:
            return self
        state = dataclasses.replace(self, **changes)
        for name, fields in _COMPUTED_FROM.items():
            same_model = name not in _OF_SHOWN_MODEL or state.highlighted is self.highlighted
            if name in self.__dict__ and not different & fields and same_model:
                state.__dict__[name] = self.__dict__[name]
        return state

    @property
    def device(self) -> Hello | None:
        """The device, as the run or else the probe described it; None while it is not known."""
        return self.comparison.machine or self.probed

    @property
    def model(self) -> ModelInfo | None:
        """The chosen model; None if none is chosen, or it is not in the cache."""
        return self._scorable(self.choices.model)

    @property
    def highlighted(self) -> ModelInfo | None:
        """The model with the cursor, unless it is the chosen one; its costs are shown.

        Where a model is chosen, only while the list has the focus, and not during a run.
        """
        is_browsing = self.focus in ("models", "filter") and not self.comparison.is_active
        if self.model_cursor == self.choices.model:
            return None
        if self.choices.model is None or is_browsing:
            return self._scorable(self.model_cursor)
        return None

    def _scorable(self, name: str | None) -> ModelInfo | None:
        found = None if name is None else self.found.get(name)
        return found if isinstance(found, ModelInfo) else None

    @property
    def shown_model(self) -> ModelInfo | None:
        """The model whose costs are shown: the highlighted one, else the chosen one."""
        return self.highlighted or self.model

    @property
    def geometry(self) -> KVGeometry | None:
        """Geometry of the shown model's cache."""
        return None if self.shown_model is None else self.shown_model.geometry

    @property
    def scorable_models(self) -> int:
        """Number of models that can be scored, the built-in one included."""
        return sum(isinstance(model, ModelInfo) for model in self.found.values())

    @cached_property
    def rows(self) -> list[TableRow]:
        """The rows of the settings table; those of the highlighted model have costs only."""
        if self.highlighted is None:
            return table_rows(
                self.choices, self.comparison, self.geometry, self.earlier, self.offer
            )
        choices = with_legal_group(self.choices, self.geometry)
        return table_rows(choices, Comparison(), self.geometry)

    @property
    def offer(self) -> WeightsOffer | None:
        """Weights that can be compared with the chosen model; None while that is not known."""
        return None if self.model is None else self.weights.get(self.model.path)

    @cached_property
    def grid(self) -> Grid:
        """Weights beside KV settings: what is scored or ticked, placed where it is to run."""
        return grid_of(self.choices, self.comparison, self.model, self.offer)

    @property
    def row(self) -> TableRow | None:
        """The row with the cursor; None in an empty table."""
        return self.rows[self.row_cursor.find(self.rows)] if self.rows else None

    @property
    def charted_row(self) -> TableRow | None:
        """The row that charts, detail and inspector are about; None before any number."""
        return chart_row(self.rows, self.row)

    @property
    def has_numbers(self) -> bool:
        """Whether a setting of this comparison has numbers: they take the place of costs."""
        return any(
            row.waiting or row.figures is not None or row.failure is not None
            for row in self.rows
            if not row.origin
        )

    @property
    def option(self) -> Option:
        """The option with the cursor."""
        return OPTIONS[self.option_cursor]

    @property
    def saved_here(self) -> list[SavedRun]:
        """The saved runs of the revision of the model that is in the cache."""
        revision = None if self.model is None else self.model.revision
        return [run for run in self.saved if revision in (None, run.revision)]

    @cached_property
    def planned(self) -> NextRun | InputError:
        """What the run key would do; an error if the choices make no job."""
        try:
            geometry = None if self.model is None else self.model.geometry
            return next_run(self.choices, self.comparison, self.saved_here, geometry)
        except InputError as error:
            return error

    @cached_property
    def fit(self) -> Fit | None:
        """Whether the shown model fits in memory; None as long as that is not known."""
        model, device = self.shown_model, self.device
        sizes = None if model is None else self.sizes.get(model)
        if sizes is None or device is None:
            return None
        known = {} if self.offer is None else self.offer.known
        sources = sources_of(self.choices.ticked_settings()) if self.highlighted is None else ()
        weights = [known.get(source.key) for source in sources]
        return fit_of(sizes, device, self.choices.chunk_length, self.choices.batch, weights)


_MODEL = frozenset({"choices", "found"})
_COMPARISON = frozenset({"comparison", "version"})
# For each cached property, the fields that it is computed from.
_COMPUTED_FROM = {
    "rows": _MODEL | _COMPARISON | {"earlier", "weights"},
    "grid": _MODEL | _COMPARISON | {"weights"},
    "planned": _MODEL | _COMPARISON | {"saved"},
    "fit": _MODEL | _COMPARISON | {"sizes", "probed", "weights"},
}
# Those that depend on the highlighted model too.
_OF_SHOWN_MODEL = frozenset({"rows", "fit"})


def _differ(one: object, other: object) -> bool:
    return one is not other and one != other


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A setting of a saved run, for the screens over the workbench.

    Attributes:
        run: Id of the run.
        setting: The setting in notation.
        settings: All settings of the run that have numbers, in the order of the table.
    """

    run: str
    setting: str
    settings: tuple[str, ...]


def shown_run(state: WorkbenchState) -> ShownRun | None:
    """The setting that detail and inspector open; None if it has no numbers or no saved run."""
    row = state.charted_row
    if row is None or row.figures is None:
        return None
    run = row.run or state.comparison.run
    return None if run is None else ShownRun(run, row.name, _scored(state, row.run))


def _scored(state: WorkbenchState, run: str) -> tuple[str, ...]:
    """The settings of a run that have numbers, in the order of the table.

    Args:
        state: The state of the workbench.
        run: Id of an earlier run; "" for the run on the screen.
    """
    return tuple(row.name for row in state.rows if row.run == run and row.figures is not None)


@dataclass(frozen=True, slots=True)
class RunSoFar:
    """How far a run that goes on has come, for the screens over the workbench.

    Attributes:
        chunks: Setting to its scored chunks.
        planned: Chunks of the run.
        settings: The settings that have numbers, in the order of the table.
    """

    chunks: Mapping[str, int]
    planned: int
    settings: tuple[str, ...]


def run_so_far(state: WorkbenchState, run: str) -> RunSoFar | None:
    """How far a run has come; None if it does not go on."""
    comparison = state.comparison
    if run != comparison.run or not comparison.is_active:
        return None
    chunks = {name: len(result.chunks) for name, result in comparison.settings.items()}
    return RunSoFar(chunks, comparison.planned_chunks, _scored(state, ""))


def lacking(state: WorkbenchState) -> str | None:
    """Repo id of the model with the cursor if a download would make it whole; else None."""
    found = None if state.model_cursor is None else state.found.get(state.model_cursor)
    return found.name if isinstance(found, Unscorable) and found.command else None


def exported_run(state: WorkbenchState) -> str | None:
    """Id of the run whose report is exported; None if there is none."""
    row = state.charted_row
    return row.run if row is not None and row.run else state.comparison.run


def exported_title(state: WorkbenchState) -> str:
    """What is exported: the model, and the settings on the screen or the earlier run."""
    row = state.charted_row
    if row is not None and row.run:
        return f"{state.choices.model}, the earlier run of {row.shown_name}, {row.origin}"
    return f"{state.choices.model}, {names_of(tuple(state.comparison.settings), 8)}"
