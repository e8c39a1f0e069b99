"""What the inspector says of one token: what every setting did to its prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from qfid_tui.state.setting_names import short_name
from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from qfid_tui.state.token_view import Guess, TokenCost, TokenFacts

Row = tuple[tuple[str, str], ...]
"""Pieces of a line: text, and ``muted``, ``strong`` or "" for its style."""

PLAIN, MUTED, STRONG = "", "muted", "strong"

_TALL = 16
_CHOSEN, _OTHER = "▸ ", "  "
_REFERENCE = "reference"
_LONGEST_NAME = 16
_FLIP = 4
_GAP = 2
# Narrowest columns: the top token, and the token itself with and without its NLL.
_TOP, _THIS_FULL, _THIS_SHORT = 16, 26, 8
_WIDTH_OF_TWO = 56


def wanted_rows(settings: int) -> int:
    """Rows of the short form in which every setting has a row of its own."""
    return settings + 4


def panel_rows(
    facts: TokenFacts, setting: str, width: int, height: int, message: str = ""
) -> list[Row]:
    """The lines of the panel: short where there are few, else spread out.

    The top tokens of the reference and of the setting are on the first rows that there are.

    Args:
        facts: What is known of the token.
        setting: The setting that is looked at, inert.
        width: Cells of a row.
        height: Rows.
        message: What the last key did or did not find, or "".
    """
    said: list[Row] = [((message, STRONG),)] if message else []
    head = _head(facts, width, height)
    room = height - len(head)
    scored = any(cost is not None for _, cost in facts.settings)
    if facts.cost is None:
        said = said or [(("not scored: ", STRONG), (facts.unscored, PLAIN))]
    if not scored:
        return [*head, *said]
    if height >= _TALL:
        return [*head, *_tall(facts, setting, width, room, said)]
    if not said:
        said = _place_rows(facts.cost, setting, width)
        # The place in the ranking gives way to the settings, and stays if they need two columns.
        count = len(facts.settings)
        needed = 2 + (count if room >= count + 2 else (count + 1) // 2)
        said = said if room - len(said) >= needed else []
    return [*head, *said, *_settings(facts, setting, width, room - len(said))]


def probability_text(logprob: float) -> str:
    """A probability in percent, to three digits, from its logarithm in nats."""
    percent = 100 * math.exp(min(0.0, logprob))
    if percent >= 99.95 or percent == 0:
        return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.3f} %"
    return f"{percent:.1f} %" if percent >= 10 else f"{percent:.3g} %"


def kl_text(kl: float) -> str:
    """KL in nats, to three digits."""
    return "infinite" if math.isinf(kl) else f"{kl:.3g} nats"


def token_name(token: int, text: str | None) -> str:
    """A token as it is written in the panel: quoted text, or its id."""
    if text is not None:
        return f'"{text}"'
    return f"id {token}" if token >= 0 else "not stored"


def other_settings(names: Sequence[str]) -> str:
    """Settings under which something does not happen: "under 8 or 6"; "" for none."""
    shown = [inert(short_name(name)) for name in names]
    if len(shown) > 3:
        return f"under any of the other {len(shown)} settings"
    *first, last = shown or [""]
    return f"under {', '.join(first)} or {last}" if first else f"under {last}" if last else ""


def _head(facts: TokenFacts, width: int, height: int) -> list[Row]:
    """The token and where it is: on one row of a short panel, whatever its width."""
    name = token_name(facts.token, facts.text)
    number = f"  id {facts.token}" if facts.text is not None else ""
    place = f"token {facts.place} of chunk {facts.chunk}"
    where = f"predicted at position {facts.place - 1}" if facts.place else ""
    role = f"role {facts.role}" if facts.role else ""
    both = ", ".join(filter(None, (place, where)))
    title: Row = ((name, STRONG), (number, MUTED))
    parts = "; ".join(f"part {p.number} of {p.of} of {inert(p.character)}" for p in facts.parts)
    if height >= _TALL:
        lines = (both,) if cell_len(both) <= width else (place, where)
        said: list[Row] = [(("role ", MUTED), (facts.role, STRONG))] if role else []
        return [title, *(((line, PLAIN),) for line in (*lines, parts) if line), *said]
    # What comes first gives way last.
    wanted = [parts, role, place, number.strip(), where]
    kept: list[str] = []
    room = width - cell_len(name)
    for piece in wanted:
        if piece and cell_len(piece) + 2 <= room:
            kept.append(piece)
            room -= cell_len(piece) + 2
    return [((name, STRONG), *(("  " + p, MUTED if p == number.strip() else PLAIN) for p in kept))]


def _place_rows(cost: TokenCost | None, setting: str, width: int) -> list[Row]:
    """KL of the setting and its place among all tokens, on one row."""
    if cost is None:
        return []
    first: Row = ((f"setting {setting}: KL ", MUTED), (kl_text(cost.kl), STRONG))
    rank = f", rank {cost.rank} of {cost.scored}"
    share = f", larger than {_share(cost.below)}"
    room = width - sum(cell_len(text) for text, _ in first)
    text = rank + share if cell_len(rank + share) <= room else rank
    return [(*first, (text, PLAIN))]


def _tall(facts: TokenFacts, setting: str, width: int, height: int, said: list[Row]) -> list[Row]:
    rows: list[Row] = [()]
    if (cost := facts.cost) is not None:
        rows += [
            ((f"setting {setting}: KL ", MUTED), (kl_text(cost.kl), STRONG)),
            ((f"larger than {_share(cost.below)} of {_grouped(cost.scored)}", PLAIN),),
            ((f"rank {_grouped(cost.rank)}", PLAIN),),
        ]
    rows += [*(said or [()]), ()]
    count = len(facts.settings)
    # The table of top tokens first; the token itself under every setting where there is room.
    table = _settings(facts, setting, width, height - len(rows), this=False)
    rows += table
    if height - len(rows) >= count + 3:
        rows += [(), *_this_token(facts, setting, width)]
    notes = (
        "Colours and numbers belong to the",
        "token that was predicted: position t",
        "predicts token t + 1.",
    )
    if height - len(rows) >= len(notes) + 1:
        rows += [(), *(((note, MUTED),) for note in notes)]
    return rows


def _this_token(facts: TokenFacts, setting: str, width: int) -> list[Row]:
    label = _name_width(facts, width) + 3
    columns = label, width - label
    reference = _reference(facts)
    rows: list[Row] = [
        (("this token", MUTED),),
        _table_row(columns, (_OTHER + _REFERENCE, MUTED), (_with_nll(reference.nll_ref), PLAIN)),
    ]
    for name, cost in facts.settings:
        text = "not scored" if cost is None else _with_nll(cost.nll_quant)
        rows.append(_table_row(columns, _label(name, setting), (text, PLAIN)))
    return rows


def _settings(
    facts: TokenFacts, setting: str, width: int, height: int, *, this: bool = True
) -> list[Row]:
    """The reference and every setting: KL, flip, top token, and the token itself with ``this``.

    With fewer rows than settings they stand in two columns, and where that is not enough those
    around the one that is looked at are shown, with how many are left out.
    """
    count, room = len(facts.settings), height - 2
    if count > max(room, 0) and width >= _WIDTH_OF_TWO:
        return _in_two(facts, setting, width, height)
    columns = _columns(_name_width(facts, width), width, this)
    reference = _reference(facts)
    rows: list[Row] = []
    if height >= 3:
        heads = ("", "KL nats ", "", "top token", "this token")
        heads = (heads[0], _right(heads[1], columns[1]), *heads[2:])
        rows.append(_table_row(columns, *((text, MUTED) for text in heads[: len(columns)])))
    cells = [(_OTHER + _REFERENCE, MUTED), ("", PLAIN), ("", PLAIN)]
    cells.append((_guessed(reference.top_ref, columns[3] - 1), PLAIN))
    if len(columns) > 4:
        cells.append((_this(reference.nll_ref, columns[4]), PLAIN))
    rows.append(_table_row(columns, *cells))
    rows += [
        _setting_row(name, cost, setting, columns)
        for name, cost in _window(facts, setting, max(1, height - len(rows)))
    ]
    return rows


def _in_two(facts: TokenFacts, setting: str, width: int, height: int) -> list[Row]:
    each = (width - _GAP) // 2
    label = _name_width(facts, each)
    columns = _columns(label, each, this=False)
    reference = _reference(facts)
    top = _guessed(reference.top_ref, max(20, width // 3))
    row: Row = ((f"{_OTHER}{_REFERENCE}  top token ", MUTED), (top, PLAIN))
    pieces = [f"   this token {probability_text(-reference.nll_ref)}"]
    if facts.cost is not None:
        pieces.append(f", {probability_text(-facts.cost.nll_quant)} under {setting}")
    for piece in pieces:
        if sum(cell_len(text) for text, _ in row) + cell_len(piece) <= width:
            row = (*row, (piece, PLAIN))
    rows = [row]
    room = max(1, height - 1)
    if room > (len(facts.settings) + 1) // 2:
        heads = ("", _right("KL nats ", columns[1]), "", "top token")
        head = _table_row(columns, *((text, MUTED) for text in heads))
        rows.append((*head, (" " * _GAP, PLAIN), *head))
        room -= 1
    shown = _window(facts, setting, 2 * room)
    half = (len(shown) + 1) // 2
    for i in range(half):
        row = _setting_row(*shown[i], setting, columns)
        if i + half < len(shown):
            row = (*row, (" " * _GAP, PLAIN), *_setting_row(*shown[i + half], setting, columns))
        rows.append(row)
    return rows


def _window(facts: TokenFacts, setting: str, room: int) -> Sequence[tuple[str, TokenCost | None]]:
    """As many settings as there is room for, the one that is looked at among them."""
    count = len(facts.settings)
    if count <= room:
        return facts.settings
    names = [name for name, _ in facts.settings]
    at = names.index(setting) if setting in names else 0
    first = max(0, min(at - room // 2, count - room))
    return facts.settings[first : first + room]


def _columns(label: int, width: int, this: bool) -> tuple[int, ...]:
    """Cells of name, KL, flip, top token and, where there is room, the token itself."""
    narrow = width < 50
    first, kl, flip = label + 3, 9 if narrow else 11, _FLIP + 1 if narrow else _FLIP + 2
    rest = width - first - kl - flip
    for own in (_THIS_FULL, _THIS_SHORT) if this else ():
        if rest - own - 1 >= _TOP:
            return first, kl, flip, rest - own, own
    return first, kl, flip, rest


def _setting_row(name: str, cost: TokenCost | None, setting: str, columns: tuple[int, ...]) -> Row:
    label = _label(name, setting)
    if cost is None:
        return _table_row((columns[0], sum(columns[1:])), label, (" not scored here", MUTED))
    kl = next(
        (text for text in (f"{cost.kl:.{digits}g}" for digits in (3, 2)) if len(text) < columns[1]),
        f"{cost.kl:.1g}",
    )
    kl = "infinite" if math.isinf(cost.kl) else kl
    style = STRONG if cost.flipped else PLAIN
    cells = [
        label,
        (_right(kl + " ", columns[1]), label[1]),
        ("flip", STRONG) if cost.flipped else ("same", MUTED),
        (_guessed(cost.top_quant, columns[3] - 1), style),
    ]
    if len(columns) > 4:
        cells.append((_this(cost.nll_quant, columns[4]), PLAIN))
    return _table_row(columns, *cells)


def _label(name: str, setting: str) -> tuple[str, str]:
    text = inert(short_name(name))
    if cell_len(text) > _LONGEST_NAME:
        # Two settings often differ at the end only.
        half = _LONGEST_NAME // 2
        text = f"{text[: half - 1]}…{text[-half:]}"
    return (_CHOSEN + text, STRONG) if name == setting else (_OTHER + text, PLAIN)


def _name_width(facts: TokenFacts, width: int) -> int:
    names = [cell_len(inert(short_name(name))) for name, _ in facts.settings]
    longest = max(*names, cell_len(_REFERENCE) if width >= 40 else 0, 1)
    return min(longest, _LONGEST_NAME)


def _reference(facts: TokenFacts) -> TokenCost:
    """A setting whose numbers hold what the reference said here: it is the same under all."""
    found = facts.cost
    if found is None:
        found = next(cost for _, cost in facts.settings if cost is not None)
    return found


def _this(nll: float, width: int) -> str:
    text = _with_nll(nll)
    return text if cell_len(text) <= width else probability_text(-nll)


def _with_nll(nll: float) -> str:
    return f"{probability_text(-nll)}, NLL {max(0.0, nll):.3g} nats"


def _guessed(guess: Guess, width: int) -> str:
    """A top token and its probability; a long token gives way to the number, if both have room."""
    name, chance = token_name(guess.token, guess.text), probability_text(guess.logprob)
    room = width - cell_len(chance) - 1
    alone = room < min(cell_len(name), 4)
    room = max(0, width) if alone else room
    if cell_len(name) > room:
        name = set_cell_size(name, max(0, room - 1)).rstrip() + "…" if room else ""
    return name if alone else f"{name} {chance}"


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _share(share: float) -> str:
    # Rounded down: only the largest of all is larger than 100 %.
    return f"{math.floor(1000 * share) / 10:.1f} %"


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _table_row(columns: tuple[int, ...], *cells: tuple[str, str]) -> Row:
    return tuple(
        (set_cell_size(text, max(0, width)), style)
        for width, (text, style) in zip(columns, cells, strict=True)
    )
