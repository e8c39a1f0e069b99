"""The token inspector: the text of a saved run, and what quantization changed at every token."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState, get_current_worker

from qfid_tui.app.screens.inspector_keys import BINDINGS
from qfid_tui.app.widgets.find_line import FindLine
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.app.widgets.token_legend import TokenLegend
from qfid_tui.app.widgets.token_panel import TokenPanel
from qfid_tui.app.widgets.token_text import TokenText
from qfid_tui.state.setting_names import short_name
from qfid_tui.state.text_names import text_with_roles
from qfid_tui.words.model_list import shortened
from qfid_tui.words.token_rows import other_settings
from scorer.common.errors import QfidError
from scorer.common.inert_text import inert
from scorer.report.formats.inline import plural

if TYPE_CHECKING:
    from qfid_tui.state.token_view import TokenView
    from qfid_tui.state.workbench import RunSoFar

_ON_THE_TEXT = (
    *("flip", "own_flip", "rival", "largest", "chunk", "setting", "bars", "role"),
    *("find", "match"),
)
_SHORTEST_MODEL = 20


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
        #panel { height: auto; border-top: solid $foreground 25%; padding: 0 1; }
        &.-wide #body { layout: horizontal; }
        &.-wide #panel {
            width: 44; height: 1fr; border-top: none; border-left: solid $foreground 25%;
        }
        &.-reading #text, &.-reading #panel { display: none; }
        &.-ready #waiting { display: none; }
        &.-finding TokenLegend { display: none; }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012
    AUTO_FOCUS = "#text"
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS

    def __init__(
        self,
        run: str,
        setting: str,
        *,
        chunk: int | None = None,
        settings: Sequence[str] = (),
        so_far: Callable[[], RunSoFar | None] = lambda: None,
    ) -> None:
        """Inspect a saved run.

        Args:
            run: Id of the run.
            setting: The setting to show first, in notation.
            chunk: Index of the chunk to begin with; None for the first one scored.
            settings: The settings to switch among; all of the run where empty.
            so_far: Says how far the run has come; None if it does not go on.
        """
        super().__init__()
        self._run, self._setting, self._chunk = run, setting, chunk
        self._wanted, self._so_far = tuple(settings), so_far
        self._settings: tuple[str, ...] = (setting,)
        self._view: TokenView | None = None
        # Where the walk by KL is: the rank of the token it went to, and that token.
        self._walk = (-1, -1)
        # Which settings must not flip where an own flip is looked for; None for all others.
        self._rival: str | None = None
        self._words = ""
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
        yield FindLine(self._count)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the run in a thread; the screen never waits."""
        self.add_class("-reading")
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

    def on_resize(self) -> None:
        """Fit the title to the new width."""
        if self._view is not None:
            self.query_one("#title", Static).update(self._title())

    @property
    def _text(self) -> TokenText:
        return self.query_one(TokenText)

    def _begin(self, view: TokenView) -> None:
        self._view = view
        self._settings = tuple(dict.fromkeys((*view.settings, self._setting)))
        if notices := [text for text in (self._snapshot(view), view.notice) if text]:
            notice = self.query_one("#notice", Static)
            notice.update(inert(" · ".join(notices)))
            notice.add_class("-shown")
        self.remove_class("-reading").add_class("-ready")
        self._text.cursor = view.first_scored(self._setting, self._chunk)
        # Where the terminal's colours do not tell the levels apart, their bars do.
        self._text.show_bars(self.app.no_color or self._text.levels_look_alike())
        self._show_setting()
        self._text.focus()
        self.refresh_bindings()

    def _snapshot(self, view: TokenView) -> str:
        """What to know of a run that goes on: the text on the screen does not grow."""
        if (run := self._so_far()) is None:
            return ""
        chunks = f"{len(view.chunks)} of {plural(run.planned, 'chunk')}"
        return f"a snapshot: the run goes on, {chunks} so far; open it again for more"

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
            if self._rival == self._setting:
                self._rival = None
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
        """Model, text and the settings; where they have no room, the one that is shown."""
        assert self._view is not None
        width = self.app.size.width - 2
        text = f" · {text_with_roles(self._view.corpus, self._view.counted)} · setting "
        names = [inert(short_name(setting)) for setting in self._settings]
        at = self._settings.index(self._setting)
        chosen = f"[{names[at]}]"
        before, after = "".join(f"{name} " for name in names[:at]), " ".join(["", *names[at + 1 :]])
        room = width - cell_len(text + before + chosen + after)
        if room < min(cell_len(self._view.model), _SHORTEST_MODEL):
            before, after = "", f" {at + 1} of {len(names)}"
            room = width - cell_len(text + chosen + after)
        model = shortened(self._view.model, max(_SHORTEST_MODEL, room))
        return Content.assemble(model, text, before, (chosen, "bold reverse"), after)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only leaving and the help while nothing is read; settings need two to switch."""
        if action in _ON_THE_TEXT:
            if self._view is None:
                return False
            if action == "role" and self._view.roles is None:
                return False
            if action in ("setting", "own_flip", "rival") and len(self._settings) < 2:
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
        """Leave the search, else the inspector."""
        if self.query_one(FindLine).is_open:
            self._close_find()
        else:
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

    def action_role(self, step: int) -> None:
        """Go to the beginning of what the next role said, or the one before."""
        if self._view is not None and self._view.roles is not None:
            target = self._view.roles.part_beside(self._text.cursor, step)
            self._go(target, f"nobody says more {'after' if step > 0 else 'before'} this token")

    def action_own_flip(self, step: int) -> None:
        """Go to the flip of this setting alone before or after the cursor."""
        view = self._view
        if view is None:
            return
        own, rivals = inert(short_name(self._setting)), self._rivals()
        if not rivals:
            self._show_token(f"no other setting here has numbers other than those of {own}")
            return
        others = other_settings(rivals)
        target = view.own_flip_beside(self._setting, rivals, self._text.cursor, step)
        if target is None:
            side = "after" if step > 0 else "before"
            self._show_token(f"no token {side} this one flips under {own} but not {others}")
        else:
            self._go(target, "", f"flips under {own}, not {others}")

    def action_rival(self) -> None:
        """Choose which settings must not flip: all others, or one after another."""
        if self._view is None:
            return
        choices = (None, *self._view.rivals(self._setting))
        at = choices.index(self._rival) if self._rival in choices else 0
        self._rival = choices[(at + 1) % len(choices)]
        others = other_settings(self._rivals()) or "under any other"
        self._show_token(f"own flips: those under {inert(short_name(self._setting))}, not {others}")

    def _rivals(self) -> tuple[str, ...]:
        assert self._view is not None
        return self._view.rivals(self._setting) if self._rival is None else (self._rival,)

    def action_find(self) -> None:
        """Ask for words to search the text for."""
        if self._view is not None:
            self.add_class("-finding")
            self.query_one(FindLine).open()

    def _count(self, words: str) -> int:
        return 0 if self._view is None else len(self._view.matches(words))

    def _close_find(self) -> None:
        self.remove_class("-finding")
        self.query_one(FindLine).close()
        self._text.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the first match from the cursor on."""
        event.stop()
        self._close_find()
        if event.value:
            self._words = event.value
            self._find(self._text.cursor - 1, 1)

    def action_match(self, step: int) -> None:
        """Go to another match; ask for words where nothing was searched yet."""
        if self._view is not None:
            if self._words:
                self._find(self._text.cursor, step)
            else:
                self.action_find()

    def _find(self, token: int, step: int) -> None:
        """Go to the match after or before a token, round the ends of the text."""
        assert self._view is not None
        found, words = self._view.matches(self._words), f'"{self._words}"'
        if not found:
            self._show_token(f"{words} is not in the text of these chunks")
            return
        at = bisect_right(found, token) if step > 0 else bisect_left(found, token) - 1
        around = "" if 0 <= at < len(found) else f", from the {'start' if step > 0 else 'end'}"
        at %= len(found)
        self._go(found[at], "", f"{words}: match {at + 1} of {len(found)}{around}")

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

    def _go(self, token: int | None, otherwise: str, found: str = "") -> None:
        if token is None:
            self._show_token(otherwise)
        else:
            self._text.move_to(token)
            self._show_token(found)


def _read(run: str, settings: tuple[str, ...]) -> TokenView:
    from qfid_tui.state.token_view import read_token_view

    worker = get_current_worker()
    view = read_token_view(run, settings, lambda: worker.is_cancelled)
    # The panel asks for all of them at every move of the cursor.
    for setting in view.settings:
        view.cost(setting)
    return view
