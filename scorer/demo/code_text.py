"""Makes the code text from the source of this project: ``python -m scorer.demo.code_text``.

Run it from a checkout. The result is frozen: another text changes every figure that was measured on
it, so that it is made anew only on purpose.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from scorer.demo.code import CODE_FILE
from scorer.demo.frozen_text import joined

MOST = 195_000
"""Bytes of the text at most."""

_PACKAGES = ("scorer", "qfid_tui")
_ENDINGS = (".py", ".h")
_LEAST = 600


def documents(root: Path, most: int = MOST) -> list[tuple[str, str]]:
    """Files of source, in an order that depends on their names alone, as far as there is room.

    Args:
        root: The checkout.
        most: Bytes.

    Returns:
        (path, text) pairs; files too small to say anything are left out.
    """
    paths = [
        path
        for package in _PACKAGES
        for path in sorted((root / package).rglob("*"))
        if path.suffix in _ENDINGS and path.stat().st_size >= _LEAST
    ]
    names = {path.relative_to(root).as_posix(): path for path in paths}
    found: list[tuple[str, str]] = []
    size = 0
    for name in sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest()):
        text = names[name].read_text("utf-8")
        size += len(joined([(name, text)]).encode())
        if size > most:
            break
        found.append((name, text))
    return found


def main() -> None:
    """Write the file and print its SHA-256, which stands in ``scorer/demo/code/__init__.py``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout")
    parser.add_argument("--output", type=Path, default=CODE_FILE)
    args = parser.parse_args()
    data = joined(documents(args.root)).encode()
    args.output.write_bytes(data)
    print(hashlib.sha256(data).hexdigest(), len(data))


if __name__ == "__main__":
    main()
