"""Text onto the clipboard: the desktop's own tool where there is one, and the terminal's way.

A terminal takes OSC 52 or drops it and never says which, tmux by default drops it: nothing here
claims that the text has arrived, and whoever copies also names a file.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App

_REMOTE = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
_PATIENCE = 3.0  # seconds
# Tool, the variable that says its display server is there, arguments.
_TOOLS = (
    ("wl-copy", "WAYLAND_DISPLAY", ()),
    ("xclip", "DISPLAY", ("-selection", "clipboard")),
    ("xsel", "DISPLAY", ("--clipboard", "--input")),
)


def native_tools() -> list[list[str]]:
    """The commands that would reach the clipboard of the desktop before the user, best first.

    None over ssh: their clipboard would be that of the machine at the other end.
    """
    if any(os.environ.get(name) for name in _REMOTE):
        return []
    if sys.platform == "darwin":
        tool = shutil.which("pbcopy")
        return [[tool]] if tool else []
    found = []
    for name, display, arguments in _TOOLS:
        tool = shutil.which(name) if os.environ.get(display) else None
        if tool:
            found.append([tool, *arguments])
    return found


def copy_natively(text: str) -> str | None:
    """Give the text to the first tool that takes it; blocks for up to some seconds.

    Returns:
        The name of the tool that took it, or None.
    """
    data = text.encode("utf-8", "replace")
    for command in native_tools():
        try:
            done = subprocess.run(
                command,
                input=data,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE,
                # The tools of X and Wayland stay behind to serve the text, also when the app ends.
                start_new_session=True,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0:
            return Path(command[0]).name
    return None


async def copy(app: App[Any], text: str) -> str:
    """Copy by every way there is, without holding up the app.

    Returns:
        What was done, as the end of a sentence.
    """
    # Lone surrogates have no encoding and would end the app.
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    app.copy_to_clipboard(encodable)
    tool = await asyncio.to_thread(copy_natively, encodable)
    sent = "sent to the terminal's clipboard"
    return f"{sent} and copied with {tool}" if tool else sent
