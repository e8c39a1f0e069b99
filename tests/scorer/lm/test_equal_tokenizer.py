"""A model's tokenizer gives mlx-lm's ids: by tokenizer.json where that is equal, else by mlx-lm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_tokenizers import BOS, EOS, byte_level, sentencepiece, write_model
from tokenizers import Tokenizer, models, pre_tokenizers

from scorer.common.errors import InputError
from scorer.common.folders import cache_folder
from scorer.demo import demo_model_path
from scorer.demo.corpus import builtin_documents
from scorer.lm.mlx_lm_tokenizer import MlxLmTokenizer
from scorer.lm.tokenizer import (
    SAMPLE,
    all_declared,
    comparison_key,
    first_difference,
    is_compared,
    load_tokenizer,
)
from scorer.text.tokens.python_tokenizer import PythonTokenizer
from scorer.text.tokens.tokenizer import FileTokenizer
from scorer.text.tokens.tokenizer_file import load_tokenizer_file

START, END = "<|im_start|>", "<|im_end|>"


def token(text: str, **flags: bool) -> dict[str, Any]:
    return {"content": text, "normalized": False, "special": True, **flags}


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content), "utf-8")


DECLARATIONS: dict[str, dict[str, Any]] = {
    "added_tokens_decoder": {
        "tokenizer_config.json": {
            "added_tokens_decoder": {"259": token(END), "258": token(START, lstrip=True)}
        }
    },
    "added_tokens_decoder outranks the map": {
        "tokenizer_config.json": {"added_tokens_decoder": {"258": token(START)}},
        "special_tokens_map.json": {"eos_token": END},
    },
    "named": {
        "tokenizer_config.json": {
            "bos_token": START,
            "pad_token": {"__type": "AddedToken", **token(END, rstrip=True)},
        }
    },
    "named by the model": {"tokenizer_config.json": {"image_token": START}},
    "additional": {"tokenizer_config.json": {"additional_special_tokens": [START, END]}},
    "extra": {"tokenizer_config.json": {"extra_special_tokens": {"one": END, "two": START}}},
    "special_tokens_map.json": {
        "special_tokens_map.json": {
            "bos_token": START,
            "additional_special_tokens": [END, "<|tool|>"],
        }
    },
    "added_tokens.json": {
        "added_tokens.json": {START: 258, "plain word": 259},
        "special_tokens_map.json": {"eos_token": START},
    },
}


@pytest.mark.parametrize("files", DECLARATIONS.values(), ids=DECLARATIONS.keys())
def test_declared_tokens_are_read_as_mlx_lm_reads_them(
    tmp_path: Path, files: dict[str, Any]
) -> None:
    folder = write_model(tmp_path, byte_level())
    for name, content in files.items():
        write(folder, name, content)
    text = f"a {START} b{END}c {END} plain word<|tool|>{BOS}{EOS}"
    loaded = load_tokenizer(folder)
    assert loaded.versions.keys() == {"tokenizers"}, "without transformers"
    assert loaded.encode_list(text) == MlxLmTokenizer(folder).encode(text)
    assert max(loaded.encode_list(text)) >= 258
    assert loaded.token_bytes(258).decode() in (START, END)


def test_declared_tokens_count_in_the_hash(tmp_path: Path) -> None:
    plain = load_tokenizer_file(write_model(tmp_path / "a", byte_level()))
    known = load_tokenizer_file(write_model(tmp_path / "b", byte_level(), bos_token=BOS))
    more = load_tokenizer_file(write_model(tmp_path / "c", byte_level(), bos_token=START))
    assert plain.sha256 == known.sha256 != more.sha256


def test_another_class_than_the_file_s(tmp_path: Path) -> None:
    """transformers makes the pipeline of such a class anew, so digits are not cut apart."""
    tokenizer = byte_level()
    vocab = json.loads(tokenizer.to_str())["model"]["vocab"] | {"12": 258}
    tokenizer.model = models.BPE(vocab=vocab, merges=[("1", "2")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    folder = write_model(tmp_path, tokenizer, tokenizer_class="GPT2Tokenizer", bos_token=BOS)
    loaded = load_tokenizer(folder)
    assert isinstance(loaded, FileTokenizer)
    assert loaded.encode_list("12") == MlxLmTokenizer(folder).encode("12") == [258]
    assert load_tokenizer_file(folder).encode_list("12") == list(b"12")
    assert loaded.sha256 != load_tokenizer_file(folder).sha256
    assert "transformers" in loaded.versions
    (caution,) = loaded.cautions
    assert "`GPT2Tokenizer`" in caution and "`1234567`" in caution
    assert not is_compared(folder, comparison_key(folder))


def test_a_tokenizer_that_encodes_in_python(tmp_path: Path) -> None:
    """mlx-lm's NewlineTokenizer replaces newlines before its backend sees them."""
    folder = write_model(tmp_path, byte_level(), tokenizer_class="NewlineTokenizer")
    loaded = load_tokenizer(folder)
    assert isinstance(loaded, PythonTokenizer)
    assert loaded.encode_list("a\nb") == list(b"a<n>b")


def test_equal_tokenizers_are_compared_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path / "data"))
    folder = write_model(tmp_path / "model", byte_level(), eos_token=EOS, own=1)
    key = comparison_key(folder)
    assert not is_compared(folder, key)
    load_tokenizer(folder)
    assert is_compared(folder, key)
    (kept,) = (cache_folder() / "tokenizers").iterdir()
    assert kept.stem == key
    code = (
        "import sys; from pathlib import Path; from scorer.lm.tokenizer import load_tokenizer;"
        "load_tokenizer(Path(sys.argv[1])).encode('x'); print('transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_what_a_comparison_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model(tmp_path, byte_level(), eos_token=EOS)
    keys = [comparison_key(folder)]
    for name in ("config.json", "special_tokens_map.json", "added_tokens.json", "own.py"):
        (folder / name).write_text("{}")
        keys.append(comparison_key(folder))
    import importlib.metadata

    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda n: "99" if n == "sentencepiece" else version(n)
    )
    keys.append(comparison_key(folder))
    assert len(set(keys)) == len(keys)


