"""A headless Chromium: pictures of pages, and what it makes of their markup."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
_SECONDS = 120


def chromium() -> str:
    """The program; the test is skipped where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium on this machine: `apt-get install chromium` brings one")
    return found


def _run(folder: Path, url: Path, *options: str) -> str:
    done = subprocess.run(
        [
            *(chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={folder / 'profile'}", *options, url.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=True,
    )
    return done.stdout


def picture(page: Path, to: Path, width: int, height: int, *, dark: bool = False) -> bytes:
    """Take a picture of the top of a page and return the colour of its first pixel, RGB.

    Args:
        page: The page.
        to: Where the PNG goes.
        width: Pixels; a browser's window has 500 at least, narrower ones are a frame in it.
        height: Pixels.
        dark: Whether the reader prefers dark pages.
    """
    shown = page
    if width < 500:
        shown = framed(page, width, height)
    theme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    size = f"--window-size={max(width, 500)},{height}"
    _run(page.parent, shown, size, f"--screenshot={to}", *theme)
    return _first_pixel(to.read_bytes())


def framed(page: Path, width: int, height: int, script: str = "") -> Path:
    """A page that holds another in a frame of a width."""
    outer = page.with_name(f"framed-{width}.html")
    outer.write_text(
        f'<!doctype html><body style="margin:0"><iframe src="{page.name}" '
        f'style="border:0;width:{width}px;height:{height}px"></iframe>{script}',
        "utf-8",
    )
    return outer


def width_of_content(page: Path, width: int) -> int:
    """Pixels that a page takes across where it may have ``width``.

    A copy of it runs a script, which its own policy forbids.
    """
    copy = page.with_name("measured.html")
    tell = "<script>parent.postMessage(document.documentElement.scrollWidth,'*')</script>"
    text = _POLICY.sub("", page.read_text("utf-8"))
    copy.write_text(text.replace("</body>", f"{tell}</body>"), "utf-8")
    hear = "<p></p><script>onmessage=e=>document.querySelector('p').textContent=e.data</script>"
    outer = framed(copy, width, 800, "")
    outer.write_text(outer.read_text("utf-8").replace("<iframe", f"{hear}<iframe"), "utf-8")
    found = re.search(r"<p>(\d+)</p>", _run(page.parent, outer, "--dump-dom"))
    assert found is not None
    return int(found[1])


def parsed(page: Path) -> str:
    """The page as the browser has parsed it, written out again."""
    return _run(page.parent, page, "--dump-dom")


def _first_pixel(png: bytes) -> bytes:
    """The first pixel of a PNG of 8 bits a channel: no filter changes it."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data = 8, b""
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += 12 + size
    return zlib.decompress(data)[1:4]
