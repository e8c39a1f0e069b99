"""Rows of conversations, in the form that the chat template of a model takes.

Content is prepared as mlx-lm's server prepares a request (``mlx_lm/server.py``,
``process_message_content``): a list of text parts is joined, no content is empty content, and
arguments of a tool call that are written as JSON text are read. Templates expect that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from scorer.common.errors import InputError
from scorer.text.chat_forms import messages_of
from scorer.text.content import reason

ROW_HINT = (
    'a row is {"text": "…"}, {"messages": [{"role": "user", "content": "…"}, …]}, '
    '{"conversations": [{"from": "human", "value": "…"}, …]} or '
    '{"prompt": "…", "completion": "…"}'
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One row of a chat corpus.

    Attributes:
        messages: The messages.
        tools: Descriptions of the tools that the model may call; None where the row has none.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None

    @property
    def characters(self) -> int:
        """Characters of all of it, as JSON."""
        return len(json.dumps([self.messages, self.tools], ensure_ascii=False))

    @classmethod
    def from_line(cls, line: str) -> Conversation:
        """Read what :func:`conversation_line` wrote."""
        data = json.loads(line)
        if isinstance(data, list):
            return cls(data)
        return cls(data["messages"], data["tools"])


def conversation_line(name: str, where: str, row: dict[str, Any], form: str) -> str:
    """Write a row's conversation as one line of JSON.

    The line is a list of messages, or an object with ``messages`` and ``tools``.

    Args:
        name: Name of the file.
        where: The row's place in it.
        row: The row.
        form: The key that holds its conversation, see :mod:`scorer.text.chat_forms`.

    Raises:
        InputError: It is not a conversation in text.
    """
    try:
        prepared = [_prepared(message) for message in messages_of(form, row)]
        tools = _tools(row.get("tools"))
    except ValueError as error:
        raise InputError(f"{where} of `{name}` has {error}", ROW_HINT) from error
    value = {"messages": prepared, "tools": tools} if tools else prepared
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"a message in {where} of `{name}` holds more than text: {reason(error)}", ROW_HINT
        ) from error


def _prepared(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise ValueError("a message without `role`")
    content, calls = message.get("content"), message.get("tool_calls")
    if isinstance(content, list):
        content = _joined(content)
    elif content is None and (calls or message.get("function_call")):
        content = ""
    if not isinstance(content, str):
        raise ValueError("a message without `content`")
    prepared = {**message, "content": content}
    if calls:
        prepared["tool_calls"] = _calls(calls)
    return prepared


def _joined(parts: list[Any]) -> str:
    texts = [part.get("text") if _is_text(part) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a message whose `content` holds more than text parts")
    return "".join(map(str, texts))


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text"


def _calls(calls: Any) -> list[Any]:
    if not isinstance(calls, list):
        raise ValueError("a message whose `tool_calls` are no list")
    return [_call(call) for call in calls]


def _call(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(arguments, str) or not arguments:
        return call
    try:
        read = json.loads(arguments)
    except (ValueError, RecursionError):
        raise ValueError("a tool call whose `arguments` are no JSON") from None
    return {**call, "function": {**function, "arguments": read}}


def _tools(tools: Any) -> list[dict[str, Any]] | None:
    if isinstance(tools, str) and tools.strip():
        # Data sets in ShareGPT's form keep them as JSON text.
        try:
            tools = json.loads(tools)
        except (ValueError, RecursionError):
            raise ValueError("`tools` that are no JSON") from None
    if not tools or isinstance(tools, str):
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise ValueError("`tools` that are no list of objects")
    return tools
