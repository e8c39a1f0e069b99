"""What a terminal sends: keys pass, and whatever else comes presses nothing, whole, cut or late."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import XTermParser

from qfid_tui.app.terminal.driver import messages_of
from qfid_tui.app.terminal.input_bytes import CUT_SECONDS, PASTE, InputBytes
from qfid_tui.app.terminal.key_sequences import accepted

DELAY = 0.1
LATE = CUT_SECONDS + 0.5

REPLIES = {
    "device": b"\x1b[?62;22c",
    "secondary device": b"\x1b[>0;276;0c",
    "device status": b"\x1b[0n",
    "background": b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\",
    "palette": b"\x1b]4;1;rgb:cccc/0000/0000\x07",
    "version": b"\x1bP>|terminal(379)\x1b\\",
    "graphics": b"\x1b_Gi=1;OK\x1b\\",
    "window": b"\x1b[8;24;80t",
    "kitty flags": b"\x1b[?25u",
    "old mouse": b"\x1b[M \xff\xfe",
    "mouse without number": b"\x1b[<0;NaN;5M",
    "huge mouse": b"\x1b[<0;" + b"9" * 60 + b";5M",
    "huge resize": b"\x1b[48;99999;99999;1;1t",
    "released key": b"\x1b[114;1:3u",
    "key beyond unicode": b"\x1b[1114112u",
    "endless number": b"\x1b[" + b"7" * 5000 + b"u",
    "8-bit device": b"\x9b?62;22c",
}


def pieces(parts: Iterable[tuple[bytes, float]]) -> list[str]:
    """What is passed on of parts, each read so many seconds after the one before."""
    taken, now, found = InputBytes(accepted, DELAY), 100.0, list[str]()
    for data, pause in parts:
        steps = max(1, int(pause / 0.05))
        for step in range(steps):
            found += taken.tick(now + pause * step / steps)
        now += pause
        found += taken.feed(data, now)
    for step in range(100):
        found += taken.tick(now + 0.05 * step)
    return found


def keys(data: bytes) -> list[str]:
    """The keys that Textual's parser makes of what is passed on."""
    parser = XTermParser()
    found = []
    for piece in pieces([(data, 0.0)]):
        for event in messages_of(piece, parser):
            found += [event.key] if isinstance(event, events.Key) else [type(event).__name__]
    return found


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_reply_presses_nothing_and_takes_no_key_along(reply: bytes) -> None:
    assert pieces([(reply, 0.0)]) == []
    assert pieces([(reply, 0.0), (b"r", 0.3)]) == ["r"]
    assert pieces([(b"j" + reply, 0.0), (b"k", 0.0)]) == ["j", "k"]


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_reply_on_a_slow_line_presses_nothing(reply: bytes) -> None:
    if reply == REPLIES["mouse without number"] or len(reply) > 100:
        pytest.skip("what is no sequence has no end that could be waited for")
    assert pieces([(reply[:2], 0.0), *((bytes((b,)), 0.25) for b in reply[2:])]) == []


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("cut", [2, 3, 5])
def test_a_reply_that_is_cut_presses_nothing_whether_its_rest_comes_late_or_never(
    reply: bytes, cut: int
) -> None:
    if reply in (REPLIES["old mouse"], REPLIES["mouse without number"], REPLIES["8-bit device"]):
        cut = min(cut, 3)
    if len(reply) - cut < 2 or reply == REPLIES["mouse without number"]:
        return
    assert pieces([(reply[:cut], 0.0)]) == []
    assert pieces([(reply[:cut], 0.0), (reply[cut:], 1.0)]) == []
    if reply != REPLIES["old mouse"]:
        assert pieces([(reply[:cut], 0.0), (reply[cut:], LATE)]) == []
    assert pieces([(reply[:cut], 0.0), (b"r", LATE), (b"q", 0.1)]) == ["r", "q"]


def test_a_cut_colour_reply_starts_no_run() -> None:
    assert pieces([(b"\x1b]11;rgb:f", 0.0), (b"fff/ffff/ffff\x1b\\", LATE), (b"x", 1.0)]) == ["x"]


