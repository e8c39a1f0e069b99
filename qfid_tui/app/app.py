"""The app around the workbench: child processes, keys and theme, and the end of the session.

Only Textual's basics are imported here: the first frame waits for nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from textual import constants, events, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from qfid_tui.app.app_keys import BINDINGS
from qfid_tui.app.closed_terminal import when_closed
from qfid_tui.state.kept_choices import kept_theme

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.command import Provider
    from textual.driver import Driver

    from qfid_tui.app.run_worker import RunningScorer
    from qfid_tui.app.screens.workbench import WorkbenchScreen
    from qfid_tui.app.terminal.key_places import KeyPlaces
    from qfid_tui.state.allowed_code import AllowedCode
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.comparison import Comparison
    from scorer.spec.events import Event
    from scorer.spec.ranks import Ranks

_INTERRUPTED = 130
# A killed child is gone at once; what cannot be killed is no reason to keep the user waiting.
_PATIENCE = 1.5
# After the panels are filled, when nobody is likely to press a key.
_FILLED_SECONDS = 0.5


def _commands() -> type[Provider]:
    from qfid_tui.app.palette import QfidCommands

    return QfidCommands


class QfidApp(App[int]):
    """The comparison of KV settings, driven by the keyboard.

    Attributes:
        has_failed: Whether an error of the app itself has ended it.
    """

    TITLE = "qfid"
    # Textual declares these in a way that a type checker takes for instance variables.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]  # noqa: RUF012
    COMMANDS = App.COMMANDS | {_commands}
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS
    # Notices are flat and stand at the bottom, over charts: tables and the run stay readable.
    CSS = """
    ToastRack {
        max-height: 50%;
        overflow-y: hidden;
    }
    Toast {
        width: auto;
        max-width: 100%;
        margin-top: 0;
        padding: 0 1;
    }
    """

    def __init__(
        self,
        choices: Choices | None = None,
        *,
        command: Sequence[str] | None = None,
        probe: bool = True,
        keep: bool = True,
        allowed: AllowedCode | None = None,
        kept: Choices | None = None,
    ) -> None:
        """Make the app.

        Args:
            choices: The choices at the start; None for those of the last session, read after the
                first frame.
            command: The command that scores; None for the scorer.
            probe: Whether to ask a child process about the device.
            keep: Whether to save the choices for the next session.
            allowed: Which Python files of a model's own may run; None for none.
            kept: The choices as they were read from their file; None if they were not.
        """
        super().__init__()
        self._choices, self._kept = choices, kept
        self._workbench: WorkbenchScreen | None = None
        self._command, self._probe, self._keep = command, probe, keep
        self._allowed = allowed
        self._scorer: RunningScorer | None = None
        self._prober: RunningScorer | None = None
        self._leaving = False
        self.has_failed = False
        # The processes that share every run of this session; None for those that are chosen.
        self.ranks: Ranks | None = None

    def get_driver_class(self) -> type[Driver]:
        """The driver: Textual's, with an input that no byte can break."""
        if constants.DRIVER is not None:
            return super().get_driver_class()
        from qfid_tui.app.terminal.driver import TerminalDriver

        return TerminalDriver

    def panic(self, *renderables: RenderableType) -> None:
        """End the app because of an error of its own."""
        self.has_failed = True
        super().panic(*renderables)

    @property
    def workbench(self) -> WorkbenchScreen:
        """The screen at the bottom."""
        if self._workbench is None:
            self._workbench = self.make_workbench()
        return self._workbench

    def make_workbench(self) -> WorkbenchScreen:
        """Make the screen at the bottom."""
        from qfid_tui.app.screens.workbench import WorkbenchScreen

        return WorkbenchScreen(self)

    def get_default_screen(self) -> Screen[None]:
        """The workbench."""
        return self.workbench

    @property
    def choices(self) -> Choices:
        """What the user has chosen."""
        return self.workbench.state.choices

    @property
    def comparison(self) -> Comparison:
        """What is scored."""
        return self.workbench.state.comparison

    @property
    def is_scoring(self) -> bool:
        """Whether a run goes on."""
        return self.workbench.is_filled and self.comparison.is_active

    def on_mount(self) -> None:
        """Take the kept theme, and see to it that a signal ends the child and the terminal too."""
        theme = kept_theme() if self._choices is None else self._choices.theme
        if theme in self.available_themes:
            self.theme = theme
        self.app_resume_signal.subscribe(self, self._paint_again)
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                with contextlib.suppress(ValueError, NotImplementedError):
                    loop.add_signal_handler(number, self._on_signal, number)
        if not self.is_headless:
            when_closed(0, self._on_closed_terminal)

    async def on_event(self, event: events.Event) -> None:
        """Make what is pasted inert, wherever it goes: Textual would draw it raw.

        No key opens a screen while the app is being left. A letter of another keyboard layout is
        the key in its place.
        """
        if isinstance(event, events.Key) and not event.is_forwarded:
            if self._leaving:
                return
            event = self._key_places.meant(event, self.screen)
        if isinstance(event, events.Paste) and not event.is_forwarded:
            from scorer.common.inert_text import inert

            event.text = "\n".join(inert(line) for line in event.text.splitlines())
        await super().on_event(event)

    def _paint_again(self, _: object) -> None:
        """Paint every line: the terminal is empty after `fg`."""
        for screen in self.screen_stack:
            for widget in screen.walk_children(with_self=True):
                widget.refresh()

    def _on_signal(self, number: int) -> None:
        self._leaving = True
        self.kill_children()
        self.run_worker(self._leave(128 + number), exit_on_error=False)

    def _on_closed_terminal(self) -> None:
        """End at once: there is no screen to give back, and nothing can be written to it."""
        self.kill_children()
        with contextlib.suppress(Exception):
            self.keep_choices()
        os._exit(128 + signal.SIGHUP)

    @cached_property
    def _key_places(self) -> KeyPlaces:
        from qfid_tui.app.terminal.key_places import KeyPlaces

        return KeyPlaces()

    # What the workbench asks for, see WorkbenchHost

    def start_choices(self) -> Choices:
        """See :meth:`WorkbenchHost.start_choices`."""
        from qfid_tui.state.kept_choices import load_choices

        if self._choices is not None:
            return self._choices
        self._kept = load_choices()
        return self._kept

    def take_keys(self, choices: Choices) -> Mapping[str, str]:
        """See :meth:`WorkbenchHost.take_keys`; every action keeps at least one key."""
        from qfid_tui.app.own_keys import names_of, own_keys, unknown_keys

        bindings = (*type(self.workbench).BINDINGS, *self.BINDINGS)
        keys, refused = own_keys(choices.keys, bindings)
        self.set_keymap(keys)
        if self._keep:
            from qfid_tui.state.kept_choices import choices_faults

            refused += choices_faults()
        if choices.keys:
            from qfid_tui.app.binding_ids import binding_ids

            own = Binding.make_bindings(self.BINDINGS)
            known = binding_ids() | {binding.id or "" for binding in own}
            refused += unknown_keys(choices.keys, known)
        for text in refused:
            self.notify(text, severity="warning", markup=False, timeout=12)
        return names_of(keys, bindings, lambda key: self.get_key_display(Binding(key, "", "")))

    def when_filled(self) -> None:
        """See :meth:`WorkbenchHost.when_filled`."""
        if not self.is_headless:
            from qfid_tui.app.garbage import spare_collections

            self.set_timer(_FILLED_SECONDS, spare_collections)

    def score(self, request: Mapping[str, Any], comparison: Comparison) -> None:
        """See :meth:`WorkbenchHost.score`."""
        from qfid_tui.app.run_worker import RunningScorer
        from qfid_tui.state.run_options import chosen_ranks

        code = {} if self._allowed is None else self._allowed.of(request["model"])
        request = {**request, "allow_custom_code": code}
        ranks = self.ranks or chosen_ranks(self.workbench.state.choices)
        if ranks is not None:
            request["ranks"] = ranks.to_json()
        self._scorer = RunningScorer(request, command=self._command)
        self.run_worker(
            self.listen(self._scorer, comparison),
            group="scorer",
            exclusive=True,
            exit_on_error=False,
        )

    async def listen(self, scorer: RunningScorer, comparison: Comparison) -> None:
        """Put the events of a child process into a comparison until the process ends."""
        async for block in scorer.blocks():
            for event in block:
                if comparison.is_active:
                    self._take(event, scorer, comparison)
        self._scorer = None
        ending = scorer.ending
        comparison.end(by_user=ending.killed or ending.code == _INTERRUPTED)
        if not self._leaving:
            self.workbench.run_ended(ending)

    def _take(self, event: Event, scorer: RunningScorer, comparison: Comparison) -> None:
        """Put an event into a comparison; one that makes no sense ends the run."""
        from scorer.spec.events import Planned

        try:
            comparison.add(event)
        except Exception as error:
            scorer.kill()
            comparison.fail(f"the scorer sent a `{event.kind}` that makes no sense: {error!r:.200}")
            return
        if isinstance(event, Planned):
            self._read_saved(comparison, event.run, comparison.lacks)

    @work(thread=True, group="saved", exit_on_error=False)
    def _read_saved(self, comparison: Comparison, run: str, chunks: bool) -> None:
        """Read what the events of a run leave out.

        Args:
            comparison: Receives what was read.
            run: Id of the run.
            chunks: Whether to read scored chunks too: after a child process was killed, some were
                saved and not reported.
        """
        from qfid_tui.state.saved_comparison import documents_of, saved_chunks
        from scorer.common.errors import QfidError
        from scorer.runs.listing import find_run

        with contextlib.suppress(QfidError, OSError):
            saved = find_run(run)
            self.call_from_thread(comparison.set_documents, documents_of(saved))
            if chunks:
                self.call_from_thread(comparison.add_chunks, *saved_chunks(saved))

    def allow_code(self, model: str, files: Mapping[str, str]) -> None:
        """See :meth:`WorkbenchHost.allow_code`."""
        from qfid_tui.state.allowed_code import AllowedCode

        self._allowed = self._allowed or AllowedCode()
        self._allowed.allow(model, files)

    def stop_scoring(self, *, at_once: bool) -> bool:
        """See :meth:`WorkbenchHost.stop_scoring`."""
        if self._scorer is None:
            return False
        if at_once:
            self._scorer.kill()
        else:
            self._scorer.interrupt()
        return True

    def probe_device(self) -> None:
        """See :meth:`WorkbenchHost.probe_device`."""
        from qfid_tui.app.run_worker import RunningScorer
        from qfid_tui.process.scorer_process import scorer_command
        from scorer.common.errors import QfidError

        if not self._probe or self._prober is not None:
            return
        with contextlib.suppress(QfidError):
            prober = RunningScorer(None, command=(*scorer_command(), "--probe"))
            self.run_worker(self.listen_to_probe(prober), group="probe", exit_on_error=False)

    async def listen_to_probe(self, prober: RunningScorer) -> None:
        """Pass the device on to the workbench; return when the child process ends."""
        from scorer.spec.events import Hello

        self._prober = prober
        async for block in prober.blocks():
            for event in block:
                if isinstance(event, Hello):
                    self.workbench.device_known(event)
        self._prober = None

    # The end

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Textual's commands, without those that this app has of its own: quitting and keys."""
        commands = super().get_system_commands(screen)
        return (command for command in commands if command.title not in ("Quit", "Keys"))

    async def action_quit(self) -> None:
        """Leave; ask first while a run goes on."""
        if not self.is_scoring or self._leaving:
            await self._leave(0)
            return
        from qfid_tui.app.screens.confirm import ConfirmScreen, ask

        def leave() -> None:
            self.run_worker(self._leave(0), exit_on_error=False)

        if not isinstance(self.screen, ConfirmScreen):
            question = "A run goes on. What is scored is saved. Quit?"
            ask(self, question, "Quit", "Keep running", leave)

    async def _leave(self, code: int) -> None:
        """End the children, keep the choices, and only then the app."""
        self._leaving = True
        children = [child for child in (self._scorer, self._prober) if child is not None]
        self.kill_children()
        for child in children:
            await child.gone(_PATIENCE)
        self.keep_choices()
        self.exit(code)

    def kill_children(self) -> None:
        """End every child at once."""
        for child in (self._scorer, self._prober):
            if child is not None:
                child.kill()

    def keep_choices(self) -> None:
        """See :meth:`WorkbenchHost.keep_choices`."""
        if self._keep and self.workbench.is_filled:
            from qfid_tui.state.kept_choices import save_choices

            choices = dataclasses.replace(self.choices, theme=self.theme)
            if save_choices(choices, self._kept):
                self._kept = choices
