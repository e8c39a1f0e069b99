"""Chat templates of models, rendered with a fixed date.

Templates are Jinja code from a repo. They run in Jinja's sandbox and get only JSON values.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from scorer.common.error_text import first_line
from scorer.common.errors import InputError

# The default date of Llama 3.x templates. With today's date the text would change every day.
_DATE = datetime.datetime(2024, 7, 26)
_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")
_HINT = "give rows with `text` instead of `messages`"


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A chat template and the special tokens that it can write.

    Attributes:
        source: Jinja source.
        special_tokens: Name (``bos_token``) and text of each special token.
    """

    source: str
    special_tokens: tuple[tuple[str, str], ...] = ()

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the source and the special tokens."""
        return hashlib.sha256(repr((self.source, self.special_tokens)).encode()).hexdigest()

    @classmethod
    def find(cls, model_path: Path, config: dict[str, Any]) -> ChatTemplate | None:
        """Return the template of a model folder, or None.

        ``chat_template.jinja`` takes precedence over ``chat_template`` in
        ``tokenizer_config.json``, of which a list holds one named ``default``.
        """
        path = model_path / "chat_template.jinja"
        source: Any = config.get("chat_template")
        if path.is_file():
            try:
                source = path.read_text("utf-8")
            except (OSError, ValueError) as error:
                raise InputError(f"`{path}` is broken: {error}") from error
        elif isinstance(source, list):
            named = {t.get("name"): t.get("template") for t in source if isinstance(t, dict)}
            source = named.get("default")
        if not isinstance(source, str) or not source:
            return None
        tokens: list[tuple[str, str]] = []
        for name in _SPECIAL_TOKENS:
            token = config.get(name)
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str):
                tokens.append((name, text))
        return cls(source, tuple(tokens))

    def render(self, messages: list[dict[str, Any]]) -> str:
        """Return the conversation as text, without a generation prompt.

        Raises:
            InputError: The template is broken or raises an error for the messages.
        """
        template = _compile(self.source)
        try:
            return str(
                template.render(
                    messages=messages, add_generation_prompt=False, **dict(self.special_tokens)
                )
            )
        except Exception as error:  # template code may raise anything
            raise InputError(
                f"the chat template refuses the messages: {first_line(error)}", _HINT
            ) from error


@lru_cache(maxsize=4)
def _compile(source: str) -> Any:
    import jinja2
    import jinja2.ext
    from jinja2.nodes import Node
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class GenerationTag(jinja2.ext.Extension):
        """``{% generation %}`` marks the assistant's text and does not change the output."""

        tags = {"generation"}  # noqa: RUF012  # the base class declares it so

        def parse(self, parser: Parser) -> list[Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _DATE.strftime
    try:
        return environment.from_string(source)
    except Exception as error:  # template code may raise anything
        raise InputError(f"the chat template is broken: {first_line(error)}", _HINT) from error


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> None:
    raise ValueError(message)
