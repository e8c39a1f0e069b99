"""Files of a model, and texts, that take all time or memory of the library that reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOUBLING = 60
"""Replacements in a chain, each of which doubles a text."""


def _doubled(character: str) -> dict[str, Any]:
    return {
        "type": "Replace",
        "pattern": {"String": character},
        "content": 2 * character,
    }


NORMALIZER = {"type": "Sequence", "normalizers": [_doubled("e")] * DOUBLING}
DECODER = {"type": "Sequence", "decoders": [_doubled("e")] * DOUBLING}
TEMPLATES = {
    "grows": "{% for m in messages %}{{ m.content * 10**10 }}{% endfor %}",
    "never ends": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
        "{% endfor %}{% endfor %}{% endfor %}"
    ),
}


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    """Change the JSON value in a file."""
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_text(json.dumps(data), "utf-8")


def write_parquet_bomb(path: Path, megabytes: int) -> Path:
    """A small Parquet file with one text of so many MB."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"text": ["a" * (megabytes << 20)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)
    return path
