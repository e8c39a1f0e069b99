"""The settings in words: the line below the settings table, and the second line of its rows.

Pure standard library; the widgets make every text inert.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qfid_tui.state.kv_cost import CONTEXTS, short_bytes
from qfid_tui.state.setting_names import short_name
from qfid_tui.words.table_cells import weights_bytes_text
from scorer.report.formats.inline import count, digits, plural
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.weights import WeightsSetting
from scorer.stats.verdict import Lack

if TYPE_CHECKING:
    from qfid_tui.state.kv_cost import KVCost
    from qfid_tui.state.setting_results import Figures
    from qfid_tui.state.table_rows import TableRow
    from qfid_tui.state.workbench import WorkbenchState
    from scorer.spec.settings.base import Setting

METRICS = {"kl_mean": "KL mean", "kl_p99": "KL p99", "flip_rate": "flips"}
"""Names of the metrics that a verdict rests on."""
_LACKS: dict[Lack, str] = {
    "one chunk": "one chunk has no interval",
    "few positions": "too few positions",
    "no width": "all chunks are equal",
    "no look": "no interval before a look",
    "few units": "too few independent units",
}
_MOST_ALIKE = 3
ABOUT_FILTER = "arrows move, enter takes the model, esc shows all again"


def about_text(state: WorkbenchState, width: int) -> str:
    """What the line below the settings table says: about the item with the cursor.

    Args:
        state: The state of the workbench.
        width: Cells of the line; a part that does not fit is left out whole.
    """
    if state.focus == "options":
        return state.option.explained
    if state.focus == "models":
        return about_models(state.scorable_models, state.key_names, width)
    if state.focus == "filter":
        return ABOUT_FILTER
    return about_row(
        state.row,
        # The title of a table with low rows says them.
        with_costs=state.has_numbers and state.tall_rows,
        with_note=not state.tall_rows,
        width=width,
        names=state.key_names,
    )


def about_models(scorable: int, names: Mapping[str, str], width: int) -> str:
    """The keys of the list of models.

    Args:
        scorable: Number of models that can be scored, the built-in one included.
        names: Default keys to the user's own keys.
        width: Cells of the line: the longest form that fits is taken.
    """
    run, find = (names.get(key, key) for key in ("r", "/"))
    keys, short = f"enter takes the model, {run} runs it at once", f"enter takes it, {run} runs it"
    if scorable > 1:
        forms = [f"{keys}, {find} filters", f"{short}, {find} filters"]
    else:
        pull = "no other is cached: `qfid pull org/name`"
        forms = [f"{keys} · {pull}", f"{short} · {pull}", f"{pull} fetches one", pull]
    return next((form for form in forms if len(form) <= width), forms[-1])


def about_row(
    row: TableRow | None,
    *,
    with_costs: bool,
    with_note: bool,
    width: int,
    names: Mapping[str, str],
) -> str:
    """Describe a row of the settings table.

    Args:
        row: The row; None for none.
        with_costs: Include the costs, because the table has no column for them.
        with_note: Include the note, because the rows of the table have no second line.
        width: Cells of the line; a part that does not fit is left out whole.
        names: Default keys to the user's own keys.
    """
    if row is None:
        return ""
    if row.origin:
        detail, inspect = (names.get(key, key) for key in ("d", "i"))
        opened = f"{row.shown_name}: an earlier run, {row.origin}; {detail} and {inspect} open it"
        return _with_differences(opened, row, width)
    if row.refusal:
        return f"this model cannot take {row.shown_name}: {row.refusal}"
    words = [_described(row, width)]
    if with_note and (row.figures is not None or row.failure is not None):
        words = [f"{row.shown_name}: {note(row)}"]
    if with_note and row.figures is not None:
        words.append(f"KL p99 {digits(row.figures.kl_p99, significant=3)}")
    while len(words) > 1 and len(" · ".join(words)) > width:
        words.pop()
    said = _with_differences(" · ".join(words), row, width)
    if with_costs and row.cost is not None and not row.is_offer:
        costs = context_costs(row.cost)
        # The cost at the longest context is left out last.
        for first in range(len(costs)):
            longer = f"{said} · KV {', '.join(costs[first:])}"
            if len(longer) <= width:
                return longer
    return said


def context_costs(cost: KVCost) -> list[str]:
    """The memory of the cache at each context: ``8k 61.9 MiB``."""
    return [
        f"{tokens >> 10}k {cost.sign}{short_bytes(held)}"
        for tokens, held in zip(CONTEXTS, cost.at, strict=False)
    ]


def _with_differences(said: str, row: TableRow, width: int) -> str:
    """The text and why the row is not ranked with the others, as many reasons as have room."""
    for n in range(len(row.differs), 0, -1):
        more = f" and {len(row.differs) - n} more" if n < len(row.differs) else ""
        longer = f"{said} · not ranked here: {', '.join(row.differs[:n])}{more}"
        if len(longer) <= width:
            return longer
    if not row.differs:
        return said
    short = f"{row.shown_name}: not ranked here: {row.differs[0]}"
    return short if len(short) <= width else f"{said} · not ranked here"


def note(row: TableRow, *, with_hidden: bool = False) -> str:
    """What a row's numbers mean, in a few words; its costs if it has no numbers.

    Args:
        row: The row.
        with_hidden: Include the 99th percentile of KL and the change of perplexity, for which a
            narrow table has no columns.
    """
    figures = row.figures
    if row.failure is not None or row.refusal:
        return row.failure or row.refusal
    if row.origin:
        return row.origin
    if figures is None and row.is_offer:
        return "" if row.weights is None else row.weights.precision
    if figures is None:
        if row.cost is None:
            return ""
        return " · ".join(context_costs(row.cost))
    words = [plural(figures.chunks, "chunk")]
    if with_hidden:
        words.append(f"p99 {digits(figures.kl_p99, significant=3)}")
    if figures.chunks == 1 and not figures.final:
        words.append("no interval yet")
    elif figures.is_open:
        words.append(f"open: {_open(figures, row.text_chunks)}")
    elif figures.held_by:
        words.append("held down by " + ", ".join(METRICS.get(m, m) for m in figures.held_by))
    if row.alike:
        words.append(alike_text(row))
    if with_hidden:
        # Last: where it has no room, the panel of the run says it of the row with the cursor.
        words.append(perplexity_text(figures))
    return " · ".join(words)


def alike_text(row: TableRow) -> str:
    """Which settings a row cannot be told apart from."""
    names = [short_name(name) for name in row.alike[:_MOST_ALIKE]]
    more = len(row.alike) - len(names)
    return f"not told apart from {', '.join(names)}" + (f" and {more} more" if more else "")


def perplexity_text(figures: Figures) -> str:
    """The change of perplexity: ``Δppl +0.32``."""
    return f"Δppl {digits(figures.perplexity_delta, sign=True, significant=2)}"


def _open(figures: Figures, text_chunks: int) -> str:
    """Why a verdict is open, and what would settle it."""
    if figures.without_interval:
        return _LACKS[figures.without_interval[0].why]
    if figures.below_noise_floor:
        return "within the noise floor"
    more = figures.more_chunks
    if more is None:
        return "on a bound"
    if 0 < text_chunks < figures.chunks + more:
        return "this text cannot settle it"
    return f"about {count(more)} more to settle"


def _described(row: TableRow, width: int) -> str:
    if row.setting is None:
        return "16 bit: the cache as it is without quantization"
    if row.has_weights:
        return weights_text(row)
    text = setting_text(row.setting)
    return text if len(text) <= width else setting_text(row.setting, short=True)


def weights_text(row: TableRow) -> str:
    """Weights in words, and what their cache is."""
    known = row.weights
    said = row.shown_name
    if known is not None:
        said += f": {known.precision}, {weights_bytes_text(known)}"
    setting = row.setting
    if isinstance(setting, WeightsSetting) and setting.cache is not None:
        said += f"; {setting_text(setting.cache, short=True)}"
    return said


def setting_text(setting: Setting, *, short: bool = False) -> str:
    """A setting in words; its key where there are none for it.

    Args:
        setting: The setting.
        short: In fewer words.
    """
    if not isinstance(setting, KVSetting) or not setting.is_stock:
        return setting.key
    if setting.k_bits == setting.v_bits:
        text = f"{setting.k_bits}-bit keys and values"
    else:
        text = f"keys {setting.k_bits} bit, values {setting.v_bits} bit"
    text += f", groups of {setting.group_size}"
    if setting.start:
        full = "16 bit" if short else "at full precision"
        text += f", {'' if short else 'the '}first {setting.start} tokens {full}"
    return text + (", dequantized" if setting.path == "dequantized" else "")