def test_an_escape_key_waits_for_its_sequence() -> None:
    assert pieces([(b"\x1b", 0.0)]) == ["\x1b"]
    assert pieces([(b"\x1b", 0.0), (b"[A", DELAY / 2)]) == ["\x1b[A"]
    # Later than the delay: the key was pressed, and the rest of the sequence is no key.
    assert pieces([(b"\x1b", 0.0), (b"[A", DELAY * 3), (b"j", 1.0)]) == ["\x1b", "j"]
    assert pieces([(b"\x1b\x1b[A", 0.0)]) == ["\x1b", "\x1b[A"]


def test_bytes_that_are_not_utf_8_are_dropped() -> None:
    assert pieces([(b"a\xff\xfe\xc3b\x80", 0.0)]) == ["a", "b"]
    assert pieces([("ж".encode()[:1], 0.0), ("ж".encode()[1:], 0.2)]) == ["ж"]
    assert pieces([("\x9b1;2u".encode(), 0.0)]) == ["1", ";", "2", "u"]


def test_pasted_text_is_one_piece_whatever_it_holds() -> None:
    text = "r\x1b[Aq\x1b]11;rgb:f" + "x" * 40
    data = b"\x1b[200~" + text.encode() + b"\xff\x1b[201~"
    assert pieces([(data, 0.0), (b"j", 0.1)]) == [PASTE + text, "j"]
    parts = [(bytes((byte,)), 0.01) for byte in data]
    assert pieces([*parts, (b"j", 0.1)]) == [PASTE + text, "j"]


def test_a_paste_whose_end_is_lost_ends_with_a_key_that_is_pressed_alone() -> None:
    assert pieces([(b"\x1b[200~one", 0.0), (b"j", LATE)]) == [PASTE + "one", "j"]
    assert pieces([(b"\x1b[200~one", 0.0), (b"two\x1b[201~", LATE), (b"j", 0.1)]) == [
        PASTE + "one",
        PASTE + "two",
        "j",
    ]


def test_every_sequence_that_textual_knows_is_passed_on() -> None:
    for sequence in ANSI_SEQUENCES_KEYS:
        if len(sequence) > 1 and sequence.isascii():
            found = "".join(pieces([(sequence.encode(), 0.0)]))
            assert found == sequence, repr(sequence)


def test_keys_mice_and_reports_reach_textual() -> None:
    assert keys(b"r\r\x1bx\x1b[A\x1bOP") == ["r", "enter", "alt+x", "up", "f1"]
    assert keys(b"\x1b[114u\x1b[27u\x1b[99;5u") == ["r", "escape", "ctrl+c"]
    # The same keys as a terminal reports them with the key of another layout and the kind of event.
    assert keys(b"\x1b[1092:1060:97;1:1u") == keys(b"\x1b[1092;1u")
    assert keys(b"\x1b[<0;5;5M\x1b[I\x1b[?2026;2$y") == [
        "MouseDown",
        "AppFocus",
        "TerminalSupportsSynchronizedOutput",
    ]


_PARTS = st.lists(
    st.one_of(
        st.sampled_from([b"\x1b", b"\x1b[", b"\x1b]", b"\x1b[<", b"\x1b[200~", b"\x1b[201~", b"M"]),
        st.sampled_from(list(REPLIES.values())),
        st.binary(max_size=6),
        st.text("0123456789:;?<>uRMmtcABCDNa~$", max_size=8).map(str.encode),
    ),
    max_size=12,
)


@given(_PARTS, st.lists(st.sampled_from([0.0, 0.05, 0.3, 3.0]), min_size=12, max_size=12))
def test_no_bytes_break_the_parser(parts: list[bytes], pauses: list[float]) -> None:
    parser = XTermParser()
    for piece in pieces(zip(parts, pauses, strict=False)):
        messages_of(piece, parser)


@given(_PARTS, st.integers(1, 5))
def test_how_the_bytes_were_read_makes_no_difference(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)
    if b"\x1b[<" in data or data.endswith(b"\x1b"):
        return
    whole = pieces([(data, 0.0)])
    assert pieces([(data[at : at + size], 0.0) for at in range(0, len(data), size)]) == whole
