"""Chunks: which tokens, which chunks, which documents, and what the report says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_corpus import build_corpus
from tiny_tokenizers import BOS, BOS_ID, CHATML, EOS, byte_level, sentencepiece, write_model

from scorer.common.errors import InputError
from scorer.common.json_values import json_values
from scorer.lm.tokenizer import load_tokenizer
from scorer.spec.job import CorpusSpec
from scorer.text.chunks import (
    ChunkedCorpus,
    repetitive_chunks,
    unigram_perplexity,
)
from scorer.text.tokens.tokenizer import TextTokenizer
from scorer.text.tokens.tokenizer_file import load_tokenizer_file

TEXT = "".join(chr(ord("a") + i % 26) for i in range(103))


@pytest.fixture
def tokenizer(tmp_path: Path) -> TextTokenizer:
    return load_tokenizer_file(write_model(tmp_path / "bytes", byte_level()))


@pytest.fixture
def bos_tokenizer(tmp_path: Path) -> TextTokenizer:
    return load_tokenizer_file(write_model(tmp_path / "bos", byte_level(bos=True), bos_token=BOS))


@pytest.fixture
def text(tmp_path: Path) -> CorpusSpec:
    (tmp_path / "own.txt").write_text(TEXT)
    return CorpusSpec(str(tmp_path / "own.txt"))


def build(spec: CorpusSpec, tokenizer: TextTokenizer, **options: Any) -> ChunkedCorpus:
    options.setdefault("chunk_length", 10)
    return build_corpus(spec, tokenizer, tokenizer_id="org/model", **options)


def rows(tmp_path: Path, *content: dict[str, Any]) -> CorpusSpec:
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in content))
    return CorpusSpec(str(path))


def test_chunks_are_consecutive_and_the_last_partial_one_is_dropped(
    tokenizer: TextTokenizer, text: CorpusSpec
) -> None:
    corpus = build(text, tokenizer)
    assert corpus.ids.shape == (10, 10) and corpus.ids.dtype == np.int32
    assert bytes(corpus.ids.astype(np.uint8).ravel()).decode() == TEXT[:100]
    assert (corpus.total, corpus.indices) == (10, tuple(range(10)))
    assert corpus.n_tokens == 100 and corpus.scored_from == 0
    assert corpus.documents == (None,) * 10
    assert corpus.titles == () and corpus.n_documents == 0


def test_the_first_and_the_spread_chunks(tokenizer: TextTokenizer, text: CorpusSpec) -> None:
    first = build(text, tokenizer, max_chunks=3)
    assert (first.indices, first.total, first.n_tokens) == ((0, 1, 2), 10, 30)
    spread = build(text, tokenizer, max_chunks=3, chunks="spread")
    assert spread.indices == (0, 5, 2)
    assert bytes(spread.ids[1].astype(np.uint8)).decode() == TEXT[50:60]


def test_a_run_that_goes_on_keeps_its_own_chunks(
    tokenizer: TextTokenizer, text: CorpusSpec
) -> None:
    earlier = build(text, tokenizer, max_chunks=3, chunks="spread", stored=(1, 5, 8))
    assert earlier.indices == (1, 5, 8)
    assert bytes(earlier.ids[2].astype(np.uint8)).decode() == TEXT[80:90]
    # A text that has become shorter is refused by its hash, not by a missing chunk.
    assert build(text, tokenizer, max_chunks=2, stored=(1, 10)).indices == (0, 1)


def test_bos_stands_in_the_first_chunk_only(bos_tokenizer: TextTokenizer, text: CorpusSpec) -> None:
    corpus = build(text, bos_tokenizer)
    assert corpus.bos_policy == "first-chunk"
    assert corpus.ids[0, 0] == BOS_ID
    assert np.count_nonzero(corpus.ids == BOS_ID) == 1
    assert bytes(corpus.ids.ravel()[1:].astype(np.uint8)).decode() == TEXT[:99]


def test_llama_cpp_overwrites_the_first_token_of_every_window(
    bos_tokenizer: TextTokenizer, text: CorpusSpec
) -> None:
    plain = build(text, bos_tokenizer)
    corpus = build(text, bos_tokenizer, protocol="llama.cpp")
    assert corpus.bos_policy == "every-chunk"
    assert (corpus.ids[:, 0] == BOS_ID).all()
    assert (corpus.ids[:, 1:] == plain.ids[:, 1:]).all()


def test_llama_cpp_without_bos(tokenizer: TextTokenizer, text: CorpusSpec) -> None:
    corpus = build(text, tokenizer, protocol="llama.cpp")
    assert corpus.bos_policy == "none"
    assert (corpus.ids == build(text, tokenizer).ids).all()


@pytest.mark.parametrize(("length", "scored"), [(512, 255), (10, 4), (3, 1)])
def test_llama_cpp_scores_the_second_half(
    tokenizer: TextTokenizer, tmp_path: Path, length: int, scored: int
) -> None:
    (tmp_path / "long.txt").write_text("x" * 2 * length)
    spec = CorpusSpec(str(tmp_path / "long.txt"))
    corpus = build(spec, tokenizer, protocol="llama.cpp", chunk_length=length)
    assert corpus.total == 2
    assert corpus.scored_from == length // 2
    assert length - 1 - corpus.scored_from == scored


@pytest.mark.parametrize(
    ("protocol", "length", "fits"),
    [("mqf", 103, True), ("mqf", 104, False), ("llama.cpp", 51, True), ("llama.cpp", 52, False)],
)
def test_a_text_too_short_is_refused(
    tokenizer: TextTokenizer, text: CorpusSpec, protocol: Any, length: int, fits: bool
) -> None:
    if fits:
        assert build(text, tokenizer, protocol=protocol, chunk_length=length).total
        return
    with pytest.raises(InputError, match="holds 103 tokens") as caught:
        build(text, tokenizer, protocol=protocol, chunk_length=length)
    assert f"--chunk-length {length - 1} " in caught.value.hint


@pytest.mark.parametrize(("protocol", "length"), [("mqf", 1), ("llama.cpp", 2), ("mqf", -1)])
def test_a_length_without_a_position_is_refused(
    tokenizer: TextTokenizer, text: CorpusSpec, protocol: Any, length: int
) -> None:
    with pytest.raises(InputError, match="no position"):
        build(text, tokenizer, protocol=protocol, chunk_length=length)


def test_a_token_without_a_row_is_refused(tokenizer: TextTokenizer, text: CorpusSpec) -> None:
    assert build(text, tokenizer, vocab_rows=ord("z") + 1).total
    with pytest.raises(InputError, match=r"`122` .*org/model.* 122 ") as caught:
        build(text, tokenizer, vocab_rows=ord("z"))
    assert caught.value.exit_code == 2


def test_each_chunk_carries_the_document_of_its_first_token(
    tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    # 12 + 2 + 0 + 2 + 9 + 2 + 13 characters, a token each: the second row is empty.
    spec = rows(
        tmp_path,
        {"text": "a" * 12, "title": "one"},
        {"text": ""},
        {"text": "c" * 9, "title": "three"},
        {"text": "ü" * 6 + "d"},
    )
    corpus = build(spec, tokenizer, chunk_length=5)
    assert corpus.titles == ("one", "line 2", "three", "line 4")
    firsts = [0, 5, 10, 15, 20, 25, 30, 35]
    assert corpus.documents == tuple(
        0 if t < 14 else 1 if t < 16 else 2 if t < 27 else 3 for t in firsts
    )
    assert corpus.n_documents == 4
    assert build(spec, tokenizer, chunk_length=5, max_chunks=3).n_documents == 1


def test_documents_survive_added_tokens(tmp_path: Path) -> None:
    both = load_tokenizer_file(write_model(tmp_path / "m", byte_level(bos=True, eos=True)))
    spec = rows(tmp_path, {"text": "a" * 9}, {"text": "b" * 9})
    corpus = build(spec, both, chunk_length=11)  # BOS, 9, 2 | 9, EOS
    assert corpus.documents == (0, 0)
    assert build(spec, both, chunk_length=2).documents == (0,) * 6 + (1,) * 5


def test_documents_of_a_vocabulary_with_an_added_space(tmp_path: Path) -> None:
    pieces = load_tokenizer_file(write_model(tmp_path / "m", sentencepiece()))
    corpus = build(
        rows(tmp_path, {"text": "ab ab ab"}, {"text": "ab ab ab"}), pieces, chunk_length=2
    )
    # <s> ▁ab | ▁ab ▁ab | \n \n | ab ▁ab: the empty line belongs to the row before it
    assert corpus.documents == (0, 0, 0, 1)


def test_a_tokenizer_without_offsets_knows_no_documents(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    corpus = build(rows(tmp_path, {"text": "a" * 20}), load_tokenizer(tmp_path))
    assert corpus.documents == (None, None)
    assert corpus.titles == () and corpus.n_documents == 0


def test_chat_rows_go_through_the_template_one_by_one(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", byte_level(bos=True), chat_template=CHATML, eos_token=EOS)
    talk = [{"role": "u", "content": "a\nb"}]
    corpus = build(
        rows(tmp_path, {"messages": talk}, {"messages": talk * 2}),
        load_tokenizer(folder),
        chunk_length=9,
    )
    one = [*b"<|u|>a\nb", 257, *b"\n"]
    assert corpus.ids.ravel().tolist() == (one * 3)[: corpus.n_tokens]
    assert corpus.documents == (0, 0, 1)
    assert corpus.titles == ("line 1", "line 2")
    facts = corpus.facts()
    assert facts.bos_policy == facts.normalization == "chat-template"


def test_a_refused_conversation_is_named(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write_model(tmp_path / "bytes", byte_level()))
    with pytest.raises(InputError, match=r"line 1 of `own\.jsonl`: .*no chat template"):
        build(rows(tmp_path, {"messages": [{"role": "u", "content": "x"}]}), tokenizer)


def test_tools_of_a_conversation_reach_its_template(tmp_path: Path) -> None:
    template = "{% if tools %}{{ tools[0].name }}{% endif %}{{ messages[0].content }}"
    folder = write_model(tmp_path / "m", byte_level(), chat_template=template)
    talk, tools = [{"role": "u", "content": "ab"}], [{"name": "xyz"}]
    corpus = build(
        rows(tmp_path, {"messages": talk}, {"messages": talk, "tools": tools}),
        load_tokenizer(folder),
        chunk_length=7,
    )
    assert bytes(corpus.ids.ravel().tolist()) == b"abxyzab"


@pytest.mark.parametrize(
    ("ids", "warning"),
    [
        ([[*range(16)] * 4, [*range(64)]], None),
        ([[*range(15), *[0] * 49], [*range(64)]], "1 of 2 chunks holds fewer than 16 distinct"),
        ([[7] * 64, [8] * 64], "2 of 2 chunks hold fewer than 16 distinct"),
        ([[1, 2] * 4], None),
        ([[1] * 8], "1 of 1 chunks holds fewer than 2 distinct"),
    ],
)
def test_chunks_of_few_distinct_tokens_are_told(ids: list[list[int]], warning: str | None) -> None:
    found = repetitive_chunks(np.array(ids, np.int32))
    assert (warning is None and not found) or (warning is not None and warning in found[0])


def test_unigram_perplexity() -> None:
    assert unigram_perplexity(np.array([7, 7, 7], np.int32)) == 1.0
    assert unigram_perplexity(np.arange(50, dtype=np.int32)) == pytest.approx(50)
    mixed = np.array([0, 0, 0, 5], np.int32)
    assert unigram_perplexity(mixed) == pytest.approx(0.75**-0.75 * 0.25**-0.25)


def test_unigram_perplexity_is_that_of_the_whole_corpus(
    tokenizer: TextTokenizer, text: CorpusSpec
) -> None:
    whole = unigram_perplexity(tokenizer.encode(TEXT))
    assert build(text, tokenizer, max_chunks=1).unigram_perplexity == whole


def test_the_report_has_the_keys_of_mqf(tokenizer: TextTokenizer, text: CorpusSpec) -> None:
    facts = json_values(build(text, tokenizer, max_chunks=2).facts())
    assert json.loads(json.dumps(facts)) == facts
    assert {key: facts[key] for key in list(facts)[:10]} == {
        "name": "own.txt",
        "split": None,
        "tokenizer_id": "org/model",
        "chunk_length": 10,
        "stride": 10,
        "bos_policy": "none",
        "final_chunk_policy": "drop",
        "normalization": "raw",
        "n_tokens": 20,
        "dataset_revision": None,
    }
    assert facts["tokenizer_sha256"] == tokenizer.sha256
    assert facts["protocol"] == "mqf"
    assert facts["total_chunks"] == 10


def test_selected_chunks_are_the_caller_s_own(tokenizer: TextTokenizer, text: CorpusSpec) -> None:
    corpus = build(text, tokenizer)
    corpus.ids[:] = 0
    assert build(text, tokenizer).ids.any()
