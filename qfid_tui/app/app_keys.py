"""The keys that work on every screen. The first frame imports this module."""

from __future__ import annotations

from textual.binding import Binding, BindingType

BINDINGS: list[BindingType] = [
    Binding("q", "quit", "Quit", id="app.quit", tooltip="Leave; asks while a run goes on"),
    Binding("ctrl+p", "command_palette", "All", id="app.palette", tooltip="Every action, by name"),
    Binding(
        "ctrl+q",
        "quit",
        "Quit",
        show=False,
        id="app.quit_always",
        priority=True,
        tooltip="Leave, also while typing",
    ),
    Binding(
        "ctrl+z",
        "suspend_process",
        "Suspend",
        show=False,
        id="app.suspend",
        priority=True,
        tooltip="Back to the shell; `fg` returns",
    ),
]
