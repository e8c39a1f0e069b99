"""Divides the bytes that a terminal sends into key presses, reports and pasted text.

A terminal sends more than keys: replies to questions that some program has asked it, mouse reports,
pasted text. An escape sequence may come whole, in pieces, late, or cut off for good. Textual's
parser takes a sequence that it does not know, or whose rest is late, for the keys of its
characters: a colour reply ``ESC ] 11;rgb:…`` would press ``r``. Here a sequence is followed to its
end as ECMA-48 defines it, and only what is a known key, or a report that the app uses, is passed
on.

Pure standard library.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from enum import Enum, auto

CUT_SECONDS = 2.0
"""A sequence whose next byte is later than this is given up."""

PASTE = "\x1b[200~"
"""What stands before pasted text."""

_LATE_SECONDS = 30.0
# The rest of a sequence that was given up comes in one piece; a key comes alone.
_LATE_BYTES = 2
_LONGEST = 64
_LONGEST_PASTE = 1 << 20
_ESC = 0x1B
_BEL = 0x07
_PASTE_END = b"\x1b[201~"
_STRINGS = frozenset(b"]PX^_")
# Control characters of one byte, as terminals with 8-bit controls send them.
_EIGHT_BIT = {0x8F: "O", 0x90: "P", 0x98: "X", 0x9B: "[", 0x9D: "]", 0x9E: "^", 0x9F: "_"}

_REST_OF_CSI = re.compile(rb"[0-?]*[ -/]*[@-~]")
_REST_OF_STRING = re.compile(rb"[^\x00-\x06\x08-\x1f]*?(?:\x07|\x1b\\|\Z)")
_REST_OF_ESCAPE = re.compile(
    rb"\[[0-?]*[ -/]*[@-~]|O[0-9;]*[@-~]|[]PX^_][^\x00-\x06\x08-\x1f]*?(?:\x07|\x1b\\|\Z)"
)
_CONTROLS = re.compile(r"[\x80-\x9f]")


class _State(Enum):
    TEXT = auto()
    ESCAPE = auto()
    CSI = auto()
    SS3 = auto()
    STRING = auto()
    STRING_ESCAPE = auto()
    OLD_MOUSE = auto()
    BROKEN_MOUSE = auto()
    PASTE = auto()


_REST = {
    _State.ESCAPE: _REST_OF_ESCAPE,
    _State.CSI: _REST_OF_CSI,
    _State.SS3: _REST_OF_CSI,
    _State.STRING: _REST_OF_STRING,
    _State.STRING_ESCAPE: _REST_OF_STRING,
}


class InputBytes:
    """Takes what is read from a terminal and gives what may be passed on.

    Each item given is a character, one whole escape sequence, ESC and a character for a key with
    alt, or :data:`PASTE` and the text that was pasted.
    """

    def __init__(self, accept: Callable[[str], str | None], escape_delay: float) -> None:
        """Begin without input.

        Args:
            accept: Takes a whole sequence that begins with ``ESC [`` or ``ESC O`` and gives what is
                passed on in its place; None for nothing.
            escape_delay: Seconds after which a lone ESC is the escape key.
        """
        self._accept = accept
        self._escape_delay = escape_delay
        self._state = _State.TEXT
        self._sequence = ""
        self._old_mouse = 0
        self._pasted = bytearray()
        self._is_alt = False
        self._decode = codecs.getincrementaldecoder("utf-8")("ignore")
        self._last = 0.0
        self._given_up: tuple[_State, float] | None = None

    def feed(self, data: bytes, now: float) -> list[str]:
        """Take what was read at once.

        Args:
            data: The bytes.
            now: When, seconds of a monotonic clock.
        """
        found = self.tick(now)
        waited, self._last = now - self._last, now
        data = data[self._late_part(data, now, waited) :]
        found += list(self._taken(data))
        if self._state is _State.BROKEN_MOUSE:
            self._state = _State.TEXT
        return found

    def tick(self, now: float) -> list[str]:
        """Give what is due by now although nothing more has come.

        Args:
            now: As of :meth:`feed`.
        """
        state, waited = self._state, now - self._last
        if state is _State.ESCAPE and waited >= self._escape_delay:
            self._give_up(now)
            return ["\x1b"]
        if state is _State.TEXT or waited < CUT_SECONDS:
            return []
        if state is _State.PASTE:
            return self._paste() if self._pasted else []
        self._give_up(now)
        return []

    def _give_up(self, now: float) -> None:
        self._given_up = (self._state, now)
        self._state = _State.TEXT

    def _late_part(self, data: bytes, now: float, waited: float) -> int:
        """How many of the bytes are the rest of a sequence that was given up."""
        if self._state is _State.PASTE:
            # A key that is pressed alone ends a paste whose end was lost.
            if len(data) < _LATE_BYTES and not self._pasted and waited >= CUT_SECONDS:
                self._state = _State.TEXT
            return 0
        if self._given_up is None or self._state is not _State.TEXT:
            return 0
        state, since = self._given_up
        self._given_up = None
        if len(data) < _LATE_BYTES or now - since > _LATE_SECONDS or state not in _REST:
            return 0
        rest = _REST[state].match(data)
        return 0 if rest is None else rest.end()

    def _taken(self, data: bytes) -> Iterator[str]:
        at = 0
        while at < len(data):
            if self._state is _State.PASTE:
                at = self._take_pasted(data, at)
                if self._state is not _State.PASTE:
                    yield from self._paste()
                continue
            byte = data[at]
            at += 1
            yield from self._take(byte)

    def _take(self, byte: int) -> Iterator[str]:
        state = self._state
        if state is _State.TEXT:
            yield from self._take_text(byte)
        elif state is _State.ESCAPE:
            yield from self._take_after_escape(byte)
        elif state in (_State.CSI, _State.SS3):
            yield from self._take_of_sequence(byte)
        elif state is _State.OLD_MOUSE:
            self._old_mouse -= 1
            if not self._old_mouse:
                self._state = _State.TEXT
        elif state is _State.BROKEN_MOUSE:
            if byte in b"Mm":
                self._state = _State.TEXT
            elif byte == _ESC:
                self._state = _State.ESCAPE
        elif state is _State.STRING_ESCAPE and byte != ord("\\"):
            # A sequence that begins inside of a string ends it.
            self._state = _State.ESCAPE
            yield from self._take_after_escape(byte)
        elif state is _State.STRING_ESCAPE or byte == _BEL:
            self._state = _State.TEXT
        elif byte == _ESC:
            self._state = _State.STRING_ESCAPE
        elif byte < 0x20:
            # No report holds a control character: this is a key.
            self._state = _State.TEXT
            yield from self._take_text(byte)

    def _take_text(self, byte: int) -> Iterator[str]:
        inside_character = bool(self._decode.getstate()[0])
        if byte == _ESC:
            self._decode.reset()
            self._state = _State.ESCAPE
        elif not inside_character and byte in _EIGHT_BIT:
            self._begin(_EIGHT_BIT[byte])
        else:
            text = _CONTROLS.sub("", self._decode.decode(bytes((byte,))))
            if text and self._is_alt:
                self._is_alt = False
                text = "\x1b" + text
            if text:
                yield text

    def _take_after_escape(self, byte: int) -> Iterator[str]:
        self._is_alt = False
        if byte == _ESC:
            # The first was the key; the second may begin a sequence.
            yield "\x1b"
        elif byte in b"[O" or byte in _STRINGS:
            self._begin(chr(byte))
        else:
            self._state = _State.TEXT
            self._is_alt = True
            yield from self._take_text(byte)

    def _begin(self, introducer: str) -> None:
        self._sequence = "\x1b" + introducer
        states = {"[": _State.CSI, "O": _State.SS3}
        self._state = states.get(introducer, _State.STRING)

    def _take_of_sequence(self, byte: int) -> Iterator[str]:
        if byte == _ESC:
            self._state = _State.ESCAPE
            return
        if byte < 0x20:
            self._state = _State.TEXT
            yield from self._take_text(byte)
            return
        if byte >= 0x7F:
            self._state = _State.TEXT
            return
        if len(self._sequence) < _LONGEST:
            self._sequence += chr(byte)
        # `ESC [ [ A` is F1 of the Linux console, `ESC [ 3 $` shift and delete of rxvt.
        is_last = 0x40 <= byte and self._sequence != "\x1b[["
        if is_last or (byte == ord("$") and self._accept(self._sequence) is not None):
            yield from self._ended_sequence()

    def _ended_sequence(self) -> Iterator[str]:
        sequence = self._sequence
        self._state = _State.TEXT
        if sequence == "\x1b[M":
            self._state, self._old_mouse = _State.OLD_MOUSE, 3
        elif sequence == PASTE:
            self._state = _State.PASTE
        elif len(sequence) < _LONGEST:
            if sequence.startswith("\x1b[<") and sequence[-1] not in "Mm":
                # The rest of a mouse report that is none, such as `NaN` in the place of a number.
                self._state = _State.BROKEN_MOUSE
            passed = self._accept(sequence)
            if passed is not None:
                yield passed

    def _take_pasted(self, data: bytes, at: int) -> int:
        """Take pasted bytes from a place on; return the place after them."""
        before = len(self._pasted)
        self._pasted += data[at:]
        end = self._pasted.find(_PASTE_END, max(0, before - len(_PASTE_END)))
        if end < 0:
            if len(self._pasted) > _LONGEST_PASTE:
                del self._pasted[_LONGEST_PASTE : -len(_PASTE_END)]
            return len(data)
        after = at + end + len(_PASTE_END) - before
        del self._pasted[end:]
        self._state = _State.TEXT
        return after

    def _paste(self) -> list[str]:
        text = self._pasted[:_LONGEST_PASTE].decode("utf-8", "ignore")
        self._pasted.clear()
        return [PASTE + text]
