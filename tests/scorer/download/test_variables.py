"""A malformed variable is named, and never its value."""

from __future__ import annotations

import importlib.util

import pytest

from scorer.common.errors import InputError
from scorer.download.variables import check_variables

NAMES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "HF_ENDPOINT", "HF_TOKEN")


@pytest.fixture(autouse=True)
def none_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "foo:bar:baz"),
        ("HTTPS_PROXY", "http://user:secret@"),
        ("https_proxy", "http://[::1"),
        ("ALL_PROXY", "socks9://host"),
        ("HTTP_PROXY", "http://host:eighty"),
        ("HF_ENDPOINT", "notaurl"),
        ("HF_ENDPOINT", ""),
        ("HF_ENDPOINT", "http://host:port"),
        ("HF_ENDPOINT", "ftp://host"),
        ("HF_TOKEN", "hf_ü"),
        ("HF_TOKEN", "hf_\x1b"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
    ],
)
def test_it_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        check_variables()
    assert caught.value.message.startswith(f"{name} ")
    assert f"`unset {name}`" in caught.value.hint
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "http://user:secret@proxy:3128"),
        ("https_proxy", "proxy:3128"),
        ("HTTP_PROXY", "proxy"),
        ("ALL_PROXY", ""),
        ("HF_ENDPOINT", "https://hub.example/mirror"),
        ("HF_TOKEN", "hf_abc\n"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "30"),
    ],
)
def test_what_the_library_can_use_passes(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    check_variables()


def test_a_socks_proxy_takes_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://localhost:1080")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="ALL_PROXY names a SOCKS proxy") as caught:
        check_variables()
    assert "socksio" in caught.value.hint
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    check_variables()
