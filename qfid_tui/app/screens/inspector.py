"""The token inspector: the text of a saved run, and what quantization changed at every token."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.app.widgets.token_legend import TokenLegend
from qfid_tui.app.widgets.token_panel import TokenPanel
from qfid_tui.app.widgets.token_text import TokenText
from qfid_tui.state.text_names import text_name
from qfid_tui.words.model_list import shortened
from scorer.common.errors import QfidError
from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from qfid_tui.state.token_view import TokenView


def _key(keys: str, action: str, name: str, tooltip: str, show: bool = False) -> Binding:
    identifier = f"inspector.{name.lower().replace(' ', '_')}"
    return Binding(keys, action, name, show=show, id=identifier, tooltip=tooltip)


class InspectorScreen(Screen[None]):
    """The text of a run's chunks with a cursor on one token and all that is known of it.

    The distribution at position t predicts token t + 1; colours, marks and numbers belong to the
    token that was predicted.
    """

    DEFAULT_CSS = """
    InspectorScreen {
        layout: vertical;
        #title { height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; }
        #notice { height: auto; max-height: 2; padding: 0 1; color: $text-warning; display: none; }
        #notice.-shown { display: block; }
        #body { height: 1fr; }
        #text { height: 1fr; width: 1fr; }
        #waiting { height: 1fr; padding: 1 2; }
        #panel { height: 7; border-top: solid $foreground 25%; padding: 0 1; }
        &.-wide #body { layout: horizontal; }
        &.-wide #panel {
            width: 44; height: 1fr; border-top: none; border-left: solid $foreground 25%;
        }
        &.-reading #text, &.-reading #panel { display: none; }
        &.-ready #waiting { display: none; }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012
    AUTO_FOCUS = "#text"
    BINDINGS: ClassVar[list[BindingType]] = [
        _key("question_mark", "help", "Help", "Explain the keys and the numbers", True),
        _key("n", "flip(1)", "Flip", "Go to the next token whose top token changed", True),
        _key("m", "largest(1)", "Worst", "Go to the largest KL, then the next largest", True),
        _key("right_square_bracket", "chunk(1)", "Chunk", "Go to the next chunk", True),
        _key("s", "setting(1)", "Setting", "Show the next setting at the same token", True),
        _key("b", "bars", "Bars", "Show the KL as a bar on each token", True),
        _key("escape", "back", "Back", "Leave the inspector", True),
        _key("N", "flip(-1)", "Previous flip", "Go to the flip before the cursor"),
        _key("M", "largest(-1)", "Worse", "Go back to the next larger KL"),
        _key("left_square_bracket", "chunk(-1)", "Previous chunk", "Go to the chunk before"),
        _key("S", "setting(-1)", "Previous setting", "Show the setting before"),
        _key("tab", "setting(1)", "Setting on", "Show the next setting at the same token"),
        _key("shift+tab", "setting(-1)", "Setting back", "Show the setting before"),
        _key("left,h", "token(-1)", "Previous token", "Move the cursor one token back"),
        _key("right,l", "token(1)", "Next token", "Move the cursor one token on"),
        _key("up,k", "line(-1)", "Line up", "Move the cursor one line up"),
        _key("down,j", "line(1)", "Line down", "Move the cursor one line down"),
        _key("pageup,ctrl+b", "page(-1)", "Page up", "Move the cursor one page up"),
        _key("pagedown,ctrl+f,space", "page(1)", "Page down", "Move the cursor one page down"),
        _key("home,0", "edge(False)", "Line start", "Go to the first token of the line"),
        _key("end,dollar_sign", "edge(True)", "Line end", "Go to the last token of the line"),
        _key("g", "end(False)", "First token", "Go to the first token of the text"),
        _key("G", "end(True)", "Last token", "Go to the last token of the text"),
    ]

    def __init__(
        self,
        run: str,
        setting: str,
        *,
        chunk: int | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        """Inspect a saved run.

        Args:
            run: Id of the run.
            setting: The setting to show first, in notation.
            chunk: Index of the chunk to begin with; None for the first one scored.
            settings: The settings to switch among; all of the run where empty.
        """
        super().__init__()
        self._run, self._setting, self._chunk = run, setting, chunk
        self._wanted = tuple(settings)
        self._settings: tuple[str, ...] = (setting,)
        self._view: TokenView | None = None
        # Where the walk by KL is: the rank of the token it went to, and that token.
        self._walk = (-1, -1)
        # What the panel shows: setting, token, message.
        self._shown = ("", -1, "")

    def compose(self) -> ComposeResult:
        """The title, the text with its panel, the legend."""
        text = TokenText(id="text")
        yield Static(id="title", markup=False)
        yield Static(id="notice", markup=False)
        with Container(id="body"):
            yield Static(f"reading {inert(self._run)} …", id="waiting", markup=False)
            yield text
            yield TokenPanel(id="panel")
        yield TokenLegend(text)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the run in a thread; the screen never waits."""
        self.add_class("-reading")
        # Without colours the levels are told apart by their bars.
        self._text.show_bars(self.app.no_color)
        read = partial(_read, self._run, self._wanted)
        self.run_worker(read, name="read", thread=True, exit_on_error=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show what was read, or why nothing could be."""
        if event.state == WorkerState.ERROR:
            self._failed(event.worker.error)
        elif event.state == WorkerState.SUCCESS and event.worker.result is not None:
            self._begin(event.worker.result)

    def on_token_text_moved(self, event: TokenText.Moved) -> None:
        """The mouse has moved the cursor, or a key whose action has seen to it."""
        if event.token != self._shown[1]:
            self._show_token()

    @property
    def _text(self) -> TokenText:
        return self.query_one(TokenText)

    def _begin(self, view: TokenView) -> None:
        self._view = view
        self._settings = tuple(dict.fromkeys((*view.settings, self._setting)))
        if view.notice:
            notice = self.query_one("#notice", Static)
            notice.update(inert(view.notice))
            notice.add_class("-shown")
        self.remove_class("-reading").add_class("-ready")
        self._text.cursor = view.first_scored(self._setting, self._chunk)
        self._show_setting()
        self._text.focus()
        self.refresh_bindings()

    def _failed(self, error: BaseException | None) -> None:
        if isinstance(error, QfidError):
            message = "\n".join(filter(None, (error.message, error.hint)))
        else:
            message = f"the run could not be read: {type(error).__name__}: {error}"
        lines = [inert(line) for line in message.splitlines()]
        self.query_one("#waiting", Static).update("\n".join([*lines, "", "escape goes back"]))

    def _show_setting(self) -> None:
        if self._view is not None:
            self._walk = (-1, -1)
            self._text.show(self._view, self._setting)
            self.query_one("#title", Static).update(self._title())
            self._show_token()

    def _show_token(self, message: str = "") -> None:
        """Let the panel follow the cursor, in the same repaint where a key has moved it."""
        wanted = self._setting, self._text.cursor, message
        if self._view is not None and wanted != self._shown:
            self._shown = wanted
            facts = self._view.facts(*wanted[:2])
            self.query_one(TokenPanel).show(facts, inert(self._setting), message)

    def _title(self) -> Content:
        assert self._view is not None
        width = max(20, self.app.size.width // 2)
        name = f"{shortened(self._view.model, width)} · {text_name(self._view.corpus)} · setting"
        parts: list[tuple[str, str]] = [(inert(name), "")]
        for setting in self._settings:
            shown, chosen = inert(setting), setting == self._setting
            parts += [(" ", ""), (f"[{shown}]", "bold reverse") if chosen else (shown, "")]
        return Content.assemble(*parts)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only leaving and the help while nothing is read; settings need two to switch."""
        if action in ("flip", "largest", "chunk", "setting", "bars"):
            if self._view is None:
                return False
            if action == "setting" and len(self._settings) < 2:
                return False
            if action == "chunk" and len(self._view.chunks) < 2:
                return False
        return True

    def action_help(self) -> None:
        """Explain the keys and the numbers."""
        from qfid_tui.app.actions import help_keys
        from qfid_tui.app.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(help_keys(self)))

    def action_back(self) -> None:
        """Leave the inspector."""
        self.dismiss(None)

    def action_token(self, step: int) -> None:
        """Move by tokens."""
        self._text.move_to(self._text.cursor + step)
        self._show_token()

    def action_line(self, step: int) -> None:
        """Move by lines."""
        self._text.move_lines(step)
        self._show_token()

    def action_page(self, step: int) -> None:
        """Move by pages."""
        self._text.move_lines(step * self._text.page)
        self._show_token()

    def action_edge(self, end: bool) -> None:
        """Go to an end of the line."""
        self._text.move_in_line(to_end=end)
        self._show_token()

    def action_end(self, end: bool) -> None:
        """Go to an end of the text."""
        if self._view is not None:
            self._text.move_to(len(self._view.ids) - 1 if end else 0)
            self._show_token()

    def action_bars(self) -> None:
        """Show or hide the bars."""
        self._text.show_bars(not self._text.bars)
        self.query_one(TokenLegend).refresh()

    def action_setting(self, step: int) -> None:
        """Show another setting at the same token."""
        at = self._settings.index(self._setting)
        self._setting = self._settings[(at + step) % len(self._settings)]
        self._show_setting()

    def action_chunk(self, step: int) -> None:
        """Go to the beginning of another chunk; backwards first to that of this one."""
        if self._view is not None:
            target = self._view.chunk_beside(self._text.cursor, step)
            self._go(target, "this is the last chunk" if step > 0 else "this is the first chunk")

    def action_flip(self, step: int) -> None:
        """Go to the flip before or after the cursor."""
        if self._view is not None:
            target = self._view.flip_beside(self._setting, self._text.cursor, step)
            self._go(target, f"no flip {'after' if step > 0 else 'before'} this token")

    def action_largest(self, step: int) -> None:
        """Walk by KL: from anywhere to the largest, from there on down or up again."""
        if self._view is None:
            return
        rank, token = self._walk
        rank = rank + step if token == self._text.cursor else 0
        target = self._view.ranked(self._setting, rank)
        if target is not None:
            self._walk = (rank, target)
        self._go(target, "no token has a larger KL" if step < 0 else "no token has a smaller KL")

    def _go(self, token: int | None, otherwise: str) -> None:
        if token is None:
            self._show_token(otherwise)
        else:
            self._text.move_to(token)
            self._show_token()


def _read(run: str, settings: tuple[str, ...]) -> TokenView:
    from qfid_tui.state.token_view import read_token_view

    return read_token_view(run, settings)
