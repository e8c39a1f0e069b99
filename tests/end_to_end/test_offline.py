"""Nothing asks the network where everything is cached: not the parent, not the child, not once.

An audit hook in every Python process refuses to connect and to resolve names, and writes down who
tried. ``HF_HUB_OFFLINE`` is not set: it is no merit to be silent when told to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_hub_cache import COMMIT, write_repo
from project import ROOT, SUPPORT
from tiny_runs import Small

from scorer.text.wikitext import FILE, REVISION

REPO = "org/tiny"

SITECUSTOMIZE = """
import os, socket, sys

def note(line):
    descriptor = os.open(os.environ["NETWORK_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, (line + "\\n").encode())
    os.close(descriptor)

def refuse(event, args):
    if not event.startswith("socket."):
        return
    local = event in ("socket.connect", "socket.bind") and args[0].family == socket.AF_UNIX
    asks = "connect getaddrinfo gethostbyname gethostbyaddr getnameinfo sendto sendmsg".split()
    if event.removeprefix("socket.") in asks and not local:
        note(f"asked {event} {args[1:]}")
        raise OSError("no network here")

sys.addaudithook(refuse)
note("watched " + " ".join(sys.orig_argv[1:4]))
"""


class Watched:
    """Commands whose every process is watched."""

    def __init__(self, folder: Path) -> None:
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(SITECUSTOMIZE)
        self.log = folder / "network.log"
        path = os.pathsep.join(map(str, (site, ROOT)))
        self.environ = {**os.environ, "PYTHONPATH": path, "NETWORK_LOG": str(self.log)}
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT"):
            self.environ.pop(name, None)

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def qfid(self, *words: str) -> str:
        done = self.python("-m", "qfid_tui.cli", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lines(self, kind: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(kind)]


@pytest.fixture
def watched(tmp_path: Path, small: Small) -> Iterator[Watched]:
    """A cache that holds a model and WikiText-2, and nobody who asks for more."""
    hub = Path(os.environ["HF_HOME"]) / "hub"
    write_repo(hub, REPO, {path.name: path.read_bytes() for path in small.model.iterdir()})
    parquet = hub / "datasets--Salesforce--wikitext" / "snapshots" / REVISION / FILE
    parquet.parent.mkdir(parents=True)
    pq.write_table(pa.table({"text": small.text.read_text().splitlines()}), parquet)
    found = Watched(tmp_path)
    yield found
    assert found.lines("asked") == []


KV = ["--kv-bits", "8,4", "--chunk-length", "32", "--max-chunks", "2", "--format", "json"]


def test_the_commands_ask_nobody(watched: Watched) -> None:
    (model,) = json.loads(watched.qfid("models", "--format", "json"))["models"]
    assert (model["name"], model["revision"]) == (REPO, COMMIT)
    report = json.loads(watched.qfid("kv", REPO, *KV))
    assert report["run"]["corpus"]["name"] == "wikitext-2-raw"
    assert any("-m scorer" in line for line in watched.lines("watched"))
    (run,) = json.loads(watched.qfid("runs", "--format", "json"))
    assert json.loads(watched.qfid("report", run["id"], "--format", "json")) == report
    positions = Path(run["path"], "positions.arrow")
    positions.write_bytes(positions.read_bytes()[:-100])
    children = len(watched.lines("watched -P"))
    again = json.loads(watched.qfid("resume", run["id"], "--format", "json"))
    # The scorer, and the process of its text.
    assert len(watched.lines("watched -P")) == children + 2
    assert again["settings"][1]["kl"] == report["settings"][1]["kl"]


API = """
from scorer import measure_kv_fidelity
found = measure_kv_fidelity("org/tiny", kv_bits=8, chunk_length=32, max_chunks=2)
print(found.verdict)
"""


@pytest.mark.slow
def test_the_python_interface_asks_nobody(watched: Watched) -> None:
    done = watched.python("-c", API)
    assert done.returncode == 0 and done.stdout.strip() in ("good", "marginal", "bad"), done.stderr


APP = """
import asyncio
import sys
sys.path.insert(0, sys.argv[1])
from app_pilot import running, screen_text

async def main():
    async with running(size=(140, 45)) as (app, pilot):
        print(screen_text(app))

asyncio.run(main())
"""


def test_the_app_asks_nobody(watched: Watched) -> None:
    done = watched.python("-c", APP, str(SUPPORT))
    assert done.returncode == 0 and REPO in done.stdout, done.stderr


@pytest.mark.slow
def test_a_tokenizer_that_transformers_reads_asks_nobody(watched: Watched) -> None:
    """The library itself would look for newer files of a repo; it is only shown a folder."""
    snapshot = Path(os.environ["HF_HOME"]) / "hub" / "models--org--tiny" / "snapshots" / COMMIT
    tokenizer = json.loads((snapshot / "tokenizer.json").read_text())
    (snapshot / "tokenizer.json").unlink()
    (snapshot / "vocab.json").write_text(json.dumps(tokenizer["model"]["vocab"]))
    (snapshot / "merges.txt").write_text("#version: 0.2\n")
    (snapshot / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    report = json.loads(watched.qfid("kv", REPO, *KV))
    assert report["run"]["complete"]


def test_whoever_asks_is_refused_and_written_down(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    done = watched.python("-c", "import socket; socket.create_connection(('localhost', 80))")
    assert done.returncode == 1 and "no network here" in done.stderr
    assert any("socket.getaddrinfo" in line for line in watched.lines("asked"))
