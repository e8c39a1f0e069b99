"""Readers of text: what they take, what they refuse, and that nothing else escapes them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorer.common.errors import InputError
from scorer.spec.job import CorpusSpec
from scorer.text import content, parquet
from scorer.text.chat_rows import Conversation
from scorer.text.source_text import SourceText, join_documents
from scorer.text.sources import read_source


def read(path: Path) -> SourceText:
    return read_source(CorpusSpec(str(path)))


def write(folder: Path, name: str, content: bytes | str | list[Any]) -> Path:
    path = folder / name
    if isinstance(content, list):
        content = "".join(json.dumps(row) + "\n" for row in content)
    path.write_bytes(
        content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    )
    return path


def chat_row(*, tools: Any = None, **message: Any) -> bytes:
    return json.dumps({"messages": [message], "tools": tools}).encode()


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.exit_code == 2
    assert path.name in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", ["a.txt", "b.md", "C.TXT", "code.py", "wiki.test.raw", "README"])
def test_plain_text_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    content = " ü one\r\n\n two \n"
    source = read(write(tmp_path, name, content))
    assert source == SourceText(
        name, None, None, content, hashlib.sha256(content.encode()).hexdigest(), (), False
    )


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a.txt", b"\xef\xbb\xbfhi")).text == "hi"
    assert read(write(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"text": "hi"}')).text == "hi"


JSONL = b'{"text": "one"}\n{"text": "two"}\n'


def parquet_bytes(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    "content",
    [JSONL, b'[\n {"text": "one"},\n {"text": "two"}]', parquet_bytes(text=["one", "two"])],
)
@pytest.mark.parametrize("packed", [False, True])
def test_content_says_what_a_file_is(tmp_path: Path, content: bytes, packed: bool) -> None:
    source = read(write(tmp_path, "rows", gzip.compress(content) if packed else content))
    assert source.text == "one\n\ntwo"
    assert len(source.documents) == 2 and source.name == "rows"


@pytest.mark.parametrize(
    "content", ['{"level": "info"}\n', "{\n  1: 2\n}", "[1, 2]", "[a link](there)", "{}"]
)
def test_other_json_is_text(tmp_path: Path, content: str) -> None:
    assert read(write(tmp_path, "a.json", content)).text == content


def test_gzip_of_several_members(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.txt.gz", gzip.compress(b"one, ", mtime=0) + gzip.compress("zwö".encode())
    )
    assert (read(path).text, read(path).name) == ("one, zwö", "a.txt.gz")


def test_content_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "LARGEST", 3 << 20)
    bomb = gzip.compress(b"a" * (64 << 20))
    assert len(bomb) < 70_000
    assert "more than 3 MiB" in refusal(write(tmp_path, "a", bomb)).message
    monkeypatch.setattr(parquet, "LARGEST", 3 << 20)
    rows = parquet_bytes(text=pa.array(["a" * (1 << 20)]).take(pa.array([0] * 200)))
    assert len(rows) < 200_000
    assert "more than 3 MiB" in refusal(write(tmp_path, "b", rows)).message


def test_standard_input_is_read_from_a_file_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, "kept", gzip.compress(JSONL))
    source = read_source(CorpusSpec("-"), text_file=path)
    assert (source.name, source.text) == ("standard input", "one\n\ntwo")
    with pytest.raises(InputError, match="only `qfid kv` reads"):
        read_source(CorpusSpec("-"))
    with pytest.raises(InputError, match="not kept"):
        read_source(CorpusSpec("-"), text_file=tmp_path / "gone")


def test_rows_are_joined_with_blank_lines(tmp_path: Path) -> None:
    rows = [{"text": "one\u2028"}, {"text": "", "title": "void"}, {"text": "three", "title": 3}]
    path = write(tmp_path, "a.jsonl", "\r\n\n".join(json.dumps(row) for row in rows))
    source = read(path)
    assert source.text == "one\u2028\n\n\n\nthree"
    assert source.documents == ((0, "line 1"), (6, "void"), (8, "line 5"))
    assert not source.chat


def test_raw_line_separators_do_not_end_a_row(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a.jsonl", '{"text": "a\u2028b\x85c"}\n')).text == "a\u2028b\x85c"


def test_chat_rows_are_one_json_line_each(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "a\nb"}, {"role": "assistant", "content": "ü"}]
    source = read(write(tmp_path, "a.jsonl", [{"messages": talk}, {"messages": talk[:1]}]))
    assert source.chat
    first, second = source.text.split("\n")
    assert json.loads(first) == talk and json.loads(second) == talk[:1]
    assert source.documents == ((0, "line 1"), (len(first) + 1, "line 2"))


def test_content_of_messages_is_prepared_as_a_server_does(tmp_path: Path) -> None:
    call = {"id": "1", "function": {"name": "add", "arguments": '{"a": 2}'}}
    parts = [{"type": "text", "text": "two "}, {"type": "text", "text": "and two"}]
    talk = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "assistant", "tool_calls": [{**call, "function": {"arguments": {"a": 2}}}]},
    ]
    tools = [{"type": "function", "function": {"name": "add"}}]
    first, second = read(
        write(tmp_path, "a", [{"messages": talk, "tools": tools}, {"messages": talk[:1]}])
    ).text.split("\n")
    assert Conversation.from_line(first) == Conversation(
        [
            {"role": "user", "content": "two and two"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "1", "function": {"name": "add", "arguments": {"a": 2}}}],
            },
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "1", "function": {"arguments": {"a": 2}}}],
            },
        ],
        tools,
    )
    assert Conversation.from_line(second).tools is None


def test_tools_of_parquet_rows(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "hi", "name": None}, {"role": "tool", "content": "4"}]
    tools = [{"name": "add", "note": None}, {"name": "sub", "note": "x"}]
    source = read(write(tmp_path, "a", parquet_bytes(messages=[talk], tools=[tools])))
    assert Conversation.from_line(source.text) == Conversation(
        [{"role": "user", "content": "hi"}, {"role": "tool", "content": "4"}],
        [{"name": "add"}, {"name": "sub", "note": "x"}],
    )


def test_a_row_with_both_is_text(tmp_path: Path) -> None:
    source = read(write(tmp_path, "a.jsonl", [{"messages": [], "text": "plain"}]))
    assert (source.text, source.chat) == ("plain", False)


def test_parquet_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        pq.write_table(pa.table({"id": [1, 2], "text": pa.array(["x", "yü"], kind)}), path)
        source = read(path)
        assert source.text == "x\n\nyü"
        assert source.documents == ((0, "row 1"), (3, "row 2"))


def test_parquet_chat_rows(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "hi"}]
    pq.write_table(pa.table({"messages": [talk, talk]}), tmp_path / "a.parquet")
    source = read(tmp_path / "a.parquet")
    assert source.chat
    assert [json.loads(line) for line in source.text.split("\n")] == [talk, talk]


def test_builtin_joins_its_documents() -> None:
    from scorer.demo.corpus import builtin_documents

    documents = builtin_documents()
    source = read_source(CorpusSpec("builtin"))
    assert (source.name, source.split, source.revision) == ("builtin", None, None)
    assert source.text == "\n\n".join(text for _, text in documents)
    assert [title for _, title in source.documents] == [title for title, _ in documents]
    for (offset, _), (_, text) in zip(source.documents, documents, strict=True):
        assert source.text.startswith(text, offset)


@given(
    texts=st.lists(st.text(max_size=5), min_size=1), separator=st.sampled_from(["", "\n", "\n\n"])
)
def test_documents_start_where_they_are_said_to(texts: list[str], separator: str) -> None:
    text, starts = join_documents([(str(i), t) for i, t in enumerate(texts)], separator)
    ends = [start - len(separator) for start, _ in starts[1:]] + [len(text)]
    assert [text[s:e] for (s, _), e in zip(starts, ends, strict=True)] == texts


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "no text"),
        ("a.txt", b" \n\t", "no text"),
        ("a.txt", b"\xef\xbb\xbf", "no text"),
        ("a.txt", b"abc\xffdef", "byte 3 "),
        ("a.txt", b"\xef\xbb\xbfa\xff", "byte 4 "),
        ("a.txt", b"\xed\xa0\x80", "byte 0 "),
        ("a.md", b"PK\x03\x04\x00\x00", "byte 4 is zero"),
        ("a.txt", "hi".encode("utf-16"), "UTF-16"),
        ("a.jsonl", b"", "no text"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "line 2 "),
        ("a.jsonl", b'{"text": "a"}\n\n[1]\n', "line 3 "),
        ("a.jsonl", b'{"text": "a"}\n{"txt": "b"}', "line 2 of `a.jsonl` has no `text`"),
        ("a.jsonl", b'{"text": 3}', "line 1 "),
        ("a.jsonl", b'{"text": null}', "line 1 "),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\\ud800"}', "line 2 .* surrogate"),
        ("a.jsonl", b"[" * 100_000, "line 1 "),
        ("a.jsonl", b'{"text": ' + b"9" * 5000 + b"}", "line 1 "),
        ("a.jsonl", b'{"text": "a"}\n{"messages": [{"role": "u", "content": "b"}]}', "mixes"),
        ("a.jsonl", b'{"messages": []}', "line 1 "),
        ("a.jsonl", b'{"messages": "hi"}', "line 1 "),
        ("a.jsonl", b'{"messages": [{"role": "u"}]}', "line 1 .*`content`"),
        ("a.jsonl", b'{"messages": [{"role": "u", "content": "\\udc00"}]}', "surrogate"),
        ("a.parquet", b"", "not a Parquet file"),
        ("a.parquet", b"PAR1 and more PAR1", "not a Parquet file"),
        ("a.parquet", b"hello", "`68 65 6c 6c`"),
        ("a.pdf", b"%PDF-1.7\n", "a PDF"),
        ("a.txt.gz", b"plain", "not gzip: it begins with the bytes `70 6c 61 69`"),
        ("a", gzip.compress(b"some text", mtime=0)[:-4], "damaged gzip after 9 unpacked bytes"),
        ("a", b"\x1f\x8b\x08" + b"\xff" * 40, "damaged gzip after 0 unpacked bytes"),
        ("a", gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "gzip within gzip"),
        ("a.gz", gzip.compress(b"abc\0", mtime=0), "byte 3 is zero"),
        ("a", b'{"text": "a"}\nplain\n', "line 2 "),
        ("a.jsonl.gz", gzip.compress(b"plain", mtime=0), "line 1 "),
        ("a.jsonl", chat_row(role="u"), "line 1 .*`content`"),
        ("a.jsonl", chat_row(role="u", content=None), "line 1 .*`content`"),
        ("a.jsonl", chat_row(role="u", content=[{"type": "image"}]), "line 1 .*text parts"),
        ("a.jsonl", chat_row(role="u", content=[{"type": "text"}]), "line 1 .*text parts"),
        ("a.jsonl", chat_row(role="u", content="", tool_calls=1), "line 1 .*`tool_calls`"),
        (
            "a.jsonl",
            chat_row(role="u", content="", tool_calls=[{"function": {"arguments": "{"}}]),
            "line 1 .*`arguments`",
        ),
        ("a.jsonl", chat_row(role="u", content="a", tools="[}"), "line 1 .*`tools`"),
        ("a.jsonl", chat_row(role="u", content="a", tools="7"), "line 1 .*`tools`"),
        ("a.jsonl", chat_row(role="u", content="a", tools=["add"]), "line 1 .*`tools`"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    import re

    assert re.search(message, refusal(write(tmp_path, name, content)).message)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"body": ["a"]}, "no column `text`"),
        ({"text": ["a", None]}, "row 2 "),
        ({"text": [1, 2]}, "row 1 "),
        ({"text": pa.array([], pa.string())}, "no text"),
        (
            {
                "text": pa.Array.from_buffers(
                    pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
                )
            },
            "`text`",
        ),
        ({"messages": [[{"role": "u", "content": None}]]}, "row 1 "),
    ],
)
def test_parquet_that_is_refused(tmp_path: Path, table: dict[str, Any], message: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    assert message in refusal(tmp_path / "a.parquet").message


def test_a_message_with_bytes_is_refused(tmp_path: Path) -> None:
    talk = [{"role": "u", "content": "a", "image": b"\x89"}]
    pq.write_table(pa.table({"messages": [talk]}), tmp_path / "a.parquet")
    assert "row 1 " in refusal(tmp_path / "a.parquet").message


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "there is no file" in refusal(tmp_path / "none.txt").message
    assert "neither a known corpus nor a file" in refusal(tmp_path / "wikitxt2").message
    (tmp_path / "folder.txt").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.txt").message
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    refusal(tmp_path / "loop.txt")
    refusal(tmp_path / ("n" * 300 + ".txt"))
    refusal(tmp_path / "nul\0.txt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    error = refusal(tmp_path / "pipe.txt")
    assert "not a regular file" in error.message and "--corpus -" in error.hint


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.parquet"])
def test_a_file_that_may_not_be_read(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, "x").chmod(0)
    refusal(tmp_path / name)


@pytest.mark.parametrize("source", ["", "  "])
def test_no_name(source: str) -> None:
    with pytest.raises(InputError, match="no corpus"):
        read_source(CorpusSpec(source))


FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

rows = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "messages", "role", "content", "title"]), inner)
    ),
    max_leaves=12,
)


def survives(path: Path) -> None:
    try:
        source = read(path)
    except InputError as error:
        assert len(str(error).splitlines()) <= 2
        return
    assert source.text.strip()
    assert source.sha256 == hashlib.sha256(source.text.encode()).hexdigest()
    assert all(0 <= offset <= len(source.text) for offset, _ in source.documents)


@FUZZ
@given(data=st.binary(), suffix=st.sampled_from([".txt", ".md", ".jsonl", ".parquet"]))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, suffix: str) -> None:
    survives(write(tmp_path, f"fuzz{suffix}", data))


@FUZZ
@given(lines=st.lists(rows.map(json.dumps) | st.text(st.characters(codec="utf-8"), max_size=9)))
def test_any_rows_are_read_or_refused(tmp_path: Path, lines: list[str]) -> None:
    survives(write(tmp_path, "fuzz.jsonl", "\n".join(lines)))


@FUZZ
@given(data=st.data())
def test_a_damaged_parquet_file_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "fuzz.parquet"
    pq.write_table(pa.table({"text": ["some text", "and more"] * 4}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, 20).map(lambda cut: len(content) - max(0, cut - 10)))
    survives(write(tmp_path, path.name, bytes(content[:end])))
