"""The driver of the app: Textual's, with an input that no byte can break.

Textual's own ends the app at a byte that is not UTF-8, takes replies of the terminal for keys, and
draws on standard error whatever that is. Everything else is left to it.
"""

from __future__ import annotations

import os
import selectors
import sys
import time
from io import TextIOWrapper
from typing import Any

from textual import constants, events
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from qfid_tui.app.terminal.input_bytes import PASTE, InputBytes
from qfid_tui.app.terminal.key_pace import KeyPace
from qfid_tui.app.terminal.key_sequences import accepted

_BYTES = 4096
_TICK_SECONDS = 0.05
# Over a network the rest of a sequence can be later than the tenth of a second of Textual.
_REMOTE_ESCAPE_DELAY = 0.5


class TerminalDriver(LinuxDriver):
    """Draws on the terminal, in UTF-8, and reads its keys."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        """Take the terminal; options are those of Textual's driver."""
        super().__init__(app, **options)
        self._file = painted_stream()

    def run_input_thread(self) -> None:
        """Read what the terminal sends until the app ends."""
        taken = InputBytes(accepted, escape_delay())
        parser = XTermParser(self._debug)
        pace = KeyPace(self._app, self._loop)
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                data = b""
                if selector.select(_TICK_SECONDS):
                    try:
                        data = os.read(self.fileno, _BYTES)
                    except OSError:
                        data = b""
                    if not data:
                        # The terminal is gone. The app is ended by the signal that goes with it.
                        self.exit_event.wait(_TICK_SECONDS)
                now = time.monotonic()
                for piece in taken.feed(data, now) if data else taken.tick(now):
                    parser = self._pass_on(piece, parser, pace, now)

    def _pass_on(self, piece: str, parser: XTermParser, pace: KeyPace, now: float) -> XTermParser:
        """Give the events of a piece to the app; return the parser of the next one."""
        try:
            messages = messages_of(piece, parser)
        except Exception:
            # What Textual cannot read presses nothing.
            return XTermParser(self._debug)
        for message in messages:
            pace.wait(message, now)
            self.process_message(message)
        return parser


def messages_of(piece: str, parser: XTermParser) -> list[Message]:
    """Textual's messages of a piece of input.

    Args:
        piece: As :class:`InputBytes` gives it.
        parser: Textual's.
    """
    if piece.startswith(PASTE):
        # The parser would take an ESC within for the begin of a key.
        return [events.Paste(piece.removeprefix(PASTE))]
    messages = list(parser.feed(piece))
    # A piece is whole: an ESC at its end is a key, and nothing is waited for.
    if parser._timeout_time is not None:
        parser._timeout_time = 0.0
        messages += parser.tick()
    return messages


def escape_delay() -> float:
    """Seconds after which a lone ESC is the escape key; ``ESCDELAY``, in milliseconds, sets it."""
    is_remote = any(os.environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY"))
    if is_remote and not os.environ.get("ESCDELAY"):
        return _REMOTE_ESCAPE_DELAY
    return constants.ESCAPE_DELAY


def painted_stream() -> TextIOWrapper:
    """The terminal as a stream of UTF-8: that of standard error, else that of standard output."""
    for stream in (sys.__stderr__, sys.__stdout__):
        if stream is not None and stream.isatty():
            return open(stream.fileno(), "w", encoding="utf-8", errors="replace", closefd=False)
    raise OSError("neither standard error nor standard output is a terminal")
