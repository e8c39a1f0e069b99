"""Variables of the environment that decide how the Hub is reached, where one is malformed.

The library says what it cannot read, but not in which variable it stands. No value is shown: a
proxy can hold a password.
"""

from __future__ import annotations

import importlib.util
import os
from urllib.parse import urlsplit

from scorer.common.errors import InputError
from scorer.common.install_command import install_command

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_PROXY_SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_SECONDS = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")


def check_variables() -> None:
    """Check the variables of proxies, of the Hub's address and of the token.

    Raises:
        InputError: One is malformed, and is named.
    """
    for name in (each for upper in _PROXIES for each in (upper, upper.lower())):
        value = os.environ.get(name)
        if value:
            _check_proxy(name, value)
    endpoint = os.environ.get("HF_ENDPOINT")
    if endpoint is not None and _scheme(endpoint) not in ("http", "https"):
        raise InputError(
            "HF_ENDPOINT is no address of a Hub", "write https://host, or `unset HF_ENDPOINT`"
        )
    for name in _TOKENS:
        # The library leaves line breaks out.
        token = os.environ.get(name, "").replace("\n", "").replace("\r", "").strip()
        if not (token.isascii() and (token.isprintable())):
            raise InputError(
                f"{name} holds characters that no token has",
                f"copy the token again, or `unset {name}`",
            )
    for name in _SECONDS:
        value = os.environ.get(name, "10")
        try:
            int(value)
        except ValueError:
            raise InputError(
                f"{name} is no whole number of seconds", f"write 10, or `unset {name}`"
            ) from None


def _check_proxy(name: str, value: str) -> None:
    scheme = _scheme(value if "://" in value else f"http://{value}")
    if scheme not in _PROXY_SCHEMES:
        raise InputError(
            f"{name} is no address of a proxy", f"write http://host:port, or `unset {name}`"
        )
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise InputError(
            f"{name} names a SOCKS proxy, which takes another package",
            f"`{install_command('socksio')}`, or `unset {name}`",
        )


def _scheme(address: str) -> str:
    """The scheme of an address in lower case; "" where the address is malformed."""
    try:
        parts = urlsplit(address)
        # Raises where the port is no number.
        return parts.scheme if parts.hostname and parts.port != 0 else ""
    except ValueError:
        return ""
