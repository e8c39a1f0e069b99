"""Which actions there are on a screen now, with their keys: for the palette and for the help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from textual.actions import parse
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class ScreenAction:
    """One thing the user can do.

    Attributes:
        node: The app, screen or widget whose action it is.
        id: Of its binding, by which the settings file may give it another key; "" for none.
        action: The action, as its binding names it.
        keys: The keys as the footer shows them, none twice.
        title: The verb of the footer.
        tooltip: A sentence about it, or "".
        possible: Whether it can be done now.
        in_footer: Whether the footer shows it.
    """

    node: DOMNode
    id: str
    action: str
    keys: tuple[str, ...]
    title: str
    tooltip: str
    possible: bool
    in_footer: bool

    @property
    def what(self) -> str:
        """What it does, in as many words as there are."""
        return self.tooltip or self.title


class HelpKey(NamedTuple):
    """An action as the help names it: its keys, what it does, the id of its binding or ""."""

    keys: str
    what: str
    id: str


def screen_actions(screen: Screen[Any]) -> list[ScreenAction]:
    """The actions of a screen, of its widgets that name theirs, and of the app behind it.

    Bindings without an id are Textual's own: they move a cursor or a focus and are left out,
    except those of the app, such as quitting. What several widgets do alike is that of the one
    with the focus. What the footer shows comes first.
    """
    found: dict[tuple[object, ...], ScreenAction] = {}
    owners: dict[str, DOMNode] = {}
    for node, binding in _bindings(screen):
        if not binding.description or binding.system:
            continue
        if binding.id is not None and owners.setdefault(binding.id, node) is not node:
            continue
        target, name, parameters = _target(node, binding.action)
        same = id(target), name, parameters
        display = screen.app.get_key_display(binding)
        known = found.get(same)
        if known is None:
            found[same] = ScreenAction(
                node,
                binding.id or "",
                binding.action,
                (display,),
                binding.description,
                binding.tooltip,
                bool(target.check_action(name, parameters)),
                binding.show,
            )
        elif binding.show and not known.in_footer:
            # The action that the footer shows comes first.
            found[same] = replace(
                known,
                keys=(display, *known.keys),
                title=binding.description,
                tooltip=binding.tooltip,
                in_footer=True,
            )
        elif display not in known.keys:
            found[same] = replace(known, keys=(*known.keys, display))
    return sorted(found.values(), key=lambda action: not action.in_footer)


def refused_action(screen: Screen[Any], key: str) -> str | None:
    """Return the name of the screen's action on a key if it cannot be done now, else None."""
    for binding in _mapped(screen):
        if binding.key == key:
            target, name, parameters = _target(screen, binding.action)
            return None if target.check_action(name, parameters) else name
    return None


def has_key(screen: Screen[Any], key: str) -> bool:
    """Whether a key belongs to an action of the focused widget, the screen or the app."""
    nodes = [screen] if screen.focused is None else screen.focused.ancestors_with_self
    return any(binding.key == key for node in (*nodes, screen.app) for binding in _mapped(node))


def help_keys(screen: Screen[Any]) -> list[HelpKey]:
    """The keys of a screen, for the help over it."""
    return [
        HelpKey(" ".join(action.keys), action.what, action.id) for action in screen_actions(screen)
    ]


def _bindings(screen: Screen[Any]) -> Iterator[tuple[DOMNode, Binding]]:
    taken = set()
    focused = [] if screen.focused is None else [screen.focused]
    for node in dict.fromkeys((*focused, *screen.walk_children(Widget), screen)):
        if node.display:
            for binding in _mapped(node):
                if binding.id is not None:
                    if node is screen:
                        taken.add(binding.key)
                    yield node, binding
    if not screen.is_modal:
        for binding in _mapped(screen.app):
            # The screen's own meaning of a key hides the app's.
            if binding.key not in taken:
                yield screen.app, binding


def _mapped(node: DOMNode) -> list[Binding]:
    """A node's bindings after the user's own keys have replaced ours.

    The only place that reaches into Textual: what is public, ``Screen.active_bindings``, leaves
    out whatever does not have the focus, and that is to be found in the palette and the help too.
    """
    bindings = node._bindings.copy()
    if node.app._keymap:
        bindings.apply_keymap(node.app._keymap)
    return [binding for _, binding in bindings]


def _target(node: DOMNode, action: str) -> tuple[DOMNode, str, tuple[object, ...]]:
    """The node that an action is run on, its name there and its parameters."""
    namespace, name, parameters = parse(action)
    if namespace == "app":
        return node.app, name, parameters
    if namespace == "screen" and isinstance(node, Widget):
        return node.screen, name, parameters
    return node, name, parameters
