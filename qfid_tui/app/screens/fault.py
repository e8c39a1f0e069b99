"""What went wrong with a run, the last words of its process, what is saved, and how to go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from qfid_tui.app import clipboard
from qfid_tui.app.screens.panel import PanelScreen
from qfid_tui.app.shown_text import shown
from qfid_tui.app.widgets.key_bar import KeyBar
from scorer.report.formats.inline import plural

_LOG_LINES = 200
_LINE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Fault:
    """A run that ended otherwise than it should have.

    Attributes:
        title: What happened, a few words.
        message: What went wrong and with which input, a sentence.
        hint: What to do next, or "".
        log: The last lines of the process's own words, oldest first.
        scored: Chunks that were scored, counted per setting.
        saved: How many of them are saved.
        run: Id of the saved run that can go on, or None.
    """

    title: str
    message: str
    hint: str
    log: tuple[str, ...]
    scored: int
    saved: int
    run: str | None


class FaultScreen(PanelScreen[Literal["resume"] | None]):
    """Shows a fault; dismisses with ``resume`` where the user wants to go on, else None."""

    DEFAULT_CSS = """
    FaultScreen .panel {
        width: 100;
        border: round $error;
    }
    FaultScreen #what {
        height: auto;
        max-height: 8;
    }
    FaultScreen #what Static {
        height: auto;
    }
    FaultScreen #log-box {
        height: auto;
        min-height: 1;
        max-height: 9;
        margin-top: 1;
        padding: 0 1;
        background: $background;
    }
    FaultScreen.-tall #log-box {
        max-height: 22;
    }
    FaultScreen #log {
        height: auto;
        color: $text-muted;
    }
    FaultScreen #saved {
        height: auto;
        margin-top: 1;
    }
    """
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        # The key that goes on is that of the workbench.
        Binding("r", "resume", "Go on", id="fault.resume", tooltip="Score what the run lacks"),
        Binding("escape", "close", "Close", id="fault.close", tooltip="Back to the screen behind"),
        Binding("c", "copy", "Copy log", id="fault.copy", tooltip="Message and log to clipboard"),
        Binding("down,j", "scroll_log(1)", "Log", show=False, id="fault.down"),
        Binding("up,k", "scroll_log(-1)", "Log", show=False, id="fault.up"),
        Binding("pagedown", "scroll_log(8)", "Log", show=False, id="fault.page_down"),
        Binding("pageup", "scroll_log(-8)", "Log", show=False, id="fault.page_up"),
        Binding("left,h", "app.focus_previous", "Buttons", show=False, id="fault.previous"),
        Binding("right,l", "app.focus_next", "Buttons", show=False, id="fault.next"),
    ]

    def __init__(self, fault: Fault) -> None:
        """Show a fault."""
        super().__init__()
        self.fault = fault

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Going on needs a run that can."""
        return self.fault.run is not None if action == "resume" else True

    def compose(self) -> ComposeResult:
        """Message and hint, the log, what is saved, the ways on."""
        fault = self.fault
        with VerticalScroll(classes="panel", can_focus=False) as panel:
            panel.border_title = Content.assemble("✗ ", shown(fault.title, 60))
            with VerticalScroll(id="what", can_focus=False):
                yield Static(shown(fault.message, 2000))
                if fault.hint:
                    yield Static(Content.assemble(("→ ", "bold"), shown(fault.hint, 1000)))
            if fault.log:
                with VerticalScroll(id="log-box", can_focus=False) as log:
                    log.border_title = "last lines of its log"
                    yield Static(self._log(), id="log")
            yield Static(self._saved(), id="saved")
            with Horizontal(classes="buttons"):
                if fault.run is not None:
                    yield Button(
                        Content(" Go on "),
                        "primary",
                        id="resume",
                        compact=True,
                        action="screen.resume",
                    )
                yield Button(Content(" Close "), id="close", compact=True, action="screen.close")
        yield KeyBar()

    def on_mount(self) -> None:
        """Show the newest lines, and let enter take the first way on."""
        self.query(Button).first().focus()
        for log in self.query("#log-box"):
            log.scroll_end(animate=False)

    def _log(self) -> Content:
        lines = self.fault.log[-_LOG_LINES:]
        return Content("\n").join(shown(line, _LINE_LENGTH) for line in lines)

    def _saved(self) -> Content:
        fault = self.fault
        if not fault.scored and not fault.saved:
            return Content("Nothing had been scored yet, so nothing is lost.")
        scored = plural(fault.scored, "scored chunk")
        if not fault.saved:
            return Content(f"✗ Not saved any more: {scored}")
        kept = f"✓ {plural(fault.saved, 'scored chunk')} saved"
        if fault.saved < fault.scored:
            kept = f"✓ {fault.saved} of {scored} saved"
        if fault.run is None:
            return Content(kept)
        return Content.assemble(kept, " in run ", shown(fault.run, 120))

    def action_resume(self) -> None:
        """Close, and have the run continued."""
        self.dismiss("resume")

    def action_close(self) -> None:
        """Close, and leave the run as it is."""
        self.dismiss(None)

    def action_scroll_log(self, lines: int) -> None:
        """Move the log, or a long message where there is no log."""
        box = self.query_one("#log-box" if self.fault.log else "#what")
        box.scroll_relative(y=lines, animate=False)

    def action_copy(self) -> None:
        """Copy the fault as text, for a bug report."""
        self.run_worker(self._copy(), exit_on_error=False)

    async def _copy(self) -> None:
        fault = self.fault
        text = "\n".join((fault.title, fault.message, fault.hint, "", *fault.log)) + "\n"
        self.notify(f"Log {await clipboard.copy(self.app, text)}", markup=False)
