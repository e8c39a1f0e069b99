"""A question with two answers, before something that cannot be undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from qfid_tui.app.screens.panel import PanelScreen
from qfid_tui.app.shown_text import shown
from qfid_tui.app.widgets.key_bar import KeyBar


class ConfirmScreen(PanelScreen[bool]):
    """Asks; dismisses with True for yes, False for no.

    No has the focus: a key too many must not delete anything.
    """

    DEFAULT_CSS = """
    ConfirmScreen .panel {
        width: 64;
        border: round $warning;
    }
    ConfirmScreen #question {
        width: 1fr;
        height: auto;
    }
    ConfirmScreen VerticalScroll {
        height: auto;
        max-height: 12;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "Yes", id="confirm.yes", tooltip="Do what is asked"),
        Binding("n,escape", "no", "No", id="confirm.no", tooltip="Leave everything as it is"),
        Binding("left,h", "app.focus_previous", "Other answer", show=False, id="confirm.previous"),
        Binding("right,l", "app.focus_next", "Other answer", show=False, id="confirm.next"),
    ]

    def __init__(self, question: str, yes: str, no: str) -> None:
        """Ask a question.

        Args:
            question: A sentence; it may name foreign things.
            yes: The verb of the answer that goes ahead.
            no: The verb of the answer that leaves things as they are.
        """
        super().__init__()
        self._question = question
        self._answers = yes, no

    def compose(self) -> ComposeResult:
        """The question above its two answers."""
        yes, no = self._answers
        with VerticalScroll(classes="panel", can_focus=False) as panel:
            panel.border_title = "Sure?"
            with VerticalScroll(can_focus=False):
                yield Static(shown(self._question, 1200), id="question")
            with Horizontal(classes="buttons"):
                yield Button(
                    _labelled("y", yes), "warning", id="yes", compact=True, action="screen.yes"
                )
                yield Button(_labelled("n", no), id="no", compact=True, action="screen.no")
        yield KeyBar()

    def on_mount(self) -> None:
        """Put the focus on the harmless answer."""
        self.query_one("#no").focus()

    def action_yes(self) -> None:
        """Go ahead."""
        self.dismiss(True)

    def action_no(self) -> None:
        """Leave everything as it is."""
        self.dismiss(False)


def ask(app: App[Any], question: str, yes: str, no: str, then: Callable[[], object]) -> None:
    """Put a question, and go ahead if the answer is yes.

    Args:
        app: The app.
        question: The question.
        yes: The word for going ahead.
        no: The word for leaving everything as it is.
        then: Goes ahead.
    """

    def answered(answer: bool | None) -> None:
        if answer:
            then()

    app.push_screen(ConfirmScreen(question, yes, no), answered)


def _labelled(key: str, verb: str) -> Content:
    return Content.assemble(" ", (key, "underline"), "  ", shown(verb, 24), " ")
