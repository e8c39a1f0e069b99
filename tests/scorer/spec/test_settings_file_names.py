"""Settings as parts of file names."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from setting_values import kv_settings

from scorer.spec.settings.base import Setting
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_setting


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("8", "8"),
        ("4:32", "4g32"),
        ("k8v4", "k8v4"),
        ("k16v4:128", "k16v4g128"),
        ("4@512", "4s512"),
        ("4~dequantized", "4-dequantized"),
        ("k8v4:32@512~dequantized", "k8v4g32s512-dequantized"),
    ],
)
def test_names_of_the_first_version_stay(key: str, name: str) -> None:
    assert parse_setting(key).file_name == name


class Named(KVSetting):
    """A setting of a later kind, for its key alone."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        super().__init__(8, 8)
        object.__setattr__(self, "text", text)

    @property
    def key(self) -> str:
        return self.text


@pytest.mark.parametrize(
    ("key", "beginning"),
    [
        ("16/turboquant3", "16-turboquant3"),
        ("8:32/4:64", "8-32-4-64"),
        ("turboquant4:seed=7/8", "turboquant4-seed-7-8"),
        ("w4+8", "w4-8"),
        ("w=org/name@1a2b3c+k8v4", "w-org-name-1a2b3c-k8v4"),
        ("recipe=./mix.json", "recipe-.-mix.json"),
        ("mxfp8", "mxfp8"),
    ],
)
def test_later_keys_end_in_their_hash(key: str, beginning: str) -> None:
    digits = hashlib.sha256(key.encode()).hexdigest()[:6]
    assert Named(key).file_name == f"{beginning}-{digits}"


@given(kv_settings, kv_settings)
def test_names_are_distinct_and_safe(one: Setting, other: Setting) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", one.file_name)
    assert (one == other) == (one.file_name == other.file_name)


def test_keys_that_lose_the_same_characters_keep_names_apart() -> None:
    names = {Named(key).file_name for key in ("8:32/4", "8/32:4", "8/32/4")}
    assert len(names) == 3
