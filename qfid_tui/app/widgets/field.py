"""A field to type in that draws nothing raw."""

from __future__ import annotations

from textual.widgets import Input

from scorer.common.inert_text import inert


class Field(Input):
    """Textual's own, whose cursor does not blink and whose value is made inert.

    Textual writes a value to the terminal as it is: a control character that was pasted, or that
    stands in the name of a file, would act there.
    """

    def __init__(
        self,
        value: str | None = None,
        *,
        placeholder: str = "",
        compact: bool = True,
        select_on_focus: bool = True,
        id: str | None = None,
    ) -> None:
        """As for Textual's own."""
        super().__init__(
            value, placeholder, compact=compact, select_on_focus=select_on_focus, id=id
        )
        self.cursor_blink = False

    def validate_value(self, value: str) -> str:
        """Every value, typed, pasted or set, before it is drawn."""
        return inert(value)
