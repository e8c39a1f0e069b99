"""Chat templates: found where repos keep them, rendered the same every day, sandboxed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_tokenizers import CHATML, EOS, byte_level, write_model

from scorer.common.errors import InputError
from scorer.text.tokens.chat_template import ChatTemplate
from scorer.text.tokens.load import load_tokenizer

TALK = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]


def test_a_conversation_becomes_the_template_s_text(tmp_path: Path) -> None:
    folder = write_model(tmp_path, byte_level(), chat_template=CHATML, eos_token=EOS)
    text = load_tokenizer(folder).apply_chat_template(TALK)
    assert text == f"<|user|>hi{EOS}\n<|assistant|>yes{EOS}\n"


def test_the_same_text_as_transformers(tmp_path: Path) -> None:
    source = (
        "{%- set ns = namespace(n=0) %}\n{%- for m in messages %}\n"
        "    {%- if loop.index > 5 %}{% break %}{% endif %}\n"
        "    {%- set ns.n = ns.n + 1 %}\n"
        "{{- m | tojson }}{% generation %}<{{ ns.n }}>{% endgeneration %}\n{% endfor %}\n"
    )
    folder = write_model(tmp_path, byte_level(), chat_template=source, eos_token={"content": EOS})
    ours = load_tokenizer(folder).apply_chat_template([*TALK, {"role": "ü", "content": "<&>'"}])
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    theirs.chat_template = source
    assert ours == theirs.apply_chat_template(
        [*TALK, {"role": "ü", "content": "<&>'"}], tokenize=False
    )


def test_the_file_goes_before_the_configuration(tmp_path: Path) -> None:
    folder = write_model(tmp_path, byte_level(), chat_template="old")
    (folder / "chat_template.jinja").write_text("new {{ messages | length }}")
    assert load_tokenizer(folder).apply_chat_template(TALK) == "new 2"


def test_the_default_one_of_several(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    folder = write_model(tmp_path, byte_level(), chat_template=named)
    assert load_tokenizer(folder).apply_chat_template(TALK) == "d"


def test_the_date_stands_still() -> None:
    assert ChatTemplate("{{ strftime_now('%d %b %Y') }}").render(TALK) == "26 Jul 2024"


def test_a_model_without_a_template_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no chat template") as caught:
        load_tokenizer(write_model(tmp_path, byte_level())).apply_chat_template(TALK)
    assert "`text`" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for %}", "is broken"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].content.missing.deeper }}", "refuses the messages"),
        ("{{ ''.__class__.__mro__ }}", "refuses the messages"),
        ("{% set _ = messages.append(1) %}", "refuses the messages"),
    ],
)
def test_broken_and_refusing_templates(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ChatTemplate(source).render(TALK)


def test_the_hash_tells_templates_apart() -> None:
    hashes = {
        ChatTemplate("a").sha256,
        ChatTemplate("b").sha256,
        ChatTemplate("a", (("eos_token", "</s>"),)).sha256,
    }
    assert len(hashes) == 3


def test_an_unreadable_template_file_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path, byte_level())
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"chat_template\.jinja"):
        load_tokenizer(folder)


def test_messages_are_plain_json(tmp_path: Path) -> None:
    talk = json.loads('[{"role": "user", "content": "a\\u2028b", "extra": {"n": [1, null]}}]')
    assert ChatTemplate("{{ messages[0].extra | tojson }}").render(talk) == '{"n": [1, null]}'
