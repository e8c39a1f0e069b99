"""The app: what is chosen, what is compared, the child that scores, and how all of it ends.

Only Textual's basics are imported here: the first frame waits for nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from qfid_tui.app.closed_terminal import when_closed
from qfid_tui.state.kept_choices import kept_theme

if TYPE_CHECKING:
    import argparse

    from textual.command import Provider

    from qfid_tui.app.run_worker import RunningScorer
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.comparison import Comparison
    from scorer.spec.events import Hello

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
        machine: The device as the probe found it; None until it answers.
    """

    TITLE = "qfid"
    # Textual declares these in a way that a type checker takes for instance variables.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]  # noqa: RUF012
    COMMANDS = App.COMMANDS | {_commands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit", id="app.quit", tooltip="Leave; asks while a run goes on"),
        Binding(
            "ctrl+p", "command_palette", "All", id="app.palette", tooltip="Every action, by name"
        ),
        Binding(
            "ctrl+q",
            "quit",
            "Quit",
            show=False,
            id="app.quit_always",
            priority=True,
            tooltip="Leave, also while typing",
        ),
    ]

    def __init__(
        self,
        choices: Choices | None = None,
        *,
        command: Sequence[str] | None = None,
        probe: bool = True,
        keep: bool = True,
    ) -> None:
        """Make the app.

        Args:
            choices: What is chosen at the start; None for what was kept, read after the first
                paint.
            command: What to start for a run; None for the scorer.
            probe: Ask a child about the device.
            keep: Keep the choices for the next session.
        """
        super().__init__()
        self._choices = choices
        self._comparison: Comparison | None = None
        self.machine: Hello | None = None
        self._command, self._probe, self._keep = command, probe, keep
        self._scorer: RunningScorer | None = None
        self._prober: RunningScorer | None = None
        self._leaving = False
        self.key_names: dict[str, str] = {}
        self.when_filled: Callable[[], object] = lambda: None

    @property
    def choices(self) -> Choices:
        """What the user has chosen."""
        if self._choices is None:
            from qfid_tui.state.choices import load_choices

            self._choices = load_choices()
        return self._choices

    @property
    def comparison(self) -> Comparison:
        """What is scored."""
        if self._comparison is None:
            from qfid_tui.state.comparison import Comparison

            self._comparison = Comparison()
        return self._comparison

    def get_default_screen(self) -> Screen[Any]:
        """The workbench."""
        from qfid_tui.app.screens.workbench import WorkbenchScreen

        return WorkbenchScreen()

    def on_mount(self) -> None:
        """Take the kept theme, and see to it that a signal ends the child and the terminal too."""
        theme = kept_theme() if self._choices is None else self._choices.theme
        if theme in self.available_themes:
            self.theme = theme
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                with contextlib.suppress(ValueError, NotImplementedError):
                    loop.add_signal_handler(number, self._on_signal, number)
        if not self.is_headless:
            when_closed(0, self._on_closed_terminal)

    async def on_event(self, event: events.Event) -> None:
        """Make what is pasted inert, wherever it goes: Textual would draw it raw."""
        if isinstance(event, events.Paste) and not event.is_forwarded:
            from scorer.common.inert_text import inert

            event.text = "\n".join(inert(line) for line in event.text.splitlines())
        await super().on_event(event)

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

    @property
    def device(self) -> Hello | None:
        """What is known of the device, from the run or from the probe."""
        return self.comparison.machine or self.machine

    def take_keys(self) -> None:
        """Let the user's own keys replace ours where that leaves no action without one."""
        from qfid_tui.app.own_keys import names_of, own_keys

        bindings = (*type(self.workbench).BINDINGS, *self.BINDINGS)
        keys, refused = own_keys(self.choices.keys, bindings)
        self.set_keymap(keys)
        self.key_names = names_of(keys, bindings, self._shown_key)
        for text in refused:
            self.notify(text, severity="warning", markup=False, timeout=12)

    def _shown_key(self, key: str) -> str:
        return self.get_key_display(Binding(key, "", ""))

    def named(self, key: str) -> str:
        """A key of ours as a sentence names it: the user's own where it was replaced."""
        return self.key_names.get(key, key)

    # The run

    def run_next(self) -> None:
        """Score what is ticked: a new run, or what the run on the screen lacks.

        Raises:
            QfidError: What is chosen makes no job, nothing is left to score, or the child cannot
                be started.
        """
        from qfid_tui.app.run_worker import RunningScorer
        from qfid_tui.state.next_run import next_run
        from scorer.common.errors import InputError

        if self.comparison.is_active:
            return
        planned = next_run(self.choices, self.comparison)
        if planned.kind == "nothing":
            add = self.named("a")
            raise InputError(
                "everything ticked is scored", f"tick another setting, or add one: {add}"
            )
        self._scorer = RunningScorer(planned.request(), command=self._command)
        if planned.kind == "new":
            self._comparison = None
        self.comparison.begin(planned.job)
        self.keep_choices()
        self.run_worker(
            self._listen(self._scorer), group="scorer", exclusive=True, exit_on_error=False
        )

    async def _listen(self, scorer: RunningScorer) -> None:
        from scorer.spec.events import Planned

        comparison = self.comparison
        async for block in scorer.blocks():
            for event in block:
                comparison.add(event)
                if isinstance(event, Planned):
                    self._read_saved(comparison, event.run, comparison.lacks)
        self._scorer = None
        ending = scorer.ending
        comparison.end(by_user=ending.killed or ending.code == _INTERRUPTED)
        if not self._leaving:
            self.workbench.run_ended(ending)

    @work(thread=True, group="saved", exit_on_error=False)
    def _read_saved(self, comparison: Comparison, run: str, chunks: bool) -> None:
        """Read what a run's events leave out.

        Args:
            comparison: Learns it.
            run: Id of the run.
            chunks: Read chunks too that are saved and were never heard of, as after a child that
                was killed.
        """
        from qfid_tui.state.saved_comparison import documents_of, saved_chunks
        from scorer.common.errors import QfidError
        from scorer.runs.listing import find_run

        with contextlib.suppress(QfidError, OSError):
            saved = find_run(run)
            self.call_from_thread(comparison.know_documents, documents_of(saved))
            if chunks:
                self.call_from_thread(comparison.learn, *saved_chunks(saved))

    def forget_comparison(self) -> None:
        """Clear the table: another model was chosen. What is saved stays saved."""
        self._comparison = None

    def take_comparison(self, comparison: Comparison) -> None:
        """Show a saved run and choose what it was scored with."""
        assert comparison.job is not None
        self._comparison = comparison
        self.choices.adopt(comparison.job)

    def stop_run(self) -> None:
        """Ask the child to stop with what it has; asked again, end it at once."""
        if self._scorer is None:
            return
        if self.comparison.phase == "stopping":
            self._scorer.kill()
        else:
            self._scorer.interrupt()
            self.comparison.stop()

    def probe(self) -> None:
        """Ask a child about the device; :attr:`machine` is set once it answers."""
        from qfid_tui.app.run_worker import RunningScorer
        from qfid_tui.process.scorer_process import scorer_command
        from scorer.common.errors import QfidError

        if not self._probe or self._prober is not None:
            return
        with contextlib.suppress(QfidError):
            self._prober = RunningScorer(None, command=(*scorer_command(), "--probe"))
            self.run_worker(self._hear_probe(self._prober), group="probe", exit_on_error=False)

    async def _hear_probe(self, prober: RunningScorer) -> None:
        from scorer.spec.events import Hello

        async for block in prober.blocks():
            for event in block:
                if isinstance(event, Hello):
                    self.machine = event
                    self.workbench.machine_known()
        self._prober = None

    @property
    def workbench(self) -> Any:
        """The screen at the bottom."""
        return self.screen_stack[0]

    # The end

    async def action_quit(self) -> None:
        """Leave; ask first while a run goes on."""
        running = self._comparison is not None and self._comparison.is_active
        if not running or self._leaving:
            await self._leave(0)
            return
        from qfid_tui.app.screens.confirm import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(self._leave(0), exit_on_error=False)

        if not isinstance(self.screen, ConfirmScreen):
            question = "A run goes on. What is scored is saved. Quit?"
            self.push_screen(ConfirmScreen(question, "Quit", "Keep running"), answered)

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
        """Write the choices down for the next session."""
        if self._keep and self._choices is not None:
            from qfid_tui.state.choices import save_choices

            self.choices.theme = self.theme
            save_choices(self.choices)


