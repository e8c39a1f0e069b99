"""The tiny model with a chat template, and a text of conversations for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tiny_runs import Small
from tiny_tokenizers import CHATML, EOS

ROWS: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": f"what is {i} and {i * i % 7}?"},
            {"role": "assistant", "content": f"it is {i + i * i % 7}, or so they say here"},
        ]
    }
    for i in range(24)
]
"""A token a byte: a row has about a hundred, a third of them the assistant's."""


def chat_model(small: Small, folder: Path, template: str = CHATML, rows: Any = ROWS) -> Small:
    """A copy of the tiny model that has a chat template, and a text of chat rows."""
    model = Path(shutil.copytree(small.model, folder / "chatty"))
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(
        json.dumps({**config, "chat_template": template, "eos_token": EOS})
    )
    text = folder / "chats.jsonl"
    text.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Small(model, text)


def expected(rows: Any = ROWS) -> list[tuple[str, str]]:
    """Each byte of the text that :data:`CHATML` makes, and whose it is; EOS is one token."""
    found: list[tuple[str, str]] = []
    for row in rows:
        for message in row["messages"]:
            role, content = message["role"], message["content"]
            found += [(c, "template") for c in f"<|{role}|>"]
            found += [(c, role) for c in content]
            found.append((EOS, role if role == "assistant" else "template"))
            found.append(("\n", "template"))
    return found