def test_custom_code_beside_tokenizer_json_does_not_run(tmp_path: Path) -> None:
    mapped = {"AutoTokenizer": ["tokenization_own.Own", None]}
    folder = write_model(tmp_path, byte_level(), auto_map=mapped)
    (folder / "tokenization_own.py").write_text("raise SystemExit('ran')")
    loaded = load_tokenizer(folder, allow_custom_code=True)
    assert loaded.encode_list("ab") == list(b"ab")
    (caution,) = loaded.cautions
    assert "not compared" in caution
    assert not is_compared(folder, comparison_key(folder))


def test_the_built_in_model_is_read_as_mlx_lm_reads_it() -> None:
    folder = demo_model_path()
    ours, theirs = load_tokenizer_file(folder), MlxLmTokenizer(folder)
    assert first_difference(ours.encode_list, theirs.encode, all_declared(folder)) is None
    text = builtin_documents()[0][1]
    assert ours.encode_list(text) == theirs.encode(text)


def test_the_first_difference_is_named() -> None:
    def ours(text: str) -> list[int]:
        return list(text.encode())

    def theirs(text: str) -> list[int]:
        return list(text.replace("<b>", "?").replace("<c>", "!").encode())

    assert first_difference(ours, ours, ["<a>", "<b>"]) is None
    assert first_difference(ours, theirs, ["<a>", "<b>", "<c>"]) == "<b>"
    assert first_difference(ours, lambda t: ours(t.lower()), ["<a>"]) == "Hello"
    assert first_difference(ours, lambda t: ours(t[: len(SAMPLE) - 1]), ["<a>"]) == SAMPLE

    def refuses(text: str) -> list[int]:
        raise InputError("no")

    assert first_difference(refuses, refuses, ["<a>"]) is None
    assert first_difference(ours, refuses, []) == "Hello"


def test_every_declaration_is_compared(tmp_path: Path) -> None:
    folder = write_model(tmp_path, byte_level(), added_tokens_decoder={"7": token("a")})
    write(folder, "special_tokens_map.json", {"bos_token": "b"})
    write(folder, "added_tokens.json", {"c": 300})
    assert all_declared(folder) == ["a", "b", "c", BOS, EOS]


def test_a_vocabulary_with_an_added_space(tmp_path: Path) -> None:
    folder = write_model(tmp_path, sentencepiece(), bos_token="<s>")
    loaded = load_tokenizer(folder)
    assert loaded.encode_list("ab ab") == MlxLmTokenizer(folder).encode("ab ab")


def test_text_that_neither_can_spell(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]"))
    loaded = load_tokenizer(write_model(tmp_path, words))
    with pytest.raises(InputError, match="cannot encode"):
        loaded.encode("b")


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no tokenizer"):
        load_tokenizer(tmp_path)


def test_vocabulary_and_merges(tmp_path: Path) -> None:
    from scorer.text.tokens.pieces import byte_level_alphabet

    vocab = dict(byte_level_alphabet()) | {"he": 256, "<|endoftext|>": 257}
    write(tmp_path, "vocab.json", vocab)
    (tmp_path / "merges.txt").write_text("#version: 0.2\nh e\n")
    config = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>"}
    write(tmp_path, "tokenizer_config.json", config)
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, FileTokenizer)
    assert loaded.encode("hey").tolist() == [256, ord("y")]
    assert loaded.token_bytes(256) == b"he"
    assert loaded.bos_token_id == 257 and not loaded.adds_bos
    assert {"transformers", "tokenizers", "mlx-lm"} <= loaded.versions.keys()


def test_a_tokenizer_in_python(tmp_path: Path) -> None:
    write(tmp_path, "tokenizer_config.json", {"tokenizer_class": "ByT5Tokenizer"})
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, PythonTokenizer)
    ids, offsets = loaded.encode_with_offsets("hé")
    assert ids.tolist() == [3 + 0x68, 3 + 0xC3, 3 + 0xA9, 1]
    assert offsets is None
    assert loaded.encode("hé", special_tokens=False).tolist() == ids.tolist()[:-1]
    assert not loaded.adds_bos and loaded.bos_token_id is None
    assert loaded.token_bytes(3 + 0x68) == b"h"
    assert loaded.token_bytes(10**6) == b""
    assert loaded.decode(ids[:3]) == "hé"


def test_the_hash_covers_every_file(tmp_path: Path) -> None:
    config = tmp_path / "tokenizer_config.json"
    config.write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    before = load_tokenizer(tmp_path).sha256
    config.write_text('{"tokenizer_class": "ByT5Tokenizer" }')
    assert load_tokenizer(tmp_path).sha256 != before


def test_files_that_transformers_refuses(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"not a sentencepiece model")
    with pytest.raises(InputError, match="cannot read") as caught:
        load_tokenizer(tmp_path)
    assert len(str(caught.value).splitlines()) <= 2


def test_custom_code_does_not_run_unasked(tmp_path: Path) -> None:
    (tmp_path / "tokenization_own.py").write_text("raise SystemExit('ran')")
    mapped = {"AutoTokenizer": ["tokenization_own.Own", None]}
    write(tmp_path, "tokenizer_config.json", {"auto_map": mapped})
    with pytest.raises(InputError) as caught:
        load_tokenizer(tmp_path)
    assert "ran" not in caught.value.message.split()
