"""WikiText-2 on a machine that has never seen it: fetched by the scorer, said in one line."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from loopback_hub import Repo, serving
from tiny_runs import Small

from scorer.common.offline import forbid_to_libraries, forbidden_by_user
from scorer.download import reachable
from scorer.text.wikitext import FILE, REPO, REVISION

OPTIONS = ["--kv-bits", "8", "--chunk-length", "32", "--max-chunks", "2"]
SAID = "fetching WikiText-2 from the Hugging Face Hub (0.7 MB, once)"


def scored(small: Small, **environ: str) -> subprocess.CompletedProcess[str]:
    """``qfid kv`` in a process of its own, which nobody has told whether there is a network."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    }
    return subprocess.run(
        [sys.executable, "-m", "qfid_tui.cli", "kv", str(small.model), *OPTIONS],
        env=inherited | {"HF_HUB_DISABLE_XET": "1"} | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def parquet(small: Small) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table({"text": small.text.read_text().splitlines()}), written)
    return written.getvalue()


def test_it_is_fetched_once_and_the_run_goes_on(small: Small, parquet: bytes) -> None:
    with serving() as hub:
        hub.repos["datasets", REPO] = Repo({FILE: parquet}, commit=REVISION)
        first = scored(small, HF_ENDPOINT=hub.url)
        assert first.returncode == 0, first.stderr
        assert first.stderr.splitlines().count(SAID) == 1
        assert "wikitext-2-raw" in first.stdout
        asked = len(hub.requests)
        again = scored(small, HF_ENDPOINT=hub.url)
        assert again.returncode == 0 and SAID not in again.stderr
        assert len(hub.requests) == asked > 0


def test_a_user_who_forbids_the_network_is_obeyed(small: Small, parquet: bytes) -> None:
    with serving() as hub:
        hub.repos["datasets", REPO] = Repo({FILE: parquet}, commit=REVISION)
        done = scored(small, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
        assert done.returncode == 2 and not hub.requests
        error, hint = done.stderr.splitlines()[-2:]
        assert error.startswith("error: WikiText-2 is not in the local") and SAID not in done.stderr
        assert "--corpus builtin" in hint


def test_no_network_is_one_error(small: Small) -> None:
    done = scored(small, HF_ENDPOINT="http://127.0.0.1:9", NO_PROXY="127.0.0.1")
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: ") and "could not be fetched" in error
    assert "--corpus builtin" in hint
    # A model that takes minutes to load is not loaded for a text that is not to be had.
    assert not any(line.startswith("loading ") for line in done.stderr.splitlines())


@pytest.mark.parametrize(
    ("own", "other", "forbidden"),
    [
        (None, None, False),
        ("1", None, True),
        ("true", None, True),
        ("0", None, False),
        (None, "1", True),
        ("0", "1", False),
    ],
)
def test_whose_ban_it_is(
    own: str | None, other: str | None, forbidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("HF_HUB_OFFLINE", own), ("TRANSFORMERS_OFFLINE", other)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert forbidden_by_user() is forbidden
    forbid_to_libraries()
    assert forbidden_by_user() is forbidden
    assert os.environ["HF_HUB_OFFLINE"] == (own or "on")


@pytest.mark.parametrize(
    ("endpoint", "proxies", "asked"),
    [
        ("https://hub.example", {}, ("hub.example", 443)),
        ("http://localhost:8080/sub", {}, ("localhost", 8080)),
        ("https://hub.example", {"https": "http://proxy:3128"}, None),
        ("https://hub.example", {"http": "http://proxy:3128"}, ("hub.example", 443)),
    ],
)
def test_the_hub_is_tried_once_before_the_library_tries_it_for_half_a_minute(
    endpoint: str,
    proxies: dict[str, str],
    asked: tuple[str, int] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], timeout: float) -> None:
        assert 1 <= timeout <= 30
        tried.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(reachable, "getproxies", lambda: proxies)
    monkeypatch.setattr(reachable.socket, "create_connection", connect)
    if asked is None:
        reachable.check_reachable()
    else:
        with pytest.raises(ConnectionRefusedError):
            reachable.check_reachable()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        reachable.check_reachable()
    assert tried == ([] if asked is None else [asked])
