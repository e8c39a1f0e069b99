"""From texts to settings: defaults, lists, and notation of kinds that are not there yet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from setting_values import kv_settings

from scorer.common.errors import InputError
from scorer.spec.settings.base import ComputePath, Setting
from scorer.spec.settings.grammar import SettingForm
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import KINDS, parse_setting, parse_settings


@given(st.lists(kv_settings, min_size=1, max_size=6))
def test_a_list_keeps_its_order_and_each_setting_once(settings: list[KVSetting]) -> None:
    text = " , ".join(setting.key for setting in settings)
    assert parse_settings(text) == tuple(dict.fromkeys(settings))


def test_what_the_notation_names_wins_over_the_defaults_given() -> None:
    given_defaults: dict[str, Any] = {"group_size": 32, "start": 7, "path": "dequantized"}
    assert parse_setting("4", **given_defaults) == KVSetting(4, 4, 32, 7, "dequantized")
    assert parse_setting("4:64@9~deployed", **given_defaults) == KVSetting(4, 4, 64, 9)
    assert parse_setting("4@0", start=7) == KVSetting(4, 4)
    assert parse_settings("4,k8v4:64", group_size=32) == (KVSetting(4, 4, 32), KVSetting(8, 4))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("8:64", "8"),
        ("k8v8", "8"),
        ("k4v4:64", "4"),
        ("08", "8"),
        ("4@0", "4"),
        ("4~deployed", "4"),
        ("8/4", "k8v4"),
        ("8/8", "8"),
        ("16/4:32", "k16v4:32"),
        ("4:32/8:32", "k4v8:32"),
        ("stock:4:64", "4"),
        ("stock:4:32@9", "4:32@9"),
        ("affine:6:4", "k6v4"),
        ("affine:4:4:32", "4:32"),
    ],
)
def test_defaults_and_other_spellings_are_resolved_before_the_key(text: str, key: str) -> None:
    assert parse_setting(text).key == key
    assert parse_settings(f"{text},{key}") == (parse_setting(key),)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("16/turboquant3", "turboquant"),
        ("turboquant4:seed=7/8", "turboquant"),
        ("turboquant:4:7", "turboquant"),
        ("kivi2:32:r=128", "kivi"),
        ("mxfp8", "mxfp8"),
        ("8/nvfp4", "nvfp4"),
        ("four", "four"),
        ("8:keep=first2-last1", "keep="),
        ("8:runtime=mlx-lm@5000", "runtime="),
        ("cache=pkg.mod:make:bits=4", "cache="),
        ("recipe=./mix.json", "recipe="),
        ("w4+kivi2", "kivi"),
        ("w4+cache=pkg.mod:make", "cache="),
        ("w4+recipe=./mix.json", "recipe="),
    ],
)
def test_what_this_version_does_not_know_is_refused_by_name(text: str, name: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_settings(f"8,{text}")
    assert caught.value.message == f"setting `{text}`: this version does not know `{name}`"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("7", "`7` bits for the key side is not a width", "widths: 2, 3, 4, 5, 6, 8, or 16"),
        ("1", "`1` bits for the key side is not a width", "widths: 2, 3, 4, 5, 6, 8, or 16"),
        ("k8v7", "`7` bits for the value side is not a width", "widths: 2"),
        ("8/7", "`7` bits for the value side is not a width", "widths: 2"),
        ("4:48", "`48` is not a group size", "group sizes: 32, 64, 128"),
        ("k16v16", "`k16v16` quantizes nothing", "fewer than 16 bits"),
        ("16", "`k16v16` quantizes nothing", "fewer than 16 bits"),
        ("16:32/8", "a side at full precision has no groups", ""),
        ("8/16:32", "a side at full precision has no groups", ""),
        ("4~fast", "`fast` is not a path", "deployed, dequantized"),
        ("4:", "`4:` is not a setting", "8, 4:32, k8v4, 4@512"),
        (" , ", "no setting was given", "8, 4:32, k8v4, 4@512"),
    ],
)
def test_a_setting_that_cannot_be_says_why_and_what_can(text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_settings(text)
    assert message in caught.value.message and hint in caught.value.hint
    assert not caught.value.message.endswith(".") and "\n" not in str(caught.value.message)


@given(st.text() | st.text("0123468kvw:@~/+=. ", max_size=12))
def test_any_text_is_a_setting_or_an_input_error(text: str) -> None:
    try:
        setting = parse_setting(text)
    except InputError:
        return
    assert parse_setting(setting.key) == setting


def test_a_kind_is_known_by_its_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []

    def parser(form: SettingForm, *, group_size: int, start: int, path: ComputePath) -> Setting:
        seen.append((form.weights, form.start, group_size, start, path))
        return KVSetting(8, 8)

    monkeypatch.setitem(KINDS, "weights", parser)
    parse_setting("w4+8@9", group_size=32, start=7, path="dequantized")
    assert seen == [("w4", 9, 32, 7, "dequantized")]


def test_only_settings_of_the_cache_are_read_as_such() -> None:
    with pytest.raises(InputError, match="`w4\\+8` is not a setting of the KV cache alone"):
        KVSetting.parse("w4+8")
