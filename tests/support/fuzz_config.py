"""The readers of a model's folder under fire: config, tokenizer, headers of weights."""

from __future__ import annotations

import copy
import json
import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from fake_hub_cache import COMMIT, model_files, write_repo
from fuzz_inputs import ACTS, FuzzCase, harmed_bytes, harmed_json, hostile_value, one_clear_line
from hypothesis import strategies as st
from safetensors_files import header, tensor
from tiny_configs import _WRAPPED, OWN, tiny_config
from tiny_values import USUAL

from qfid_tui.words.model_list import to_json, to_markdown, to_text
from scorer.common.errors import InputError, QfidError
from scorer.models.info import ModelInfo
from scorer.models.listing import Listing, Unscorable, iter_models
from scorer.models.resolve import resolve_model
from scorer.models.weight_files import check_weight_file
from scorer.text.tokens.tokenizer_file import load_tokenizer_file

REPO = "org/model"


@lru_cache
def config_of(architecture: str) -> dict[str, Any]:
    if architecture == "olmo":
        # mlx-lm's module of it ends the process that imports it.
        return USUAL | OWN["olmo"] | {"model_type": "olmo"}
    return tiny_config(architecture)


configs = st.sampled_from(sorted({*OWN, *_WRAPPED})).map(lambda a: copy.deepcopy(config_of(a)))
INDEX = {"metadata": {"total_size": 16}, "weight_map": {"w": "model.safetensors"}}
TOKENIZER_CONFIG = {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "bos_token": "<s>"}


def look(folder: Path, name: str, content: bytes, without: str = "") -> None:
    """List and resolve a cached repo, one of whose files is not what it should be."""
    hub = folder / "hub"
    snapshot = hub / "models--org--model" / "snapshots" / COMMIT
    if not snapshot.exists():
        write_repo(hub, REPO, {})
    for known, plain in model_files().items():
        (snapshot / known).write_bytes(plain)
    for left in {path.name for path in snapshot.iterdir()} - set(model_files()):
        (snapshot / left).unlink()
    (snapshot / name).write_bytes(content)
    if without:
        (snapshot / without).unlink()
    (found,) = iter_models(hub)
    known_as = isinstance(found, ModelInfo)
    listing = Listing([found], []) if isinstance(found, ModelInfo) else Listing([], [found])
    shown = [*to_text(listing, 80), *to_text(listing, None), *to_markdown(listing)]
    assert not any(ACTS.search(line) for line in shown)
    json.dumps(to_json(listing, str(hub)), allow_nan=False)
    if isinstance(found, Unscorable):
        assert not found.reason.startswith("unreadable"), found.reason
    os.environ["HF_HUB_CACHE"] = str(hub)
    try:
        info = resolve_model(REPO)
    except InputError as error:
        one_clear_line(error)
        assert error.hint and not ACTS.search(error.message + error.hint)
        return
    finally:
        del os.environ["HF_HUB_CACHE"]
    assert known_as and math.isfinite(info.kv_bytes_per_token_16bit)
    if info.geometry.layers:
        assert info.layers >= 1 and info.kv_heads >= 1 and info.head_dim >= 1
        assert info.kv_bytes_per_token_16bit > 0
    else:
        # Its sizes have other names: they are not known before it is measured.
        assert info.kv_heads is None and info.head_dim is None and not info.geometry.exact


def config_check(folder: Path, config: Any) -> None:
    look(folder, "config.json", json.dumps(config).encode())


def bytes_check(folder: Path, content: bytes) -> None:
    look(folder, "config.json", content)


def index_check(folder: Path, index: Any) -> None:
    look(folder, "model.safetensors.index.json", json.dumps(index).encode())


def tokenizer_config_check(folder: Path, config: Any) -> None:
    content = json.dumps(config).encode()
    look(folder, "tokenizer_config.json", content)
    look(folder, "tokenizer_config.json", content, without="tokenizer.json")


def weights_check(folder: Path, content: bytes) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(content)
    for thorough in (True, False):
        try:
            check_weight_file(path, len(content), thorough=thorough)
        except QfidError as error:
            one_clear_line(error)


def header_check(folder: Path, tensors: Any) -> None:
    weights_check(folder, header(tensors))


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
              "use_regex": True}  # fmt: skip
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A",
                                                                            "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [7], "tokens": ["<s>"]}},
}  # fmt: skip
PARTS: dict[str, list[Any]] = {
    "normalizer": [
        None,
        {"type": "Replace", "pattern": {"String": "e"}, "content": "x"},
        {"type": "Precompiled", "precompiled_charsmap": "AAAAAAA="},
        {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]},
    ],
    "pre_tokenizer": [
        None,
        BYTE_LEVEL,
        {"type": "Split", "pattern": {"Regex": "e+"}, "behavior": "Isolated", "invert": False},
        {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True},
    ],
    "post_processor": [None, BYTE_LEVEL, TEMPLATE],
    "decoder": [
        None,
        BYTE_LEVEL,
        {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        {"type": "Strip", "content": "e", "start": 1, "stop": 0},
    ],
    "model": [
        {"type": "BPE", "vocab": {"e": 0, "n": 1, "en": 2, "<unk>": 3}, "merges": [["e", "n"]],
         "unk_token": "<unk>", "byte_fallback": False, "dropout": None, "fuse_unk": False},
        {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["e", -1.0], ["n", -2.0]]},
        {"type": "WordLevel", "vocab": {"e": 0, "[UNK]": 1}, "unk_token": "[UNK]"},
        {"type": "WordPiece", "vocab": {"e": 0, "[UNK]": 1}, "unk_token": "[UNK]",
         "continuing_subword_prefix": "##", "max_input_chars_per_word": 9},
    ],
    "truncation": [None, {"direction": "Right", "max_length": 9, "strategy": "LongestFirst",
                          "stride": 0}],
    "added_tokens": [[], [{"id": 9, "content": "<s>", "single_word": False, "lstrip": False,
                           "rstrip": False, "normalized": False, "special": True}]],
}  # fmt: skip
tokenizers = st.fixed_dictionaries(
    {"version": st.just("1.0"), "padding": st.none()}
    | {name: st.sampled_from(parts).map(copy.deepcopy) for name, parts in PARTS.items()}
)


def tokenizer_check(folder: Path, tokenizer: Any) -> None:
    """Whatever a tokenizer says, its ids fit where ids go or it is refused."""
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    try:
        found = load_tokenizer_file(folder)
        ids = found.encode("The number of entry 7.\n")
        assert not ids.size or int(ids.min()) >= 0
        for token in {*ids.tolist(), 0, found.vocab_size}:
            found.token_bytes(token)
        found.decode(ids)
    except QfidError as error:
        one_clear_line(error)


CASES = [
    FuzzCase("config: values of any architecture", harmed_json(configs), config_check),
    FuzzCase("config: bytes", harmed_bytes(configs.map(json.dumps).map(str.encode)), bytes_check),
    FuzzCase("config: index of the weights", harmed_json(st.just(INDEX).map(copy.deepcopy)),
             index_check),
    FuzzCase("config: tokenizer_config.json",
             harmed_json(st.just(TOKENIZER_CONFIG).map(copy.deepcopy)), tokenizer_config_check),
    FuzzCase("config: header of safetensors",
             harmed_json(st.just(tensor()).map(copy.deepcopy)) | hostile_value, header_check),
    FuzzCase("config: bytes of safetensors", harmed_bytes(st.just(header(tensor()))),
             weights_check),
    FuzzCase("config: tokenizer.json",
             tokenizers | harmed_json(tokenizers), tokenizer_check),
]  # fmt: skip
