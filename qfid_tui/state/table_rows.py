"""The rows of the settings table: offered settings, scored settings, earlier runs.

Pure standard library.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfid_tui.state.choices import MADE
from qfid_tui.state.kv_cost import KVCost, kv_cost
from qfid_tui.state.setting_names import short_name
from qfid_tui.state.setting_results import Figures
from qfid_tui.state.weights_offer import WeightsInfo
from scorer.common.errors import InputError
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import WeightsSetting

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.comparison import Comparison
    from qfid_tui.state.weights_offer import WeightsOffer
    from scorer.runs.comparability import ComparabilityKey
    from scorer.spec.geometry import KVGeometry
    from scorer.spec.settings.base import Setting


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row.

    Attributes:
        name: The setting in notation; "" for the row of the cache at 16 bit.
        setting: The setting; None for 16 bit.
        ticked: Whether it is to be scored; None if the row has no tick box.
        cost: Its memory; None if the model's geometry is not known.
        figures: Its numbers; None before the first chunk.
        kl: Per chunk, mean KL in nats, in the order scored.
        flips: Per chunk, share of flips, 0 to 1.
        in_text: KL and flips in the order of the text, None for a chunk that is not scored; empty
            where the chunks of the run are not known.
        failure: Why it failed; None if it did not.
        waiting: Whether the current run will score it and has not scored its first chunk.
        text_chunks: Chunks of the whole text; 0 if unknown.
        origin: "" for this comparison, else when an earlier run began and on what text.
        run: Id of the earlier run; "" for this comparison.
        chunks: Index of each chunk of ``kl``.
        sizes: Positions scored of each of them.
        depth: Of an earlier run, spans of positions and their KL mean, nats.
        key: What its figures depend on; None before the first chunk.
        differs: In what it differs from the rows that are ranked, in words; empty for those.
        refusal: Why the model cannot take the setting; "" if it can, or if that is not known.
        weights: What is known of its weights; None for the model's own, or if nothing is.
        unreadable: Whether its weights were looked for and nothing could be read of them.
        letters: Letters that it shares with the settings that it cannot be told apart from; ""
            until the run has a report, and where nothing is known of that.
        alike: The settings that it cannot be told apart from, in notation.
    """

    name: str
    setting: Setting | None
    ticked: bool | None
    cost: KVCost | None
    figures: Figures | None = None
    kl: Sequence[float] = ()
    flips: Sequence[float] = ()
    in_text: tuple[Sequence[float | None], Sequence[float | None]] = ((), ())
    failure: str | None = None
    waiting: bool = False
    text_chunks: int = 0
    origin: str = ""
    run: str = ""
    chunks: Sequence[int] = ()
    sizes: Sequence[int] = ()
    depth: Sequence[tuple[int, int, float]] = ()
    key: ComparabilityKey | None = None
    differs: tuple[str, ...] = ()
    refusal: str = ""
    weights: WeightsInfo | None = None
    unreadable: bool = False
    letters: str = ""
    alike: tuple[str, ...] = ()

    @property
    def shown_name(self) -> str:
        """Its short name; ``16 bit`` for the cache at 16 bit."""
        return short_name(self.name) or "16 bit"

    @property
    def has_weights(self) -> bool:
        """Whether it runs weights of its own."""
        return isinstance(self.setting, WeightsSetting)

    @property
    def is_offer(self) -> bool:
        """Whether these are weights that could be compared and that nobody has asked for."""
        return (
            self.has_weights
            and not self.ticked
            and not self.waiting
            and self.figures is None
            and self.failure is None
        )


@dataclass(frozen=True, slots=True)
class EarlierSetting:
    """A setting that an earlier run of the model scored.

    Attributes:
        name: The setting in notation.
        run: Id of the run.
        day: When it began, ``2026-11-24``.
        text: Name of the text it was scored on.
        figures: Its numbers.
        chunks: Indices of its chunks.
        kl: Per chunk, mean KL in nats.
        flips: Per chunk, share of flips, 0 to 1.
        depth: Spans of positions and their KL mean, nats; empty where its report has none.
        sizes: Positions scored of each chunk.
        bytes_per_token: Stored bytes per token; None if the run does not have it.
        key: What its figures depend on.
    """

    name: str
    run: str
    day: str
    text: str
    figures: Figures
    chunks: tuple[int, ...]
    kl: tuple[float, ...]
    flips: tuple[float, ...]
    depth: tuple[tuple[int, int, float], ...]
    sizes: tuple[int, ...]
    bytes_per_token: float | None
    key: ComparabilityKey


def table_rows(
    choices: Choices,
    comparison: Comparison,
    geometry: KVGeometry | None,
    earlier: Iterable[EarlierSetting] = (),
    offer: WeightsOffer | None = None,
) -> list[TableRow]:
    """The rows in order: KV settings, 16 bit, weights, earlier runs.

    Of the weights those of the comparison come first, each followed by its pairs.

    Args:
        choices: The offered and ticked settings.
        comparison: The scored settings.
        geometry: The model's geometry, without layers while it is not known; None for no model.
        earlier: Settings of earlier runs.
        offer: Weights that can be compared with the model; None while that is not known.
    """
    if geometry is not None and not geometry.layers:
        geometry = None
    settings = choices.offered()
    for name in comparison.settings:
        try:
            setting = parse_setting(name)
        except InputError:
            continue
        if setting not in settings:
            settings.append(setting)
    weights = _weights(settings, choices, comparison, offer)
    caches = [setting for setting in settings if not isinstance(setting, WeightsSetting)]
    rows = [_row(setting, choices, comparison, geometry) for setting in caches]
    full = None if geometry is None else kv_cost(geometry, None)
    rows.append(TableRow("", None, None, full))
    for setting in weights:
        row = _row(setting, choices, comparison, geometry)
        source = setting.source.key
        known = weights_info(source, comparison, offer)
        unreadable = known is None and offer is not None and source in offer.asked
        rows.append(dataclasses.replace(row, weights=known, unreadable=unreadable))
    rows = _with_letters(rows, comparison)
    rows += [_earlier_row(row, full) for row in earlier]
    return _compared(rows)


