"""Conversations as mlx-lm encodes them: the template, its tools and tokens, the same every day."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_tokenizers import BOS, BOS_ID, CHATML, EOS, byte_level, write_model

from scorer.common.errors import InputError
from scorer.lm.mlx_lm_tokenizer import MlxLmTokenizer
from scorer.text.chat_rows import Conversation

TALK = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]


def text(folder: Path, messages: list[Any] = TALK, **more: Any) -> str:
    tokenizer = MlxLmTokenizer(folder)
    ids = tokenizer.encode_conversation(Conversation(messages, **more))
    return str(tokenizer.wrapper.decode(ids))


def test_a_conversation_becomes_the_template_s_text(tmp_path: Path) -> None:
    folder = write_model(tmp_path, byte_level(), chat_template=CHATML, eos_token=EOS)
    assert text(folder) == f"<|user|>hi{EOS}\n<|assistant|>yes{EOS}\n"


def test_the_file_goes_before_the_configuration(tmp_path: Path) -> None:
    folder = write_model(tmp_path, byte_level(), chat_template="old")
    (folder / "chat_template.jinja").write_text("new {{ messages | length }}")
    assert text(folder) == "new 2"


def test_the_template_for_tools(tmp_path: Path) -> None:
    named = [
        {"name": "tool_use", "template": "{{ tools[0].name }}"},
        {"name": "default", "template": "d"},
    ]
    folder = write_model(tmp_path, byte_level(), chat_template=named)
    assert text(folder) == "d"
    assert text(folder, tools=[{"name": "add"}]) == "add"


def test_the_date_stands_still(tmp_path: Path) -> None:
    folder = write_model(tmp_path, byte_level(), chat_template="{{ strftime_now('%d %b %Y') }}")
    assert text(folder) == "26 Jul 2024"


def test_a_template_is_told_whether_the_model_thinks_as_mlx_lm_tells_it(tmp_path: Path) -> None:
    thinking = byte_level()
    thinking.add_tokens(["<think>", "</think>"])
    template = "{{ enable_thinking }}"
    assert text(write_model(tmp_path / "a", byte_level(), chat_template=template)) == "False"
    assert text(write_model(tmp_path / "b", thinking, chat_template=template)) == "True"


def test_bos_that_special_tokens_map_alone_names(tmp_path: Path) -> None:
    template = "{{ bos_token }}{{ messages[0].content }}"
    folder = write_model(tmp_path, byte_level(bos=True), chat_template=template)
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": BOS}))
    ids = MlxLmTokenizer(folder).encode_conversation(Conversation(TALK))
    assert ids == [BOS_ID, *b"hi"], "written once by the template, and not added"


def test_messages_are_plain_json(tmp_path: Path) -> None:
    folder = write_model(
        tmp_path, byte_level(), chat_template="{{ messages[0].extra | tojson }}<&>'"
    )
    talk = json.loads('[{"role": "user", "content": "a\\u2028b", "extra": {"n": [1, null]}}]')
    assert text(folder, talk) == '{"n": [1, null]}' + "<&>'"


def test_a_model_without_a_template_refuses(tmp_path: Path) -> None:
    folder = write_model(tmp_path, byte_level())
    with pytest.raises(InputError, match="no chat template") as caught:
        text(folder)
    assert "`text`" in caught.value.hint
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": CHATML}))
    with pytest.raises(InputError, match=r"chat_template\.json") as caught:
        text(folder)
    assert "chat_template.jinja" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for %}", "refuses the messages"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].content.missing.deeper }}", "refuses the messages"),
        ("{{ ''.__class__.__mro__ }}", "refuses the messages"),
        ("{% set _ = messages.append(1) %}", "refuses the messages"),
    ],
)
def test_broken_and_refusing_templates(tmp_path: Path, source: str, message: str) -> None:
    folder = write_model(tmp_path, byte_level(), chat_template=source)
    with pytest.raises(InputError, match=message) as caught:
        text(folder)
    assert len(str(caught.value).splitlines()) <= 2


def test_an_unreadable_template_file_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path, byte_level())
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot read the tokenizer"):
        text(folder)


def roles(tokenizer: MlxLmTokenizer, messages: list[Any] = TALK) -> list[str]:
    conversation = Conversation(messages)
    found = tokenizer.conversation_roles(conversation, tokenizer.encode_conversation(conversation))
    return [found.names[code] for code in found.codes]


def by_hand(user: str, assistant: str) -> list[str]:
    """A token a byte, but EOS, which is one."""
    return [
        *["template"] * len("<|user|>"),
        *["user"] * len(user.encode()),
        *["template"] * len(f"_\n{'<|assistant|>'}"),
        *["assistant"] * (len(assistant.encode()) + 1),
        "template",
    ]


@pytest.mark.parametrize(("user", "assistant"), [("hi", "yes"), ("ü 語", "🙂 né"), ("a" * 99, "")])
def test_whose_each_token_is(tmp_path: Path, user: str, assistant: str) -> None:
    folder = write_model(tmp_path, byte_level(), chat_template=CHATML, eos_token=EOS)
    messages = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    assert roles(MlxLmTokenizer(folder), messages) == by_hand(user, assistant)


def test_whose_each_token_is_without_a_backend_that_has_offsets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path, byte_level(), chat_template=CHATML, eos_token=EOS)
    tokenizer = MlxLmTokenizer(folder)
    inner = tokenizer.tokenizer

    class Slow:
        added_tokens_decoder = inner.added_tokens_decoder

        def decode(self, ids: list[int], **options: Any) -> str:
            return str(inner.decode(ids, **options))

    monkeypatch.setattr(MlxLmTokenizer, "tokenizer", property(lambda _: Slow()))
    assert roles(tokenizer) == by_hand("hi", "yes")
    # Half a character spells nothing: what follows cannot be placed.
    assert set(roles(tokenizer, [{"role": "user", "content": "é"}])) == {"unknown"}
