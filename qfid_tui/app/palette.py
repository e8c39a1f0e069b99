"""The command palette: every action of the screen and of the app, with what it does and its key."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.markup import escape
from textual.widget import Widget

from qfid_tui.app.actions import ScreenAction, screen_actions


class QfidCommands(Provider):
    """Offers the actions of the screen the palette was opened on, also those without a footer key.

    What cannot be done now is offered last and says so: a missing entry would read as a missing
    feature.
    """

    async def discover(self) -> Hits:
        """All actions, those that can be done now first."""
        for action in self._actions():
            yield DiscoveryHit(
                Content(_name(action)), self._run(action), _name(action), _help(action)
            )

    async def search(self, query: str) -> Hits:
        """The actions whose verb or sentence is like what was typed."""
        matcher = self.matcher(query)
        for action in self._actions():
            in_name = matcher.match(_name(action))
            score = max(in_name, 0.7 * matcher.match(action.what))
            if score > 0:
                shown = matcher.highlight(_name(action)) if in_name else Content(_name(action))
                if not action.possible:
                    score *= 0.5
                yield Hit(score, shown, self._run(action), _name(action), _help(action))

    def _actions(self) -> list[ScreenAction]:
        here = [a for a in screen_actions(self.screen) if a.action != "command_palette"]
        return sorted(here, key=lambda action: not action.possible)

    def _run(self, action: ScreenAction) -> Callable[[], Coroutine[Any, Any, None]]:
        return partial(self._perform, action)

    async def _perform(self, action: ScreenAction) -> None:
        if not action.possible:
            self.app.notify(f"{action.title}: not possible now", markup=False)
            return
        node = action.node
        if isinstance(node, Widget) and node.focusable:
            node.focus()
        await self.app.run_action(action.action, node)


def _name(action: ScreenAction) -> str:
    return f"{action.title}  ({' or '.join(action.keys)})"


def _help(action: ScreenAction) -> str:
    what = action.what if action.possible else f"Not possible now · {action.what}"
    return escape(what)
