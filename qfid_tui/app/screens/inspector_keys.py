"""The keys of the token inspector, the most important first."""

from __future__ import annotations

from textual.binding import Binding, BindingType


def _key(keys: str, action: str, name: str, tooltip: str, show: bool = False) -> Binding:
    identifier = f"inspector.{name.lower().replace(' ', '_')}"
    return Binding(keys, action, name, show=show, id=identifier, tooltip=tooltip)


BINDINGS: list[BindingType] = [
    _key("question_mark", "help", "Help", "Explain the keys and the numbers", True),
    _key("n", "flip(1)", "Flip", "Go to the next token whose top token changed", True),
    _key(
        "o",
        "own_flip(1)",
        "Own",
        "Go to the next token that flips under this setting and not under the others",
        True,
    ),
    _key("m", "largest(1)", "Worst", "Go to the largest KL, then the next largest", True),
    _key("r", "role(1)", "Role", "Go to what the next role said, in a chat text", True),
    _key("slash", "find", "Find", "Search the text", True),
    _key("right_square_bracket", "chunk(1)", "Chunk", "Go to the next chunk"),
    _key("s", "setting(1)", "Setting", "Show the next setting at the same token", True),
    _key("b", "bars", "Bars", "Show the KL as a bar on each token"),
    _key("escape", "back", "Back", "Leave the search, then the inspector", True),
    _key("N", "flip(-1)", "Previous flip", "Go to the flip before the cursor"),
    _key("O", "own_flip(-1)", "Previous own", "Go to the flip of this setting alone before"),
    _key(
        "v",
        "rival",
        "Other",
        "Choose which settings must not flip: all others, or one after another",
    ),
    _key("f", "match(1)", "Next match", "Go to the next match of the search"),
    _key("F", "match(-1)", "Previous match", "Go to the match before the cursor"),
    _key("R", "role(-1)", "Previous role", "Go to what the role before said"),
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
"""The bindings of the inspector."""
