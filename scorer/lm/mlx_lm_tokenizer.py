"""mlx-lm's own tokenizer of a model, which a runtime would use.

It is transformers' ``AutoTokenizer`` with what mlx-lm passes to chat templates. Importing it takes
a second or two.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.common.errors import InputError
from scorer.common.loans import GiveBack, Loan, replace_attribute, set_here
from scorer.common.offline import libraries_offline
from scorer.demo import demo_model_path
from scorer.lm.mlx_lm_import import import_mlx_lm_with_tokenizers
from scorer.lm.quiet_transformers import quiet_transformers
from scorer.lm.torch_later import torch_later
from scorer.text.chat_marks import Messages
from scorer.text.chat_roles import EndTokens, TokenRoles, placed_roles
from scorer.text.chat_rows import Conversation
from scorer.text.tokens.declared import read_object
from scorer.text.tokens.faults import explained
from scorer.text.tokens.tokenizer import CHAT_HINT, NO_TEMPLATE_HINT
from scorer.text.tokens.tokenizer_file import tokenizer_name

_fixed: ContextVar[bool] = ContextVar("qfid_fixed_date", default=False)


class _Date(datetime.datetime):
    """Where it is fixed, the default date of Llama 3.x templates; today's changes every day."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _Date:
        return cls(2024, 7, 26, tzinfo=tz) if _fixed.get() else super().now(tz)


def _take() -> GiveBack:
    from transformers.utils import chat_template_utils

    return replace_attribute(chat_template_utils, "datetime", _Date)


_in_place = Loan(_take)


@contextlib.contextmanager
def _fixed_date() -> Iterator[None]:
    """Let transformers give chat templates a fixed date in the block, in this thread.

    It has no parameter for it: functions that are passed to a template are taken out.
    """
    with _in_place, set_here(_fixed, True):
        yield


@contextlib.contextmanager
def refused_by_template() -> Iterator[None]:
    """Convert what a chat template raises into an error that says what to change.

    Raises:
        InputError: It refused the messages.
    """
    try:
        with explained("the chat template refuses the messages", CHAT_HINT):
            yield
    except InputError as error:
        said = error.message.lower()
        if "alternat" in said:
            error.hint = "it wants user and assistant in turn: join what one says, or leave it out"
        elif "system" in said:
            error.hint = "it takes no system message: put its text into the first user message"
        raise


class MlxLmTokenizer:
    """mlx-lm's tokenizer of a model folder, loaded when it is first needed.

    Args:
        model_path: The folder. Nothing is fetched.
        allow_custom_code: Allow transformers to run the Python file that the folder names.
    """

    def __init__(self, model_path: Path, *, allow_custom_code: bool = False) -> None:
        self._path = model_path
        self._allow_custom_code = allow_custom_code

    @cached_property
    def wrapper(self) -> Any:
        """``mlx_lm.tokenizer_utils.TokenizerWrapper``.

        Raises:
            InputError: It cannot read the files.
        """
        utils = import_mlx_lm_with_tokenizers()
        with explained(f"mlx-lm cannot read the tokenizer in `{self._path}`"):
            # False, not None: transformers would ask the user, on standard input.
            options = {"trust_remote_code": self._allow_custom_code, "local_files_only": True}
            with libraries_offline(), quiet_transformers(), torch_later():
                return utils.load_tokenizer(self._path, options)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers inside."""
        return self.wrapper._tokenizer

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text by the default encoding.

        Raises:
            InputError: The tokenizer cannot encode it.
        """
        with explained("mlx-lm's tokenizer cannot encode the text", ""), quiet_transformers():
            return [int(i) for i in self.wrapper.encode(text, verbose=False)]

    def encode_conversation(self, conversation: Conversation) -> list[int]:
        """Return the ids of a conversation, without a prompt for a further answer.

        The chat template runs in the sandbox of transformers. A template that asks for the date
        gets a fixed one.

        Raises:
            InputError: There is no chat template, or it refuses the conversation.
        """
        return [int(i) for i in self._applied(conversation, conversation.messages)]

    def conversation_roles(self, conversation: Conversation, ids: Sequence[int]) -> TokenRoles:
        """Return whose each token of a conversation is.

        Args:
            conversation: The conversation.
            ids: What :meth:`encode_conversation` returned for it.

        Raises:
            InputError: The template refuses the conversation.
        """

        def render(messages: Messages, answer: bool) -> str:
            # Not given where it was not for the ids: a template in Python has its own default.
            options = {"add_generation_prompt": True} if answer else {}
            found: str = self._applied(conversation, messages, tokenize=False, **options)
            return found

        placed = placed_roles(conversation.messages, render, self._end_tokens)
        offsets = self._offsets(placed.text, ids)
        if offsets is None:
            return TokenRoles.unknown(len(ids))
        return TokenRoles.of(placed, offsets)

    def _applied(self, conversation: Conversation, messages: Messages, **options: Any) -> Any:
        wrapper = self.wrapper
        if not wrapper.has_chat_template:
            raise self._no_template()
        dated = "strftime_now" in str(wrapper.chat_template)
        with (
            refused_by_template(),
            quiet_transformers(),
            _fixed_date() if dated else contextlib.nullcontext(),
        ):
            return wrapper.apply_chat_template(messages, tools=conversation.tools, **options)

    @cached_property
    def _end_tokens(self) -> EndTokens:
        """The special tokens, and those that end what the model writes."""
        inner = self.tokenizer
        added = getattr(inner, "added_tokens_decoder", {})
        special = {i: str(token) for i, token in added.items() if getattr(token, "special", False)}
        ends = {int(i) for i in self.wrapper.eos_token_ids}
        for name in ("config.json", "generation_config.json"):
            with contextlib.suppress(InputError):
                stated = read_object(self._path / name).get("eos_token_id")
                listed = stated if isinstance(stated, list) else [stated]
                ends |= {i for i in listed if type(i) is int}
        return EndTokens(
            frozenset(special.values()), frozenset(special[i] for i in ends if i in special)
        )

    def _offsets(self, text: str, ids: Sequence[int]) -> NDArray[np.int64] | None:
        """First and past-the-end character of each token in a text; None where it is not known."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is not None:
            with explained("mlx-lm's tokenizer cannot encode the text", ""):
                encoding = backend.encode(text, add_special_tokens=False)
            if list(encoding.ids) != list(ids):
                return None
            return np.asarray(encoding.offsets, np.int64).reshape(-1, 2)
        with explained("mlx-lm's tokenizer cannot decode its tokens", ""):
            pieces = [self.tokenizer.decode([i], skip_special_tokens=False) for i in ids]
        if "".join(pieces) != text:
            return None
        ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
        return np.stack([ends - [len(piece) for piece in pieces], ends], axis=1)

    def _no_template(self) -> InputError:
        is_demo = self._path == demo_model_path()
        name = "demo" if is_demo else tokenizer_name(self._path)
        if (self._path / "chat_template.json").is_file():
            return InputError(
                f"`{name}` has no chat template that mlx-lm reads: chat_template.json is not one",
                "save its `chat_template` as chat_template.jinja in the same folder, "
                f"or {NO_TEMPLATE_HINT}",
            )
        return InputError(f"`{name}` has no chat template", NO_TEMPLATE_HINT)
