"""One finished setting: where in the text, how deep, how often and where worst it drifts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import get_current_worker

from qfid_tui.app.screens.detail_charts import show_charts
from qfid_tui.app.widgets.chunk_chart import ChunkChart
from qfid_tui.app.widgets.depth_chart import DepthChart
from qfid_tui.app.widgets.histogram import Histogram
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.app.widgets.tail_list import TailList
from qfid_tui.state.setting_names import short_name
from qfid_tui.state.text_names import text_with_roles
from qfid_tui.words.setting_headline import Tone, headline
from scorer.common.errors import QfidError
from scorer.common.inert_text import inert
from scorer.report.formats.inline import plural

if TYPE_CHECKING:
    from qfid_tui.state.setting_detail import SettingDetail
    from qfid_tui.state.workbench import RunSoFar

_STYLES: dict[Tone, str] = {
    "plain": "$foreground",
    "muted": "$foreground 60%",
    "good": "$text-success bold",
    "marginal": "$text-warning bold",
    "bad": "$text-error bold",
}
# What empty panels say: the headline says why they are empty.
_NOTHING = "—"
# How often a run that goes on is looked at, how often at most it is read, and the pause after a
# reading as a multiple of its time.
_LOOK_SECONDS = 0.5
_FOLLOW_SECONDS = 2.0
_PAUSE = 10


class HeadlinePanel(VerticalScroll):
    """The headline numbers; scrolls where they have no room."""

    ALLOW_MAXIMIZE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "j", "scroll_down", "down", id="headline.down", show=False, tooltip="Scroll down a line"
        ),
        Binding("k", "scroll_up", "up", id="headline.up", show=False, tooltip="Scroll up a line"),
    ]


class DetailScreen(Screen[None]):
    """A setting of a saved run in five panels that can be enlarged."""

    DEFAULT_CSS = """
    DetailScreen {
        & #what {
            dock: top;
            height: 1;
            padding: 0 1;
            text-style: bold;
            text-wrap: nowrap;
            text-overflow: ellipsis;
        }
        & #panels {
            grid-size: 2 3;
            grid-columns: 46 1fr;
            grid-rows: 9fr 7fr 6fr;
        }
        & .panel {
            border: round $foreground 30%;
            height: 1fr;
            width: 1fr;
            border-title-color: $foreground;
            border-subtitle-color: $foreground;
        }
        & .panel:focus { border: round $primary; border-title-style: bold; }
        & .panel:nocolor:focus { border: heavy $foreground; }
        & .panel.-maximized { width: 1fr; height: 1fr; }
        & #headline { padding: 0 0 0 1; scrollbar-size-vertical: 1; }
        & #tail { column-span: 2; }
        &.-tall #panels { grid-rows: 14fr 12fr 16fr; }
        &.-wide #panels { grid-columns: 1fr 1fr; }
        &.-slim #panels {
            grid-size: 1 5;
            grid-columns: 1fr;
            grid-rows: 8;
            overflow-y: auto;
            scrollbar-size-vertical: 1;
        }
        &.-slim #tail { column-span: 1; }
    }
    """
    ALLOW_IN_MAXIMIZED_VIEW = "#what, KeyBar"
    HORIZONTAL_BREAKPOINTS = [(0, "-slim"), (70, "-narrow"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (40, "-tall")]  # noqa: RUF012
    AUTO_FOCUS = "#headline"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark",
            "help",
            "Help",
            id="detail.help",
            tooltip="Keys, and every number explained",
        ),
        Binding(
            "escape",
            "back",
            "Back",
            id="detail.back",
            tooltip="Make the panel small again, or leave the screen",
        ),
        Binding(
            "z,enter",
            "enlarge",
            "Enlarge",
            id="detail.enlarge",
            tooltip="Enlarge the panel that has the focus, or make it small again",
        ),
        Binding(
            "i",
            "inspect",
            "Inspect",
            id="detail.inspect",
            tooltip="Read the text itself, at the chunk that is picked",
        ),
        Binding(
            "left_square_bracket",
            "setting(-1)",
            "Previous",
            key_display="[",
            id="detail.previous",
            tooltip="Show the previous setting",
        ),
        Binding(
            "right_square_bracket",
            "setting(1)",
            "Next",
            key_display="]",
            id="detail.next",
            tooltip="Show the next setting",
        ),
        Binding(
            "c",
            "compare",
            "Compare",
            id="detail.compare",
            tooltip="Lay another setting over the charts, then the next one, then none",
        ),
    ]

    def __init__(
        self,
        run: str,
        setting: str,
        *,
        settings: Sequence[str] = (),
        so_far: Callable[[], RunSoFar | None] = lambda: None,
    ) -> None:
        """Show a setting of a saved run.

        Args:
            run: Id of the run.
            setting: The setting in notation.
            settings: The settings that ``[`` and ``]`` go through.
            so_far: Says how far the run has come; None if it does not go on.
        """
        super().__init__()
        self._run = run
        self._setting = setting
        self._settings = tuple(settings) or (setting,)
        self._so_far = so_far
        # The setting that is laid over the charts; None for none.
        self._other: str | None = None
        self._read: dict[str, SettingDetail] = {}
        # Setting to its scored chunks when it was last read; None after the run.
        self._read_at: dict[str, int | None] = {}
        self._is_reading = False
        self._next_read = 0.0

    def compose(self) -> ComposeResult:
        """The frame; numbers come when they are read."""
        yield Static(id="what", markup=False)
        with Grid(id="panels"):
            with HeadlinePanel(id="headline", classes="panel"):
                yield Static(id="numbers", markup=False)
            yield ChunkChart(id="chunks", classes="panel", empty=_NOTHING)
            yield DepthChart(id="depth", classes="panel", empty=_NOTHING)
            yield Histogram(id="histogram", classes="panel", empty=_NOTHING)
            yield TailList(id="tail", classes="panel")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the setting."""
        self.query_one("#headline").border_title = Content("Value · 95 % interval")
        self._show_setting(self._setting)
        self.set_interval(_LOOK_SECONDS, self._follow)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Going to another setting needs another one."""
        if action == "setting":
            by = parameters[0]
            assert isinstance(by, int)
            return True if self._beside(by) is not None else None
        if action == "compare":
            return True if len(self._settings) > 1 else None
        return True

    def action_back(self) -> None:
        """Make an enlarged panel small again, else leave."""
        if self.maximized is not None:
            self.minimize()
        else:
            self.dismiss()

    def action_enlarge(self) -> None:
        """Enlarge the focused panel, or make it small again."""
        if self.maximized is not None:
            self.minimize()
        elif self.focused is not None:
            self.maximize(self.focused, container=False)

    def action_setting(self, by: int) -> None:
        """Show the previous or the next setting."""
        if (other := self._beside(by)) is not None:
            self._show_setting(other)

    def action_compare(self) -> None:
        """Lay the next of the other settings over the charts, after the last one none."""
        others = (None, *(name for name in self._settings if name != self._setting))
        at = others.index(self._other) if self._other in others else 0
        self._other = others[(at + 1) % len(others)]
        self._show_setting(self._setting)

    def action_help(self) -> None:
        """Explain the keys and the numbers."""
        from qfid_tui.app.actions import help_keys
        from qfid_tui.app.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(help_keys(self)))

    def action_inspect(self) -> None:
        """Open the inspector at the chunk that the focused panel picks."""
        from qfid_tui.app.screens.inspector import InspectorScreen

        chunk = None
        if isinstance(self.focused, TailList) and self.focused.picked is not None:
            chunk = self.focused.picked.chunk
        elif isinstance(self.focused, ChunkChart):
            chunk = self.focused.chunk
        self.app.push_screen(
            InspectorScreen(
                self._run,
                self._setting,
                chunk=chunk,
                settings=self._settings,
                so_far=self._so_far,
            )
        )

    def on_click(self, event: events.Click) -> None:
        """A double click enlarges."""
        if event.chain == 2 and isinstance(event.widget, Widget) and self.focused is not None:
            self.action_enlarge()

    def _beside(self, by: int) -> str | None:
        if self._setting not in self._settings:
            return None
        index = self._settings.index(self._setting) + by
        return self._settings[index] if 0 <= index < len(self._settings) else None

    def _show_setting(self, setting: str) -> None:
        self._setting = setting
        if self._other == setting:
            self._other = None
        self.refresh_bindings()
        if (known := self._read.get(setting)) is not None:
            self._show(known)
        else:
            self._title("reading …")
        other_known = self._other is None or self._other in self._read
        if known is None or not other_known or self._read_at.get(setting) != self._scored(setting):
            self._begin_reading()

    def _scored(self, setting: str) -> int | None:
        """Scored chunks of a setting; None if the run does not go on."""
        run = self._so_far()
        return None if run is None else run.chunks.get(setting, 0)

    def _follow(self) -> None:
        """Read again what a run that goes on has scored since, at a low rate, and at its end."""
        if not self.is_current:
            return
        if (run := self._so_far()) is not None and run.settings != self._settings:
            self._settings = tuple(dict.fromkeys((*run.settings, self._setting)))
            self.refresh_bindings()
        scored = self._scored(self._setting)
        is_due = scored is None or time.monotonic() >= self._next_read
        if is_due and not self._is_reading and scored != self._read_at.get(self._setting):
            self._begin_reading()

    def _begin_reading(self) -> None:
        self._is_reading = True
        for setting in filter(None, (self._setting, self._other)):
            self._read_at[setting] = self._scored(setting)
        self._load(self._setting, self._other)

    @work(thread=True, exclusive=True, group="detail", exit_on_error=False)
    def _load(self, setting: str, other: str | None) -> None:
        worker, began = get_current_worker(), time.monotonic()
        found = self._detail(setting)
        beside = None if other is None else self._detail(other)
        if other is not None and beside is not None and not isinstance(beside, str):
            self._read[other] = beside
        if not worker.is_cancelled:
            self.app.call_from_thread(self._loaded, setting, found, time.monotonic() - began)

    def _detail(self, setting: str) -> SettingDetail | str:
        """Read a setting, or why it cannot be read; in a thread."""
        try:
            from qfid_tui.state.setting_detail import read_setting_detail

            worker = get_current_worker()
            return read_setting_detail(self._run, setting, lambda: worker.is_cancelled)
        except QfidError as error:
            return f"{error.message}\n{error.hint}".strip()
        except (OSError, KeyError, TypeError, ValueError, LookupError) as error:
            return f"run `{self._run}` cannot be read: {type(error).__name__}: {error}"

    def _loaded(self, setting: str, found: SettingDetail | str, seconds: float) -> None:
        if not self.is_attached or setting != self._setting:
            return
        self._is_reading = False
        # The run needs the machine more than this screen does.
        self._next_read = time.monotonic() + max(_FOLLOW_SECONDS, _PAUSE * seconds)
        if isinstance(found, str):
            self._title("cannot be read")
            lines = Content("\n").join(Content(inert(line)) for line in found.splitlines())
            self.query_one("#numbers", Static).update(lines)
            self._draw(None)
        else:
            self._read[setting] = found
            self._show(found)

    def _show(self, found: SettingDetail) -> None:
        self._title(f"{found.model} · {text_with_roles(found.corpus, found.roles)}", found.notice)
        numbers = found.row.numbers
        if numbers is not None and numbers.intervals.simultaneous:
            self.query_one("#headline").border_title = Content("Value · simultaneous interval")
        lines = [
            Content.assemble(*((text, _STYLES[tone]) for text, tone in line))
            for line in headline(found.row, found.ranked_on, found.pairs, self._other)
        ]
        self.query_one("#numbers", Static).update(Content("\n").join(lines))
        self._draw(found)

    def _draw(self, found: SettingDetail | None) -> None:
        show_charts(self, self._setting, found, self._read.get(self._other or ""))
        tail = self.query_one(TailList)
        tail.show(() if found is None else found.tail)
        count = 0 if found is None else len(found.tail)
        tail.border_title = Content(
            f"Largest KL · the worst {count} positions" if count else "Largest KL"
        )

    def _title(self, about: str, notice: str = "") -> None:
        follows = ""
        run, scored = self._so_far(), self._read_at.get(self._setting)
        if run is not None and scored is not None:
            chunks = f"{scored} of {plural(run.planned, 'chunk')}"
            follows = f"follows the run, {chunks} so far"
        parts = [f"setting {short_name(self._setting)}", follows, about, f"run {self._run}", notice]
        text = " · ".join(part for part in parts if part)
        self.query_one("#what", Static).update(Content(inert(text)))
