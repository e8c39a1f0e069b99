"""Letters of another keyboard layout, or of caps lock, that stand for a key of the app."""

from __future__ import annotations

from textual.events import Key
from textual.keys import _character_to_key
from textual.screen import Screen

from qfid_tui.app.actions import has_key

_PLACES = {
    "Russian": (
        "йцукенгшщзхъфывапролджэячсмитьбюё",
        "qwertyuiop[]asdfghjkl;'zxcvbnm,.`",
    ),
    "Ukrainian": ("іїєґ", "s]'\\"),
    "Greek": (
        "ςερτυθιοπασδφγηξκλζχψωβνμ",
        "wertyuiopasdfghjklzxcvbnm",
    ),
    "Hebrew": (
        "קראטוןםפשדגכעיחלךףזסבהנמצתץ",
        "ertyuiopasdfghjkl;zxcvbnm,.",
    ),
}
"""Letters of a layout, and what a US keyboard has in their places."""

_US = {
    letter: us
    for letters, of_us in _PLACES.values()
    for letter, us in zip(letters, of_us, strict=True)
}
_MANY = 3


class KeyPlaces:
    """Finds the key that a letter stands for; says so where letters stand for none."""

    def __init__(self) -> None:
        self._unknown = 0

    def meant(self, event: Key, screen: Screen[object]) -> Key:
        """The key that the user means.

        Args:
            event: A key that was pressed.
            screen: The screen on top.

        Returns:
            ``event`` where its own key does something, where text is typed, or where no other key
            is known for it.
        """
        focused, character = screen.focused, event.key.rpartition("+")[2]
        if len(character) != 1 or not (character.isupper() or character > "\x7f"):
            self._unknown = 0
            return event
        if focused is not None and focused.check_consume_key(event.key, event.character):
            return event
        if has_key(screen, event.key):
            return event
        others = keys_in_place(event.key)
        for key in others:
            if has_key(screen, key):
                self._unknown = 0
                return Key(key, None)
        if not others and character.isalpha():
            self._unknown += 1
            if self._unknown == _MANY:
                self._unknown = 0
                text = f"“{character}” is no key: keys are Latin letters, switch the layout"
                screen.notify(text, severity="warning", markup=False)
        return event


def keys_in_place(key: str) -> list[str]:
    """The keys that a letter may stand for, the likeliest first; none for a Latin small letter.

    Args:
        key: As Textual names it, with modifiers such as ``ctrl+``.
    """
    modifiers, plus, letter = key.rpartition("+")
    if len(letter) != 1:
        return []
    small = letter.lower()
    us = _US.get(small, small)
    if us > "\x7f":
        return []
    found = [us.upper(), us] if letter.isupper() else [us]
    return [
        modifiers + plus + _character_to_key(other)
        for other in dict.fromkeys(found)
        if other != letter
    ]