def spare_collections() -> None:
    """Let the garbage collector pass over what is there by now.

    Each of its full passes over the widgets and styles of a filled screen holds up keys and paints
    for 40 to 60 ms, and the events of a run bring some on.
    """
    import gc

    gc.collect()
    gc.freeze()


def run_app(args: argparse.Namespace | None) -> int:
    """Open the app.

    Args:
        args: The command line's, an option that was not given being None; None for none at all.

    Returns:
        Exit code: 0, or 128 and the number of the signal that ended it.

    Raises:
        InputError: An option's value is not valid, or there is no terminal.
    """
    import sys

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        from scorer.common.errors import InputError

        raise InputError("the app needs a terminal", "`qfid kv MODEL` scores without one")
    app = QfidApp(None if args is None else _chosen(args))
    app.when_filled = lambda: app.set_timer(_FILLED_SECONDS, spare_collections)
    try:
        code = app.run()
    finally:
        app.kill_children()
    return (app.return_code or 0) if code is None else code


def _chosen(args: argparse.Namespace) -> Choices:
    """What was kept, with what the command line says; the model is here or brought here."""
    from qfid_tui.state.choices import apply_arguments, load_choices

    choices = load_choices()
    apply_arguments(choices, args)
    if args.model is not None:
        from qfid_tui.cli.cached_model import ensure_model

        ensure_model(
            args.model,
            args.revision,
            allow_custom_code=choices.allow_custom_code,
            pull=bool(args.pull),
        )
    return choices
