"""The grid of weights and KV settings in words: its cells, the cell with the cursor, the answer.

Pure standard library; the widgets make every text inert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from qfid_tui.pictures.canvas import VERDICT_SIGNS
from qfid_tui.state.setting_names import short_name
from qfid_tui.words.about_line import perplexity_text
from qfid_tui.words.progress import done_text, duration, loading_text, where_text
from qfid_tui.words.table_cells import (
    margin_text,
    number_text,
    share_text,
    short_precision,
    verdict_text,
    weights_bytes_text,
)
from scorer.report.deployment_part import REFERENCE_CELL
from scorer.report.formats.inline import ROUGHLY, digits, plural
from scorer.spec.amounts import bytes_word, shown_bytes, tokens_word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qfid_tui.state.comparison import Comparison
    from qfid_tui.state.grid import Grid, GridCell
    from qfid_tui.state.weights_offer import WeightsInfo
    from scorer.report.deployment_part import ContextChoice, DeploymentPart

Line = list[tuple[str, str]]
"""Parts of a line: text and the name of its style."""
Number = Literal["KL", "bytes", "flips"]
"""What stands in a cell of one line."""

FRONTIER = "frontier, at the smallest steps"
_WORDS = {"failed": "✗ failed", "waiting": "· waiting", "ticked": "· ticked", "absent": ""}


def cell_style(cell: GridCell) -> str:
    """Name of the style of a cell; the sign and the brackets say the same without colour."""
    if not cell.fits or cell.status in ("waiting", "ticked", "absent"):
        return "muted"
    if cell.status == "failed":
        return "bad"
    return "text" if cell.figures is None else cell.figures.verdict


def cell_lines(
    cell: GridCell, pick: str | None, width: int, lines: int, number: Number
) -> list[str]:
    """What stands in a cell, a text for each of its lines.

    Args:
        cell: The cell.
        pick: Name of the cell to run; None where there is none.
        width: Cells that a line may take.
        lines: How many lines there are.
        number: What stands in a cell of one line.
    """
    mark = " "
    if pick == cell.name and cell.name:
        mark = "◆"
    elif cell.placed is not None and cell.placed.on_frontier:
        mark = "•"
    head = _number(cell, number if lines == 1 else "KL", width - 3)
    if head and not cell.fits:
        head = f"({head})"
    found = [f"{mark}{head}"]
    size = _size(cell)
    flips = "" if cell.figures is None else share_text(cell.figures.flip_rate)
    letters = f" {cell.letters}" if cell.letters and lines > 2 else ""
    if flips and len(flips) + len(letters) + 8 <= width:
        flips += " flips"
    if flips and len(flips) + len(letters) + 2 <= width:
        flips += letters
    found += [f"  {size}", f"  {flips}"][: lines - 1]
    return found


def _size(cell: GridCell) -> str:
    return "" if cell.placed is None else shown_bytes(cell.placed.total_bytes)


def _number(cell: GridCell, number: Number, width: int) -> str:
    if cell.status == "reference":
        return (_size(cell) if number == "bytes" else "") or "reference"
    figures = cell.figures
    if figures is None or cell.status == "failed":
        return (_size(cell) if number == "bytes" else "") or _WORDS.get(cell.status, "")
    sign = VERDICT_SIGNS.get(figures.verdict, "?")
    end = ("?" if figures.is_open else "") + (" ‖" if cell.dropped else "")
    if number != "KL":
        shown = share_text(figures.flip_rate) if number == "flips" else _size(cell)
        return f"{sign} {shown}{end}"
    room = width - 2 - len(end)
    shown = margin_text(figures, room) if room >= 15 else ""
    if not shown:
        shown = number_text(figures.kl_mean, room, significant=3)
    return f"{sign} {shown}{end}"


def legend_text(grid: Grid, lines: int = 3) -> str:
    """The signs that are in the grid, in cells of so many lines."""
    cells = [cell for row in grid.cells for cell in row]
    parts = ["✓ good ~ marginal ✗ bad"]
    if any(cell.figures is not None and cell.figures.is_open for cell in cells):
        parts.append("? open")
    if grid.pick is not None:
        parts.append("◆ to run")
    if any(cell.placed is not None and cell.placed.on_frontier for cell in cells):
        parts.append("• frontier")
    if any(not cell.fits for cell in cells):
        parts.append("( ) does not fit")
    if any(cell.dropped for cell in cells):
        parts.append("‖ no further")
    if lines > 2 and any(cell.letters for cell in cells):
        parts.append("same letter: not told apart")
    return "  ".join(parts)


def weights_label(grid: Grid, row: int) -> tuple[str, str, str]:
    """Short name of the weights of a row, their bits per weight, their size."""
    info, key = grid.infos[row], grid.weights[row]
    name = grid.name(key)
    if info is None:
        return name, "", ""
    return name, f"{info.bits_per_weight:.2f} bits", weights_bytes_text(info)


def size_text(grid: Grid) -> str:
    """How large the grid is: ``3 weights × 2 KV = 11 cells``."""
    weights, caches = len(grid.weights) - 1, len(grid.caches) - 1
    cells = sum(bool(cell.name) for row in grid.cells for cell in row) - 1
    return cells_text(weights, caches, cells)


def cells_text(weights: int, caches: int, cells: int) -> str:
    """How many settings weights and KV settings come to."""
    if not weights:
        return plural(cells, "KV setting")
    if not caches:
        return f"{plural(cells, 'set')} of weights"
    full = weights * caches + weights + caches
    sign = " =" if cells == full else ":"
    of_weights = f"{weights} weights" if weights > 1 else "1 set of weights"
    return f"{of_weights} × {caches} KV{sign} {plural(cells, 'cell')}"


def grid_title(grid: Grid, comparison: Comparison, width: int) -> str:
    """Model, size of the grid, how far the run is, the bounds; what has room, the last always."""
    name = grid.model.rstrip("/").rpartition("/")[2] or "no model chosen"
    bounds, size, phase = f"bounds of {_bounds(grid)}", size_text(grid), ""
    if comparison.is_active:
        phase = _progress(comparison)
    elif comparison.phase in ("stopped", "failed"):
        phase = comparison.phase
    forms = [
        ["Grid", name, size, phase, f"judged by the {bounds}"],
        ["Grid", size, phase, f"judged by the {bounds}"],
        ["Grid", size, phase, bounds],
        ["Grid", phase or size, bounds],
    ]
    lines = [" · ".join(filter(None, form)) for form in forms]
    return next((line for line in lines if len(line) <= width), lines[-1])


def _bounds(grid: Grid) -> str:
    return "weights" if grid.bounds == "weights" else "KV settings"


def _progress(comparison: Comparison) -> str:
    run = comparison.progress
    if comparison.planned_chunks == 0:
        return "starting" if comparison.step is None else loading_text(comparison.step)
    if run.loading is not None:
        return f"{loading_text(run.loading)}, {done_text(run)}"
    words = [f"{100 * run.fraction:.0f} %", where_text(run)]
    if run.seconds_left is not None:
        words.append(f"{duration(run.seconds_left)} left")
    return ", ".join(words)


def deployment_line(grid: Grid, names: Mapping[str, str]) -> Line:
    """Where the model is to run, with the keys that change it."""
    spec, part = grid.spec, grid.part
    context = "the default" if part is None else tokens_word(part.context)
    if part is None and spec.context is not None:
        context = tokens_word(spec.context)
    memory = "no limit" if spec.memory is None else _memory_word(spec.memory)

    def key(name: str) -> tuple[str, str]:
        return names.get(name, name), "strong"

    return [
        ("memory ", "muted"),
        (memory, "strong"),
        *[(" (", "muted"), key("m"), (" ", "muted"), key("-"), (" ", "muted"), key("+")],
        (") · context ", "muted"),
        (context, "strong"),
        *[(" (", "muted"), key("c"), (" ", "muted"), key("["), (" ", "muted"), key("]")],
        (") · on ", "muted"),
        (spec.device, "strong"),
        *[(" (", "muted"), key("v"), (") · ", "muted")],
        (plural(spec.parallel, "sequence"), "strong"),
        *[(" (", "muted"), key("p"), (")", "muted")],
    ]


def _memory_word(size: int) -> str:
    word = bytes_word(size)
    for unit in ("TB", "GB", "GiB", "MB", "MiB"):
        if word.endswith(unit) and word.removesuffix(unit).isdigit():
            return f"{word.removesuffix(unit)} {unit}"
    return shown_bytes(size)


def about_cell(grid: Grid, row: int, column: int, names: Mapping[str, str]) -> list[Line]:
    """The cell with the cursor: numbers, weights, bytes, what the two do together."""
    cell = grid.cell(row, column)
    lines = [_headline(grid, cell, row, column, names)]
    info = grid.infos[row]
    if info is not None:
        lines.append([("weights ", "muted"), (weights_text(info), "text")])
    placed = cell.placed
    if placed is not None:
        fits = ("✓ fits", "good") if placed.fits else ("✗ does not fit", "bad")
        total = f" {shown_bytes(placed.total_bytes)}"
        # Nobody has measured it there.
        guess = ROUGHLY if grid.spec.device == "metal" else ""
        parts = (
            f" = {shown_bytes(placed.weight_bytes)} weights + {shown_bytes(placed.cache_bytes)} "
            f"KV cache + {guess}{shown_bytes(placed.peak_bytes)} prefill at step {placed.step}"
        )
        head = [] if grid.spec.memory is None else [fits, (": ", "muted")]
        lines.append([*head, (total.strip(), "strong"), (parts, "muted")])
    elif cell.name:
        lines.append([("its bytes are not known yet", "muted")])
    if cell.dropped:
        lines.append(
            [("‖ scored no further: ", "muted"), (plain_names(cell.dropped, grid), "text")]
        )
    if cell.failure:
        lines.append([("✗ ", "bad"), (cell.failure, "text")])
    if cell.kv_verdict:
        sign = VERDICT_SIGNS.get(cell.kv_verdict.rstrip("?"), "?")
        said = f"{sign} {cell.kv_verdict} by the bounds of KV settings"
        lines.append([(said, "muted")])
    if (together := cell.interaction) is not None:
        lines.append([(_sentences(together.sentences, grid), "text")])
        if together.label:
            lines.append([(together.label, "muted")])
    elif grid.weights[row] and grid.caches[column] and cell.name:
        lines.append([(_no_interaction(grid, cell), "muted")])
    return lines


def _headline(grid: Grid, cell: GridCell, row: int, column: int, names: Mapping[str, str]) -> Line:
    name = grid.name(cell.name)
    if cell.status == "reference":
        return [(name, "strong"), (": what every cell is compared with, drift 0", "text")]
    if not cell.name:
        down, across = weights_label(grid, row)[0], grid.caches[column] or "16 bit"
        return [(f"{down} with KV {across} is neither scored nor ticked", "muted")]
    figures = cell.figures
    if figures is None:
        said = {"waiting": ": not scored yet", "failed": ": failed"}.get(cell.status)
        run = names.get("r", "r")
        return [(name, "strong"), (said or f": ticked; {run} in the workbench scores it", "text")]
    open_text = "" if not figures.is_open else " (open: more chunks may change it)"
    return [
        (name, "strong"),
        ("  ", "text"),
        (verdict_text(figures), figures.verdict),
        (
            f"{open_text} · KL {margin_text(figures)} nats · p99 "
            f"{digits(figures.kl_p99, significant=3)} · {share_text(figures.flip_rate)} flips · "
            f"{perplexity_text(figures)} · {plural(figures.chunks, 'chunk')}"
            f"{f' · group {cell.letters}' if cell.letters else ''}",
            "text",
        ),
    ]


def weights_text(info: WeightsInfo) -> str:
    """Weights in words: precision, bits per weight, size."""
    return (
        f"{info.name}: {short_precision(info)} · {info.bits_per_weight:.2f} bits per weight · "
        f"{weights_bytes_text(info)}"
    )


def _no_interaction(grid: Grid, cell: GridCell) -> str:
    if cell.figures is None:
        return ""
    if not grid.is_final:
        return "what the two do together is known when the run ends"
    return "what the two do together is not known: both have to be scored alone too"


def answer_lines(grid: Grid, contexts: DeploymentPart | None, *, any_scored: bool) -> list[Line]:
    """What to run, the frontier over total bytes, and the choice at other contexts.

    Args:
        grid: The grid.
        contexts: The same with other contexts; None while they are computed.
        any_scored: Whether any cell has numbers.
    """
    part = grid.part
    if part is None:
        return [[("What it takes is not known yet: the sizes of the weights are read", "muted")]]
    if not any_scored:
        fitting = sum(cell.fits for row in grid.cells for cell in row if cell.name)
        cells = sum(bool(cell.name) for row in grid.cells for cell in row)
        limit = ", there is no limit" if grid.spec.memory is None else ""
        said = f"Nothing is scored yet: {fitting} of {plural(cells, 'cell')} fit{limit}"
        return [[(said, "text")]]
    so_far = "" if grid.is_final else "so far: "
    style = "text" if part.pick is not None else "bad"
    sign = "◆ " if part.pick is not None else "✗ "
    lines: list[Line] = [[(sign, style), (so_far + _sentences(part.sentences, grid), "text")]]
    lines.append([(f"{FRONTIER}  ", "muted"), *_frontier(grid)])
    if contexts is not None and contexts.contexts:
        lines.append([("by context  ", "muted"), *_contexts(grid, contexts.contexts)])
    lines += [[("! ", "warning"), (plain_names(note, grid), "text")] for note in part.notes]
    lines += [[("$ ", "muted"), (command, "text")] for command in part.commands]
    return lines


def _frontier(grid: Grid) -> Line:
    parts: Line = []
    for cell in grid.frontier:
        placed, figures = cell.placed, cell.figures
        assert placed is not None
        if parts:
            parts.append((" → ", "muted"))
        said = f"{grid.name(cell.name)}: {shown_bytes(placed.least_bytes)}"
        if figures is not None:
            sign = VERDICT_SIGNS.get(figures.verdict, "?") + ("?" if figures.is_open else "")
            said += f", KL {digits(figures.kl_mean, significant=2)} {sign}"
        if not placed.fits:
            said = f"({said})"
        style = "text" if figures is None else figures.verdict
        parts.append((_unbroken(said), style if placed.fits else "muted"))
    return parts or [("nothing is scored yet", "muted")]


def _unbroken(text: str) -> str:
    """A text that is not broken at its blanks."""
    return text.replace(" ", "\u00a0")


def _contexts(grid: Grid, rows: tuple[ContextChoice, ...]) -> Line:
    parts: Line = []
    for index, row in enumerate(rows):
        if parts:
            parts.append(("  ·  ", "muted"))
        name = "nothing fits" if row.setting is None else grid.name(row.setting)
        if row.until is not None:
            at = f"to {tokens_word(row.until)}"
        elif index:
            at = f"to {tokens_word(row.contexts[-1])}"
        else:
            at = f"{tokens_word(row.contexts[0])} to {tokens_word(row.contexts[-1])}"
        parts.append((_unbroken(f"{at}: "), "muted"))
        parts.append((_unbroken(name), "bad" if row.setting is None else "strong"))
    return parts


def _sentences(sentences: tuple[str, ...], grid: Grid) -> str:
    """Sentences of a report one after another; those that begin small go on with the one before."""
    said = ""
    for sentence in sentences:
        shown = plain_names(sentence, grid)
        if said:
            said += ". " if sentence[:1].isupper() else "; "
        said += shown
    return said


def plain_names(text: str, grid: Grid | None = None) -> str:
    """A sentence of a report with settings by their short names.

    Args:
        text: The sentence.
        grid: Names them as it does; None for their usual short names.
    """
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return "".join(parts)
    named = short_name if grid is None else grid.name
    for index in range(1, len(parts), 2):
        parts[index] = "the reference" if parts[index] == REFERENCE_CELL else named(parts[index])
    return "".join(parts)
