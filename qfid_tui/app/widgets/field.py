"""A field to type in that draws nothing raw."""

from __future__ import annotations

from textual.events import Key, Paste
from textual.widgets import Input

from scorer.common.inert_text import inert
from scorer.report.formats.inline import plural


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
        takes_list: bool = False,
        id: str | None = None,
    ) -> None:
        """As for Textual's own.

        Args:
            value: What stands in it at first.
            placeholder: What stands there while it is empty.
            compact: Whether it has no border.
            select_on_focus: Whether what is typed replaces the value.
            takes_list: Whether lines that are pasted become a list with commas between.
            id: As for any widget.
        """
        super().__init__(
            value, placeholder, compact=compact, select_on_focus=select_on_focus, id=id
        )
        self.cursor_blink = False
        self._takes_list = takes_list

    async def _on_key(self, event: Key) -> None:
        """Act on the field's own keys here, in the order in which they come.

        Textual inserts a character at once, but a key that is bound, as backspace is, goes up to
        the app first and acts when its turn comes: of keys that are read at once, as over a slow
        line, characters would overtake it. Textual's own handler follows for all others.
        """
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return

    def _on_paste(self, event: Paste) -> None:
        """Take all lines as a list; of a field that takes none say what is left out."""
        lines = [line for line in map(str.strip, event.text.splitlines()) if line]
        if len(lines) < 2:
            # Textual's own handler follows.
            return
        event.prevent_default()
        taken = ", ".join(line.strip(" ,") for line in lines) if self._takes_list else lines[0]
        super()._on_paste(Paste(taken))
        event.stop()
        if not self._takes_list:
            left = plural(len(lines) - 1, "more line")
            text = f"The field takes one line: {left} of what was pasted left out"
            self.notify(text, severity="warning", markup=False)

    def validate_value(self, value: str) -> str:
        """Every value, typed, pasted or set, before it is drawn."""
        return inert(value)
