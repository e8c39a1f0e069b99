"""The readers of text under fire: plain, rows of JSON, Parquet, WikiText-2, conversations."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fuzz_inputs import FuzzCase, harmed_bytes, harmed_json, hostile_text, one_clear_line
from hypothesis import strategies as st
from tiny_tokenizers import byte_level, write_model

from scorer.common.errors import QfidError
from scorer.lm.mlx_lm_tokenizer import MlxLmTokenizer
from scorer.spec.job import CorpusSpec
from scorer.text.chat_rows import Conversation
from scorer.text.source_text import SourceText
from scorer.text.sources import read_source
from scorer.text.wikitext import read_wikitext2

TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}\n{% endfor %}"


def checked(source: SourceText) -> None:
    assert source.text.strip()
    assert source.sha256 == hashlib.sha256(source.text.encode()).hexdigest()
    starts = [offset for offset, _ in source.documents]
    assert starts == sorted(starts) and all(0 <= s <= len(source.text) for s in starts)


def read(folder: Path, name: str, content: bytes) -> SourceText | None:
    path = folder / name
    path.write_bytes(content)
    try:
        source = read_source(CorpusSpec(str(path)))
    except QfidError as error:
        one_clear_line(error)
        return None
    checked(source)
    return source


def text_check(folder: Path, value: tuple[bytes, str]) -> None:
    read(folder, f"text{value[1]}", value[0])


def rows_check(folder: Path, rows: list[Any]) -> None:
    source = read(folder, "rows.jsonl", "\n".join(map(json.dumps, rows)).encode())
    if source is not None and source.chat:
        tokenizer = chat_tokenizer()
        for line in source.text.split("\n"):
            assert tokenizer.encode_conversation(Conversation.from_line(line))


@lru_cache
def chat_tokenizer() -> MlxLmTokenizer:
    folder = tempfile.mkdtemp()
    tokenizer = MlxLmTokenizer(write_model(Path(folder), byte_level(), chat_template=TEMPLATE))
    _ = tokenizer.wrapper
    shutil.rmtree(folder)
    return tokenizer


@lru_cache
def parquet(compression: str, kind: str) -> bytes:
    texts = ["some text", "", " = A title = \n", "and more"] * 3
    talk = [[{"role": "user", "content": "hi"}]] * 3
    sink = io.BytesIO()
    found = pa.table({"text": texts} if kind == "text" else {"messages": talk})
    pq.write_table(found, sink, compression=compression, use_dictionary=kind == "text")
    return sink.getvalue()


def parquet_check(folder: Path, content: bytes) -> None:
    read(folder, "table.parquet", content)
    for protocol in ("mqf", "llama.cpp"):
        try:
            checked(read_wikitext2(protocol, path=folder / "table.parquet"))  # type: ignore[arg-type]
        except QfidError as error:
            one_clear_line(error)


TEXT_ROW: dict[str, Any] = {"text": "a row", "title": "its title"}
CHAT_ROW: dict[str, Any] = {
    "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
}
row = st.sampled_from([TEXT_ROW, CHAT_ROW]).map(json.dumps).map(json.loads)
suffixes = st.sampled_from([".txt", ".md", ".jsonl", ".parquet"])
some_bytes = st.binary(max_size=400) | hostile_text.map(lambda t: t.encode("utf-8", "replace"))
tables = st.tuples(
    st.sampled_from(["none", "snappy", "zstd", "gzip"]), st.sampled_from(["text", "messages"])
).map(lambda words: parquet(*words))

CASES = [
    FuzzCase("corpus: bytes of any kind of file", st.tuples(some_bytes, suffixes), text_check),
    FuzzCase("corpus: rows of JSON", st.lists(row | harmed_json(row), max_size=4), rows_check),
    FuzzCase("corpus: bytes of rows",
             st.tuples(harmed_bytes(row.map(json.dumps).map(str.encode)), st.just(".jsonl")),
             text_check),
    FuzzCase("corpus: bytes of Parquet", harmed_bytes(tables), parquet_check),
]  # fmt: skip
