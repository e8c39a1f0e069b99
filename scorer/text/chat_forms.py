"""The forms in which a row of a file holds a conversation, as a list of messages.

``messages`` as the Hub's chat data sets and OpenAI write them; ``conversations`` as ShareGPT does,
with ``from`` and ``value``; ``prompt`` and ``completion``, each a text or a list of messages.
"""

from __future__ import annotations

import json
from typing import Any

FORMS = ("messages", "conversations", "prompt")
"""The keys that rows of conversations are known by; with ``prompt`` goes ``completion``."""

_SHAREGPT = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "observation": "tool",
}
_CALLS = ("function_call", "tool_call")


def form_of(row: dict[str, Any]) -> str | None:
    """The key by which a row holds a conversation; None where it holds none.

    A row that has several, such as ``prompt`` beside the ``messages`` it begins, is read by the
    first of :data:`FORMS`.
    """
    found = next((key for key in FORMS if key in row), None)
    return None if found == "prompt" and "completion" not in row else found


def keys_of(form: str) -> tuple[str, ...]:
    """The keys of a row that a form reads."""
    return ("prompt", "completion", "tools") if form == "prompt" else (form, "system", "tools")


def messages_of(form: str, row: dict[str, Any]) -> list[Any]:
    """The messages of a row, each as the file has it.

    Args:
        form: As of :func:`form_of`.
        row: The row.

    Raises:
        ValueError: It holds no list of messages; the text says what, as a part of a sentence.
    """
    if form == "prompt":
        return [*_side(row, "prompt", "user"), *_side(row, "completion", "assistant")]
    found = row[form]
    if isinstance(found, str) and form == "conversations":
        # Some data sets keep the list as JSON text.
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            found = None
    if not isinstance(found, list) or not found:
        raise ValueError(f"`{form}` that is no list of messages")
    messages = [_from_sharegpt(message) for message in found]
    system = row.get("system")
    if form == "conversations" and isinstance(system, str) and system.strip():
        messages.insert(0, {"role": "system", "content": system})
    return messages


def _side(row: dict[str, Any], key: str, role: str) -> list[Any]:
    value = row[key]
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list) or not value:
        raise ValueError(f"`{key}` that is neither a text nor a list of messages")
    return [_from_sharegpt(message) for message in value]


def _from_sharegpt(message: Any) -> Any:
    """A message with ``from`` and ``value`` as one with ``role`` and ``content``; others as is."""
    if not isinstance(message, dict) or "role" in message or "from" not in message:
        return message
    said, value = message["from"], message.get("value")
    if said in _CALLS:
        return {"role": "assistant", "content": "", "tool_calls": _calls(value)}
    role = _SHAREGPT.get(said, said) if isinstance(said, str) else said
    return {"role": role, "content": value}


def _calls(value: Any) -> list[Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        found = None
    calls = found if isinstance(found, list) else [found]
    if not calls or not all(isinstance(c, dict) and isinstance(c.get("name"), str) for c in calls):
        raise ValueError("a `function_call` that is no JSON with `name` and `arguments`")
    return [
        {"type": "function", "function": {"name": c["name"], "arguments": c.get("arguments", {})}}
        for c in calls
    ]
