"""Rows of conversations in every form: what they become, and what is refused with its place."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.common.errors import InputError
from scorer.spec.job import CorpusSpec
from scorer.text.chat_forms import form_of, messages_of
from scorer.text.chat_rows import Conversation
from scorer.text.sources import read_source

USER = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4"}


def conversations(path: Path) -> list[Conversation]:
    source = read_source(CorpusSpec(str(path)))
    assert source.chat
    return [Conversation.from_line(line) for line in source.text.split("\n")]


def written(folder: Path, *rows: Any, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def messages(folder: Path, row: Any) -> list[Any]:
    (found,) = conversations(written(folder, row))
    return found.messages


def refusal(folder: Path, *rows: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        read_source(CorpusSpec(str(written(folder, *rows))))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, ANSWER]},
        {"prompt": "2+2?", "completion": "4"},
        {"prompt": [USER], "completion": [ANSWER]},
        {"prompt": [USER], "completion": "4"},
        {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
        {"conversations": [USER, ANSWER]},
        {"conversations": json.dumps([{"from": "user", "value": "2+2?"}, ANSWER])},
        {"messages": [{"from": "human", "value": "2+2?"}, ANSWER], "prompt": "2+2?"},
        {"prompt": "other", "messages": [USER, ANSWER], "id": 7},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "2+"},
                                                  {"type": "text", "text": "2?"}]}, ANSWER]},
    ],
)  # fmt: skip
def test_every_form_is_a_list_of_messages(tmp_path: Path, row: Any) -> None:
    assert messages(tmp_path, row) == [USER, ANSWER]


@pytest.mark.parametrize(
    ("said", "role"),
    [
        *(("human", "user"), ("gpt", "assistant"), ("model", "assistant"), ("system", "system")),
        *(("tool", "tool"), ("function", "tool"), ("observation", "tool"), ("critic", "critic")),
    ],
)
def test_sharegpt_names(tmp_path: Path, said: str, role: str) -> None:
    row = {"conversations": [{"from": said, "value": "x"}]}
    assert messages(tmp_path, row) == [{"role": role, "content": "x"}]


def test_sharegpt_system_tools_and_calls(tmp_path: Path) -> None:
    tools = [{"name": "f"}]
    row = {
        "system": "be brief",
        "tools": json.dumps(tools),
        "conversations": [
            {"from": "human", "value": "go"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
            {"from": "observation", "value": "1"},
        ],
    }
    (found,) = conversations(written(tmp_path, row))
    assert found.tools == tools
    assert [m["role"] for m in found.messages] == ["system", "user", "assistant", "tool"]
    (call,) = found.messages[2]["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": {"x": 1}}
    assert found.messages[2]["content"] == ""


def test_calls_without_content_and_empty_answers(tmp_path: Path) -> None:
    call = {"function": {"name": "f", "arguments": '{"x": 1}'}}
    row = {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "assistant", "content": ""},
        ]
    }
    found = messages(tmp_path, row)
    assert [m["content"] for m in found[1:]] == ["", "", ""]
    assert found[1]["tool_calls"][0]["function"]["arguments"] == {"x": 1}


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"messages": []}, "`messages`"),
        ({"messages": "hi"}, "`messages`"),
        ({"messages": [{"content": "x"}]}, "without `role`"),
        ({"messages": [{"role": "user"}]}, "without `content`"),
        ({"messages": [{"role": "user", "content": None}]}, "without `content`"),
        ({"messages": [{"role": "user", "content": 7}]}, "without `content`"),
        ({"messages": [{"role": 7, "content": "x"}]}, "without `role`"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "more than text"),
        ({"conversations": {}}, "`conversations`"),
        ({"conversations": "[{"}, "`conversations`"),
        ({"conversations": [{"from": "gpt"}]}, "without `content`"),
        ({"conversations": [{"from": 7, "value": "x"}]}, "without `role`"),
        ({"conversations": [{"from": "function_call", "value": "f(x)"}]}, "`function_call`"),
        ({"prompt": 7, "completion": "x"}, "`prompt`"),
        ({"prompt": "x", "completion": []}, "`completion`"),
        ({"prompt": "x"}, "no `messages`"),
        ({"messages": [ANSWER], "tools": "no json"}, "`tools`"),
    ],
)
def test_what_is_refused_names_its_row(tmp_path: Path, row: Any, what: str) -> None:
    keys = ("prompt", "completion") if form_of(row) == "prompt" else (form_of(row) or "messages",)
    error = refusal(tmp_path, {key: [USER] for key in keys}, row)
    assert error.message.startswith("line 2 of `a.jsonl`") and what in error.message


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"text": "a"}, {"messages": [USER]}, "line 2 has `messages`, those before it `text`"),
        ({"messages": [USER]}, {"text": "a"}, "line 2 has `text`, those before it `messages`"),
        ({"messages": [USER]}, {"conversations": [USER]}, "line 2 has `conversations`"),
        ({"conversations": [USER]}, {"prompt": "a", "completion": "b"}, "line 2 has `prompt`"),
    ],
)
def test_rows_of_several_kinds_are_refused(
    tmp_path: Path, first: Any, second: Any, message: str
) -> None:
    error = refusal(tmp_path, first, second)
    assert "mixes kinds of rows" in error.message and message in error.message


def test_a_json_list_and_parquet_hold_them_too(tmp_path: Path) -> None:
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps([{"prompt": "2+2?", "completion": "4"}]))
    assert conversations(listed)[0].messages == [USER, ANSWER]
    for columns in (
        {"prompt": ["2+2?"], "completion": ["4"], "n": [1]},
        {"conversations": [[{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]]},
        {"messages": [[USER, ANSWER]], "prompt": ["2+2?"]},
    ):
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink)
        path = tmp_path / "rows.parquet"
        path.write_bytes(sink.getvalue())
        assert conversations(path)[0].messages == [USER, ANSWER]


def test_deep_and_huge_rows_end_in_one_line(tmp_path: Path) -> None:
    deep = "[" * 200_000
    for row in (
        '{"messages": ' + deep,
        '{"conversations": ' + json.dumps(deep) + "}",
        '{"messages": [{"role": "assistant", "content": "", "tool_calls": '
        f'[{{"function": {{"name": "f", "arguments": {json.dumps(deep)}}}}}]}}]}}',
    ):
        path = tmp_path / "a.jsonl"
        path.write_text(row)
        with pytest.raises(InputError, match=r"line 1 of `a\.jsonl`") as caught:
            read_source(CorpusSpec(str(path)))
        assert "\n" not in caught.value.message and len(caught.value.message) < 300


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "tool_calls", "name", "text"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["messages", "conversations", "prompt", "completion", "system", "tools"]),
        json_values,
        max_size=4,
    )
)
def test_any_row_becomes_messages_or_one_error(row: dict[str, Any]) -> None:
    form = form_of(row)
    if form is None:
        return
    try:
        assert isinstance(messages_of(form, row), list)
    except ValueError as error:
        assert "`" in str(error)
