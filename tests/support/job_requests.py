"""A request that is valid until a test spoils it, for the child and for the command line."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

from tiny_runs import Small


@dataclass
class Asked:
    """One request, and the same on the command line.

    Attributes:
        small: A model and a text of the test's own.
        request: The job as the child reads it.
        arguments: What follows ``qfid kv``.
    """

    small: Small
    request: dict[str, Any] = field(init=False)
    arguments: dict[str, str | None] = field(init=False)

    def __post_init__(self) -> None:
        self.request = self.small.job("8", chunks="spread").to_json()
        self.arguments = {
            "--kv-bits": "8",
            "--corpus": str(self.small.text),
            "--chunk-length": "32",
            "--max-chunks": "2",
        }

    def set(self, option: str, value: str, key: str, json_value: Any) -> None:
        self.request[key] = json_value
        self.arguments[option] = value

    def length(self, tokens: int) -> None:
        self.set("--chunk-length", str(tokens), "chunk_length", tokens)

    def model(self, name: str) -> None:
        self.request["model"] = name

    def text(self, content: bytes, suffix: str = ".txt") -> None:
        path = self.small.text.with_name(f"corpus{suffix}")
        path.write_bytes(content)
        self.set("--corpus", str(path), "corpus", str(path))

    def config(self, **changes: Any) -> None:
        path = self.small.model / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def words(self) -> list[str]:
        """What follows ``qfid``."""
        words = ["kv", self.request["model"]]
        for option, value in self.arguments.items():
            words += [option] if value is None else [option, value]
        return words

    def command_line(self) -> list[str]:
        return [sys.executable, "-m", "qfid_tui.cli", *self.words()]
