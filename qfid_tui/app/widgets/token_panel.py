"""All that is known of the token under the cursor: what both models thought where it was next."""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from qfid_tui.state.token_view import Guess, TokenCost, TokenFacts

Row = tuple[tuple[str, str], ...]
"""Pieces of a line: text, and ``muted``, ``strong`` or "" for its style."""

_PLAIN, _MUTED, _STRONG = "", "muted", "strong"
_LABEL = 11


class TokenPanel(Widget):
    """What was predicted where a token stands, under the reference and under a setting."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"token-panel--muted", "token-panel--strong"}
    DEFAULT_CSS = """
    TokenPanel {
        & > .token-panel--muted { color: $foreground 60%; }
        & > .token-panel--strong { text-style: bold; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._facts: TokenFacts | None = None
        self._setting = ""
        self._message = ""
        self._rows: list[Row] = []
        self._styles: dict[str, Style] = {}

    def show(self, facts: TokenFacts, setting: str, message: str = "") -> None:
        """Show one token.

        Args:
            facts: What is known of it.
            setting: The setting, in notation.
            message: What the last key did not find, or "".
        """
        self._facts, self._setting, self._message = facts, setting, message
        self._lay_out()

    def on_resize(self, event: Resize) -> None:
        """Lay the rows out for the new size: tall beside the text, short below it."""
        self._lay_out()

    def render_line(self, y: int) -> Strip:
        """One row of the panel."""
        row = self._rows[y] if y < len(self._rows) else ()
        segments = [Segment(text, self._style(style)) for text, style in row]
        return Strip(segments).adjust_cell_length(self.content_size.width, self._style(_PLAIN))

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            self._styles[name] = (
                self.get_component_rich_style(f"token-panel--{name}") if name else self.rich_style
            )
        return self._styles[name]

    def notify_style_update(self) -> None:
        """Forget the colours of before."""
        super().notify_style_update()
        self._styles.clear()

    def _lay_out(self) -> None:
        size = self.content_size
        if self._facts is None or not size:
            return
        before, self._rows = self._rows, panel_rows(self._facts, self._setting, *size)
        if self._message:
            del self._rows[size.height - 1 :]
            self._rows += [()] * (size.height - 1 - len(self._rows))
            self._rows.append(((self._message, _STRONG),))
        # Most rows stay as they are when the cursor moves.
        for y, (old, new) in enumerate(zip_longest(before, self._rows)):
            if old != new:
                self.refresh(Region(0, y, size.width, 1))


def panel_rows(facts: TokenFacts, setting: str, width: int, height: int) -> list[Row]:
    """The lines of the panel, for at most ``height`` of them short, else spread out."""
    head = _head(facts, width)
    if facts.cost is None:
        return [*head, (("not scored: ", _STRONG), (facts.unscored, _PLAIN))]
    if height >= 16:
        return [*head, (), *_tall(facts.cost, setting, width)]
    return [*head, *_short(facts.cost, setting, width)]


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


def _head(facts: TokenFacts, width: int) -> list[Row]:
    name = token_name(facts.token, facts.text)
    number = f"  id {facts.token}" if facts.text is not None else ""
    place = f"token {facts.place} of chunk {facts.chunk}"
    where = f"predicted at position {facts.place - 1}" if facts.cost is not None else ""
    title: Row = ((name, _STRONG), (number, _MUTED))
    both = ", ".join(filter(None, (place, where)))
    if cell_len(name + number + both) + 2 <= width:
        rows: list[Row] = [(*title, ("  " + both, _PLAIN))]
    else:
        rows = [title, *(((line, _PLAIN),) for line in (place, where) if line)]
    if facts.parts:
        spelled = (f"part {p.number} of {p.of} of {inert(p.character)}" for p in facts.parts)
        rows.append((("; ".join(spelled), _PLAIN),))
    return rows


def _short(cost: TokenCost, setting: str, width: int) -> list[Row]:
    first = min(_LABEL, width // 4)
    other = (width - first) // 2
    columns = first, other, other
    return [
        _kl_row(cost),
        _table_row(columns, ("", _PLAIN), ("reference", _MUTED), (f"setting {setting}", _MUTED)),
        _table_row(
            columns,
            ("this token", _MUTED),
            (_with_nll(cost.nll_ref), _PLAIN),
            (_with_nll(cost.nll_quant), _PLAIN),
        ),
        _table_row(
            columns,
            ("top token", _MUTED),
            (_guessed(cost.top_ref, other - 1), _PLAIN),
            (_guessed(cost.top_quant, other - 1), _STRONG if cost.flipped else _PLAIN),
        ),
    ]


def _tall(cost: TokenCost, setting: str, width: int) -> list[Row]:
    name = f"setting {setting}"
    label = min(max(cell_len("reference"), cell_len(name)) + 2, width // 2)
    columns = label, width - label
    flip = "the top token flipped" if cost.flipped else "the same top token"
    return [
        (("KL ", _MUTED), (kl_text(cost.kl), _STRONG)),
        ((f"larger than {_share(cost.below)} of {cost.scored:,}".replace(",", " "), _PLAIN),),
        ((f"rank {cost.rank:,}".replace(",", " "), _PLAIN),),
        (),
        (("this token", _MUTED),),
        _table_row(columns, ("reference", _MUTED), (_with_nll(cost.nll_ref), _PLAIN)),
        _table_row(columns, (name, _MUTED), (_with_nll(cost.nll_quant), _PLAIN)),
        (),
        (("top token", _MUTED),),
        _table_row(columns, ("reference", _MUTED), (_guessed(cost.top_ref, columns[1]), _PLAIN)),
        _table_row(
            columns,
            (name, _MUTED),
            (_guessed(cost.top_quant, columns[1]), _STRONG if cost.flipped else _PLAIN),
        ),
        (),
        ((flip, _STRONG if cost.flipped else _PLAIN),),
        (),
        (("Colours and numbers belong to the", _MUTED),),
        (("token that was predicted: position t", _MUTED),),
        (("predicts token t + 1.", _MUTED),),
    ]


def _kl_row(cost: TokenCost) -> Row:
    rank = f"rank {cost.rank} of {cost.scored}, larger than {_share(cost.below)}"
    flip = "flip" if cost.flipped else "no flip"
    return (
        ("KL ", _MUTED),
        (kl_text(cost.kl), _STRONG),
        (f"  {rank}  ", _PLAIN),
        (flip, _STRONG if cost.flipped else _MUTED),
    )


def _with_nll(nll: float) -> str:
    return f"{probability_text(-nll)}, NLL {max(0.0, nll):.3g} nats"


def _guessed(guess: Guess, width: int) -> str:
    """A top token and its probability; a long token gives way to the number."""
    name, chance = token_name(guess.token, guess.text), probability_text(guess.logprob)
    room = width - cell_len(chance) - 1
    if cell_len(name) > room:
        name = set_cell_size(name, max(0, room - 1)).rstrip() + "…"
    return f"{name} {chance}"


def _share(share: float) -> str:
    # Rounded down: only the largest of all is larger than 100 %.
    return f"{math.floor(1000 * share) / 10:.1f} %"


def _table_row(columns: tuple[int, ...], *cells: tuple[str, str]) -> Row:
    return tuple(
        (set_cell_size(text, max(0, width)), style)
        for width, (text, style) in zip(columns, cells, strict=True)
    )
