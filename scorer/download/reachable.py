"""Checks that the Hub is reachable, because huggingface_hub would retry for half a minute."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

_SECONDS = 10.0
_PORTS = {"http": 80, "https": 443}


def check_reachable() -> None:
    """Open and close one connection to the Hub.

    Does nothing behind a proxy or in offline mode.

    Raises:
        OSError: The Hub cannot be reached.
    """
    from huggingface_hub import constants

    url = urlsplit(constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE or url.hostname is None or url.scheme in getproxies():
        return
    port = url.port or _PORTS.get(url.scheme, 443)
    socket.create_connection((url.hostname, port), _SECONDS).close()
