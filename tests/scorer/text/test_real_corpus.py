"""SmolLM2 on WikiText-2, against counts known from the reference implementation."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from built_corpus import build_corpus
from tokenizers import Tokenizer

from scorer.lm.mlx_lm_tokenizer import MlxLmTokenizer
from scorer.lm.tokenizer import load_tokenizer
from scorer.models.hub_cache import hub_folder
from scorer.spec.job import CorpusSpec
from scorer.text.tokens.long_text import Encoded, encode_in_windows
from scorer.text.tokens.tokenizer_file import load_tokenizer_file
from scorer.text.wikitext import cached_wikitext2, read_wikitext2

WIKITEXT = cached_wikitext2()
SMOLLM2 = next(
    iter(sorted(hub_folder().glob("models--*--SmolLM2-135M-Instruct*/snapshots/*/tokenizer.json"))),
    None,
)

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        WIKITEXT is None or SMOLLM2 is None, reason="WikiText-2 or SmolLM2 is not in the cache"
    ),
]

# Chunks of mlx-quant-fidelity 0.10.0, all of them and the first four, as little-endian int32.
MQF_ALL = "15e8ff9cfe3c9239bc72755f8e461e37aa23cded0c7a6dac59913f36bf26264b"
MQF_FIRST_4 = "2857adb91cec24ed84879be6967b1bf34d79ef51a6d04f97b2ee8c5693bcd0ae"


def test_chunks_are_those_of_mqf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert SMOLLM2 is not None and WIKITEXT is not None
    tokenizer = load_tokenizer_file(SMOLLM2.parent)

    def cached(*_: str) -> Path:
        assert WIKITEXT is not None
        return WIKITEXT

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    options = {"tokenizer_id": "SmolLM2", "vocab_rows": 49152, "cache_dir": tmp_path}
    corpus = build_corpus(CorpusSpec(), tokenizer, fetch=cached, **options)
    assert corpus.ids.shape == (595, 512)
    assert corpus.bos_policy == "none"
    assert corpus.n_documents == 60
    assert hashlib.sha256(corpus.ids.astype("<i4").tobytes()).hexdigest() == MQF_ALL
    four = build_corpus(CorpusSpec(), tokenizer, fetch=cached, max_chunks=4, **options)
    assert hashlib.sha256(four.ids.astype("<i4").tobytes()).hexdigest() == MQF_FIRST_4
    windows = build_corpus(CorpusSpec(), tokenizer, protocol="llama.cpp", fetch=cached, **options)
    assert (windows.total, windows.scored_from) == (592, 256)
    raw = tmp_path / "wiki.test.raw"
    raw.write_bytes(read_wikitext2("llama.cpp", path=WIKITEXT).text.encode())
    own = build_corpus(CorpusSpec(str(raw)), tokenizer, protocol="llama.cpp", **options)
    assert np.array_equal(own.ids, windows.ids) and own.documents == windows.documents


def test_its_tokenizer_json_gives_the_ids_of_mlx_lm() -> None:
    assert SMOLLM2 is not None and WIKITEXT is not None
    text = read_wikitext2(path=WIKITEXT).text[:100_000]
    ours = load_tokenizer(SMOLLM2.parent)
    assert ours.versions.keys() == {"tokenizers"}
    assert ours.encode_list(text) == MlxLmTokenizer(SMOLLM2.parent).encode(text)


def test_windows_give_the_tokens_of_one_call() -> None:
    assert SMOLLM2 is not None and WIKITEXT is not None
    tokenizer = Tokenizer.from_file(str(SMOLLM2))
    text = read_wikitext2(path=WIKITEXT).text

    def encode(part: str) -> Encoded:
        encoding = tokenizer.encode(part, add_special_tokens=False)
        return np.asarray(encoding.ids, np.int32), np.asarray(encoding.offsets, np.int64)

    found = encode_in_windows(encode, text, window=50_000, overlap=4_000)
    assert found is not None
    ids, offsets = encode(text)
    assert np.array_equal(found[0], ids)
    assert np.array_equal(found[1], offsets)
