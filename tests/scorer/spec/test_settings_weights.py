"""Settings of weights: their notation, and what they say of weights and cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from setting_values import kv_settings

from scorer.common.errors import InputError
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_setting, parse_settings, settings_asked
from scorer.spec.settings.weights import (
    MadeWeights,
    StoredWeights,
    WeightsSetting,
    cache_of,
    caches_of,
    from_any_folder,
    sources_of,
    weights_of,
)
from scorer.spec.thresholds import KV, WEIGHTS

GEOMETRY = KVGeometry((KVLayer(3, 80, 64),) * 2, 2)

made = st.one_of(
    st.builds(MadeWeights, st.sampled_from((2, 3, 4, 5, 6, 8)), st.sampled_from((32, 64, 128))),
    st.sampled_from(
        [MadeWeights(4, 32, "mxfp4"), MadeWeights(8, 32, "mxfp8"), MadeWeights(4, 16, "nvfp4")]
    ),
)
paths = st.tuples(st.sampled_from(("/", "./", "../")), st.text(max_size=20)).map("".join)
names = st.from_regex(r"[A-Za-z0-9._-]+/[A-Za-z0-9_-]+", fullmatch=True)
stored = st.builds(StoredWeights, paths) | st.builds(
    StoredWeights,
    names.filter(lambda name: not name.startswith((".", "/"))),
    st.none() | st.from_regex(r"[A-Za-z0-9._-]+", fullmatch=True),
)
settings = st.builds(WeightsSetting, made | stored, st.none() | kv_settings)


@given(settings)
def test_reading_a_key_gives_the_setting(setting: WeightsSetting) -> None:
    key = setting.key
    assert parse_setting(key) == setting and parse_setting(setting.written).key == key
    # In a list, and unquoted in a shell.
    assert parse_settings(f"8,{key}")[1] == from_any_folder(setting)
    assert not set("!?*$ \t\n,;&|<>()'\"`") & set(key)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("w4", "w4"),
        ("w4:64", "w4"),
        ("w4:32", "w4:32"),
        ("wmxfp4", "wmxfp4"),
        ("w4+8", "w4+8"),
        ("w4+8:64", "w4+8"),
        ("w8:32+k8v4:32@512~dequantized", "w8:32+k8v4:32@512~dequantized"),
        ("w=org/name@1a2b3c+k8v4", "w=org/name@1a2b3c+k8v4"),
        ("w=./a%2Cb", "w=./a%2Cb"),
        ("w=/tmp/a%2Db", "w=/tmp/a-b"),
    ],
)
def test_notation(text: str, key: str) -> None:
    assert parse_setting(text).key == key


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("w7", "weights `w7`: `7` bits is not a width", "widths: 2, 3, 4, 5, 6, 8"),
        ("w4:16", "weights `w4:16`: `16` is not a group size", "group sizes: 32, 64, 128"),
        ("w4+7", "`7` bits for the key side", "widths"),
        ("wmxfp6", "`wmxfp6` is not a setting", "8, 4:32"),
        ("w=name", "`w=name` is not a setting", "w=org/name"),
        ("w=/a b.gguf", "`w=/a b.gguf` is not a setting", "%20 is a space"),
        ("w=/a+4.gguf+8", "`w=/a+4.gguf+8` is not a setting", "%2B a +"),
        ("w4@9", "`w4@9` is not a setting", "8, 4:32"),
        ("x.GGUF", "`x.GGUF` is not a setting", "w=./name.gguf"),
    ],
)
def test_weights_that_cannot_be_say_why(text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_setting(text)
    assert message in caught.value.message and hint in caught.value.hint


def test_a_name_is_short_and_a_folder_is_known_by_its_beginning() -> None:
    assert StoredWeights("org/name", "main").name == "name"
    assert StoredWeights("./models/mine/").name == "mine"
    assert StoredWeights("../x.GGUF").is_gguf and not StoredWeights("../x").is_gguf
    assert not StoredWeights("org/x.gguf").is_gguf
    assert StoredWeights("../x").is_path and not StoredWeights("a/x").is_path
    assert MadeWeights(4, 32).name == "w4:32"


def test_options_of_the_cache_hold_for_the_part_about_the_cache() -> None:
    found = parse_setting("w4+8", group_size=32, start=9, path="dequantized")
    assert found.key == "w4+8:32@9~dequantized"
    assert parse_setting("w4", group_size=32, start=9, path="dequantized").key == "w4"


def test_weights_alone_keep_the_cache_at_full_precision() -> None:
    alone = parse_setting("w4")
    assert alone.bytes_per_token(GEOMETRY) == GEOMETRY.bytes_per_token_16bit()
    assert alone.start == 0 and alone.path == "deployed" and alone.control() == alone
    assert alone.kv_method.name == "none" and alone.resolved(GEOMETRY) == alone
    alone.check(GEOMETRY)


def test_with_a_cache_they_cost_and_check_as_the_cache_does() -> None:
    pair, cache = parse_setting("w4+8"), parse_setting("8")
    with pytest.raises(InputError, match="does not divide the head dimension 80"):
        parse_setting("w4+8:64").check(KVGeometry((KVLayer(1, 80, 80),), 1))
    assert pair.bytes_per_token(GEOMETRY) == cache.bytes_per_token(GEOMETRY)
    assert pair.control() == parse_setting("w4+8~dequantized")
    assert pair.thresholds == WEIGHTS and cache.thresholds == KV


def test_what_settings_run_is_told_apart() -> None:
    found = parse_settings("8,w4,w4+8,w4+4,w8+4,k8v4")
    assert [source.key for source in sources_of(found)] == ["w4", "w8"]
    assert [cache.key for cache in caches_of(found)] == ["8", "4", "k8v4"]
    assert weights_of(KVSetting(8, 8)) is None and cache_of(parse_setting("w4")) is None


def test_a_path_that_a_user_writes_holds_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a,b"
    folder.mkdir()
    monkeypatch.chdir(folder)
    key = f"w={tmp_path}/a%2Cb/x.gguf+4"
    assert [each.key for each in parse_settings("w=./x.gguf+4,w=../y,8,w=org/name")] == [
        key,
        f"w={tmp_path}/y",
        "8",
        "w=org/name",
    ]
    assert settings_asked(["w=./x.gguf+4"])[0].key == key
    # What a run holds is read as it is.
    assert parse_setting("w=./x.gguf+4").key == "w=./x.gguf+4"
