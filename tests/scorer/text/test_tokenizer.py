"""Tokenizers from tokenizer.json: ids, bytes, BOS, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_tokenizers import BOS, BOS_ID, EOS_ID, byte_level, sentencepiece, write_model
from tokenizers import Tokenizer, models, pre_tokenizers

from scorer.common.errors import InputError
from scorer.text.tokens.pieces import byte_level_alphabet, byte_level_bytes, sentencepiece_bytes
from scorer.text.tokens.tokenizer import TextTokenizer
from scorer.text.tokens.tokenizer_file import load_tokenizer_file


@pytest.fixture(scope="module")
def bytes_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return load_tokenizer_file(write_model(tmp_path_factory.mktemp("m") / "bytes", byte_level()))


@pytest.fixture(scope="module")
def pieces_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return load_tokenizer_file(
        write_model(tmp_path_factory.mktemp("m") / "pieces", sentencepiece())
    )


def test_encode_gives_int32_ids(bytes_tokenizer: TextTokenizer) -> None:
    ids = bytes_tokenizer.encode("hé")
    assert ids.dtype == np.int32
    assert ids.tolist() == [0x68, 0xC3, 0xA9]


def test_offsets_are_characters(bytes_tokenizer: TextTokenizer) -> None:
    ids, offsets = bytes_tokenizer.encode_with_offsets("hé!")
    assert ids.tolist() == [0x68, 0xC3, 0xA9, 0x21]
    assert offsets is not None
    assert offsets[:, 0].tolist() == [0, 1, 1, 2]


def test_the_saved_truncation_does_not_cut_the_text(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    loaded = load_tokenizer_file(write_model(tmp_path, tokenizer))
    assert len(loaded.encode("eight ch")) == 8


@pytest.mark.parametrize(
    ("bos", "eos", "adds"), [(False, False, False), (True, False, True), (False, True, False)]
)
def test_only_another_first_token_is_a_bos(
    tmp_path: Path, bos: bool, eos: bool, adds: bool
) -> None:
    loaded = load_tokenizer_file(write_model(tmp_path, byte_level(bos=bos, eos=eos), bos_token=BOS))
    assert loaded.adds_bos is adds
    assert loaded.bos_token_id == BOS_ID
    assert loaded.encode("x").tolist() == [BOS_ID] * bos + [0x78] + [EOS_ID] * eos
    assert loaded.encode("x", special_tokens=False).tolist() == [0x78]


def test_no_bos_token_is_none(bytes_tokenizer: TextTokenizer) -> None:
    assert bytes_tokenizer.bos_token_id is None


def test_bos_token_may_be_spelled_as_an_object(tmp_path: Path) -> None:
    folder = write_model(tmp_path, byte_level(), bos_token={"content": BOS, "lstrip": False})
    assert load_tokenizer_file(folder).bos_token_id == BOS_ID


@given(text=st.text(st.characters(codec="utf-8")))
def test_byte_level_bytes_give_back_the_text(bytes_tokenizer: TextTokenizer, text: str) -> None:
    ids = bytes_tokenizer.encode(text)
    assert b"".join(bytes_tokenizer.token_bytes(int(i)) for i in ids) == text.encode()


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="▁")))
def test_sentencepiece_bytes_give_back_the_text(pieces_tokenizer: TextTokenizer, text: str) -> None:
    ids = pieces_tokenizer.encode(text, special_tokens=False)
    joined = b"".join(pieces_tokenizer.token_bytes(int(i)) for i in ids)
    assert joined == (f" {text}" if text else "").encode()


def test_half_a_character_is_shown_as_its_bytes(
    bytes_tokenizer: TextTokenizer, pieces_tokenizer: TextTokenizer
) -> None:
    assert bytes_tokenizer.token_bytes(0xC3) == b"\xc3"
    assert pieces_tokenizer.token_bytes(3 + 0xE2) == b"\xe2"


def test_special_tokens_are_their_text(
    bytes_tokenizer: TextTokenizer, pieces_tokenizer: TextTokenizer
) -> None:
    assert bytes_tokenizer.token_bytes(BOS_ID) == BOS.encode()
    assert pieces_tokenizer.token_bytes(1) == b"<s>"
    assert bytes_tokenizer.decode([BOS_ID, 0x78]) == f"{BOS}x"


def test_an_unknown_id_has_no_bytes(bytes_tokenizer: TextTokenizer) -> None:
    assert bytes_tokenizer.token_bytes(999) == b""


def test_other_vocabularies_decode(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"un": 0, "deux": 1, "[UNK]": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    loaded = load_tokenizer_file(write_model(tmp_path, words))
    assert loaded.token_bytes(1) == b"deux"
    assert loaded.vocab_size == 3


def test_vocab_size_counts_added_tokens(bytes_tokenizer: TextTokenizer) -> None:
    assert bytes_tokenizer.vocab_size == 258


def test_the_byte_alphabet_is_a_bijection() -> None:
    alphabet = byte_level_alphabet()
    assert sorted(alphabet.values()) == list(range(256))
    assert alphabet["Ġ"] == 0x20 and alphabet["Ċ"] == 0x0A and alphabet["A"] == 0x41
    assert byte_level_bytes("Ġ中") is None
    assert sentencepiece_bytes("<0x0A>") == b"\n"
    assert sentencepiece_bytes("<0x0A>x") == b"<0x0A>x"


def test_the_hash_is_that_of_the_file_that_decides(tmp_path: Path) -> None:
    one = load_tokenizer_file(write_model(tmp_path / "a", byte_level()))
    same = load_tokenizer_file(write_model(tmp_path / "b", byte_level(), chat_template="{{ x }}"))
    other = load_tokenizer_file(write_model(tmp_path / "c", byte_level(bos=True)))
    assert one.sha256 == same.sha256 != other.sha256
    assert len(one.sha256) == 64


def test_a_cached_repo_is_named_by_its_id(tmp_path: Path) -> None:
    folder = tmp_path / "models--org--small" / "snapshots" / ("0" * 40)
    assert load_tokenizer_file(write_model(folder, byte_level())).name == "org/small"
    assert load_tokenizer_file(write_model(tmp_path / "plain", byte_level())).name == "plain"


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"broken.*tokenizer\.json"):
        load_tokenizer_file(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[1]", b"\xff\xfe", b'{"model": 3}'])
def test_a_broken_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(InputError, match="broken"):
        load_tokenizer_file(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000])
def test_a_broken_configuration_is_refused(tmp_path: Path, content: str) -> None:
    write_model(tmp_path, byte_level())
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(InputError, match=r"tokenizer_config\.json"):
        load_tokenizer_file(tmp_path)


def test_text_the_vocabulary_cannot_spell_is_refused(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]"))
    loaded = load_tokenizer_file(write_model(tmp_path, words))
    with pytest.raises(InputError, match="cannot encode"):
        loaded.encode("b")


def test_transformers_is_not_imported(tmp_path: Path) -> None:
    write_model(tmp_path, byte_level())
    code = (
        "import sys, json; from pathlib import Path; "
        "from scorer.text.tokens.tokenizer_file import load_tokenizer_file;"
        "load_tokenizer_file(Path(sys.argv[1])).encode('x');"
        "print(json.dumps([m for m in ('transformers', 'mlx', 'jinja2') if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
