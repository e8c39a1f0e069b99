"""A panel in the middle of the screen, over the screen that asked for it."""

from __future__ import annotations

from typing import TypeVar

from textual.screen import ModalScreen

ResultT = TypeVar("ResultT")


class PanelScreen(ModalScreen[ResultT]):
    """Base of the small screens: one bordered panel with the class ``panel``."""

    DEFAULT_CSS = """
    PanelScreen {
        align: center middle;
    }
    PanelScreen .panel {
        width: 76;
        max-width: 100%;
        height: auto;
        max-height: 100%;
        padding: 0 1;
        border: round $primary;
        background: $surface;
        border-title-style: bold;
    }
    PanelScreen .buttons {
        height: auto;
        margin-top: 1;
        align-horizontal: right;
    }
    PanelScreen .buttons Button {
        margin-left: 2;
    }
    PanelScreen .buttons Button:focus {
        text-style: bold reverse;
    }
    """