def _with_letters(rows: list[TableRow], comparison: Comparison) -> list[TableRow]:
    """The rows with their letters, where the comparison has a report."""
    groups = None if comparison.report is None else comparison.report.groups
    if groups is None:
        return rows
    alike: dict[str, dict[str, None]] = {}
    for group in groups.letters:
        for name in group.settings:
            alike.setdefault(name, {}).update(dict.fromkeys(group.settings))
    return [
        dataclasses.replace(
            row,
            letters=groups.of(row.name),
            alike=tuple(name for name in alike[row.name] if name != row.name),
        )
        if row.name in alike
        else row
        for row in rows
    ]


def _weights(
    settings: Iterable[Setting],
    choices: Choices,
    comparison: Comparison,
    offer: WeightsOffer | None,
) -> list[WeightsSetting]:
    """The settings with weights of their own, in the order of the table."""
    named = [setting for setting in settings if isinstance(setting, WeightsSetting)]
    scored = [setting for setting in named if setting.key in comparison.settings]
    offered = [] if offer is None else [WeightsSetting(source) for source in offer.sources]
    made = [WeightsSetting(each) for each in MADE if each.key in choices.ticked_weights]
    every = dict.fromkeys((*scored, *offered, *made, *named))
    return [
        setting
        for source in dict.fromkeys(setting.source for setting in every)
        for setting in sorted(every, key=lambda each: each.cache is not None)
        if setting.source == source
    ]


def weights_info(
    source: str, comparison: Comparison, offer: WeightsOffer | None
) -> WeightsInfo | None:
    """What is known of weights, by their notation: as a report says, else as was read."""
    report = comparison.report
    if report is not None:
        for row in report.settings:
            if row.weights is not None and row.setting.partition("+")[0] == source:
                return WeightsInfo.of_facts(row.weights)
    return None if offer is None else offer.known.get(source)


def _earlier_row(row: EarlierSetting, full: KVCost | None) -> TableRow:
    share = None if full is None or row.bytes_per_token is None else row.bytes_per_token
    cost = None
    if full is not None and share is not None:
        cost = KVCost(share, share / full.per_token if full.per_token else 1.0, ())
    return TableRow(
        row.name,
        None,
        None,
        cost,
        row.figures,
        row.kl,
        row.flips,
        (row.kl, row.flips),
        origin=f"{row.day}, {row.text}",
        run=row.run,
        chunks=row.chunks,
        sizes=row.sizes,
        depth=row.depth,
        key=row.key,
    )


def refusal(setting: Setting, geometry: KVGeometry | None) -> str:
    """Why a model cannot take a setting; "" if it can, or if its geometry is not measured."""
    if geometry is None or not geometry.exact:
        return ""
    try:
        setting.resolved(geometry).check(geometry)
    except InputError as error:
        reason = error.message.partition("`: ")[2] or error.message
        if setting.fitting(geometry) is None:
            return re.sub("group size [0-9]+ does not divide", "no group size divides", reason)
        return reason
    return ""


def _compared(rows: list[TableRow]) -> list[TableRow]:
    """The rows with what each differs in from those that are ranked.

    Ranked are the rows of this comparison that a choice is made from, with the earlier rows that
    do not differ from them; where this comparison has no numbers, those of the newest earlier run.
    """
    from scorer.runs.comparability import precedence

    own = [row.key for row in rows if row.key is not None and not row.origin]
    newest = next((row.run for row in rows if row.origin), "")
    keys = own or [row.key for row in rows if row.key is not None and row.run == newest]
    if not keys:
        return rows
    ranked = min(keys, key=precedence)
    return [
        row
        if row.key is None or not (differs := ranked.differences(row.key))
        else dataclasses.replace(row, differs=differs)
        for row in rows
    ]


def _row(
    setting: Setting, choices: Choices, comparison: Comparison, geometry: KVGeometry | None
) -> TableRow:
    name = setting.key
    result = comparison.settings.get(name)
    cost = None if geometry is None else kv_cost(geometry, setting)
    ticked = choices.is_ticked(setting) or choices.is_paired(setting)
    if result is None:
        refused = refusal(setting, geometry)
        return TableRow(name, setting, ticked, None if refused else cost, refusal=refused)
    return TableRow(
        name,
        setting,
        ticked,
        cost,
        result.figures,
        result.kl,
        result.flips,
        result.in_text,
        result.failure,
        waiting=comparison.is_active and not result.chunks and result.failure is None,
        text_chunks=comparison.text_chunks,
        chunks=result.chunks,
        sizes=result.sizes,
        key=comparison.key(name),
    )
