"""A Hub on the loopback interface: what huggingface_hub asks of it when it downloads."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock
from urllib.parse import unquote, urlsplit

from fake_hub_cache import COMMIT


@dataclass
class Repo:
    """A repo of the Hub.

    Attributes:
        files: Content by name.
        commit: What every branch stands for.
        refusal: Status and X-Error-Code of every answer, or of its files only where ``listed``.
        listed: Whether the list of files is public although the files are not.
        cuts: By file, after how many bytes each coming answer's connection is cut.
        sizes: By file, the size that the list names, where it is not the file's.
        branches: By name, what another branch holds; each has a commit of its own.
    """

    files: dict[str, bytes]
    commit: str = COMMIT
    refusal: tuple[int, str] | None = None
    listed: bool = False
    cuts: dict[str, list[int]] = field(default_factory=dict)
    sizes: dict[str, int | None] = field(default_factory=dict)
    branches: dict[str, Repo] = field(default_factory=dict)

    def at(self, revision: str) -> Repo | None:
        """What a revision holds; None where there is none."""
        if revision in ("main", self.commit):
            return self
        found = (b for name, b in self.branches.items() if revision in (name, b.commit))
        return next(found, None)

    def described(self, name: str) -> dict[str, Any]:
        content = self.files[name]
        found: dict[str, Any] = {"size": len(content), "oid": git_hash(content)}
        if name.endswith(".safetensors"):
            digest = etag(name, content)
            # The list of a tree and the description of a repo name one thing differently.
            found["lfs"] = {"oid": digest, "sha256": digest, "size": len(content)}
            found["lfs"]["pointerSize"] = 130
        if name in self.sizes:
            found["size"] = self.sizes[name]
        return found


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(name: str, content: bytes) -> str:
    large = name.endswith(".safetensors")
    return hashlib.sha256(content).hexdigest() if large else git_hash(content)


class LoopbackHub(ThreadingHTTPServer):
    """The server.

    Attributes:
        repos: By kind (``models`` or ``datasets``) and id.
        requests: Method and path of everything asked, and its Range.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[tuple[str, str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fetched(self, name: str) -> int:
        """How often a file's content was asked for."""
        return sum(m == "GET" and path.endswith(f"/{name}") for m, path, _ in self.requests)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackHub

    def log_message(self, format: str, *args: Any) -> None:
        """Tests print nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((self.command, path, self.headers.get("Range")))
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            self._list(parts[1], parts[2:])
        elif parts[0] == "datasets":
            self._file("datasets", parts[1:])
        else:
            self._file("models", parts)

    def _repo(self, kind: str, parts: list[str]) -> Repo | None:
        return self.server.repos.get((kind, "/".join(parts[:2])))

    def _list(self, kind: str, parts: list[str]) -> None:
        repo = self._repo(kind, parts)
        if repo is None:
            return self._refuse(404, "RepoNotFound")
        if repo.refusal and not repo.listed:
            return self._refuse(*repo.refusal)
        found = repo.at("/".join(parts[3:])) if len(parts) > 3 else repo
        if found is None:
            return self._refuse(404, "RevisionNotFound")
        repo = found
        if len(parts) > 2 and parts[2] == "tree":
            return self._json([{"type": "file", "path": n} | repo.described(n) for n in repo.files])
        siblings = [
            {"rfilename": name, "blobId": found.pop("oid")} | found
            for name in repo.files
            for found in [repo.described(name)]
        ]
        self._json({"id": "/".join(parts[:2]), "sha": repo.commit, "siblings": siblings})
        return None

    def _file(self, kind: str, parts: list[str]) -> None:
        repo = self._repo(kind, parts)
        if repo is None:
            return self._refuse(404, "RepoNotFound")
        if repo.refusal:
            return self._refuse(*repo.refusal)
        found = repo.at(parts[3])
        if found is None:
            return self._refuse(404, "RevisionNotFound")
        repo = found
        name = "/".join(parts[4:])
        if name not in repo.files:
            return self._refuse(404, "EntryNotFound")
        content = repo.files[name]
        start = int((self.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{etag(name, content)}"')
        self.send_header("X-Repo-Commit", repo.commit)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return None
        cuts = repo.cuts.get(name)
        self.wfile.write(content[start:][: cuts.pop(0)] if cuts else content[start:])
        self.close_connection = True
        return None

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def serving() -> Iterator[LoopbackHub]:
    """A running server that huggingface_hub takes for the Hub, without waits between retries."""
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import _http, close_session

    with LoopbackHub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        template = "/{repo_id}/resolve/{revision}/{filename}"
        with (
            mock.patch.dict("os.environ", {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}),
            mock.patch.object(constants, "HF_HUB_OFFLINE", False),
            mock.patch.object(constants, "HF_HUB_DISABLE_XET", True),
            mock.patch.object(constants, "DOWNLOAD_CHUNK_SIZE", 1024),
            mock.patch.object(constants, "HF_HUB_DISABLE_TELEMETRY", True),
            mock.patch.object(constants, "ENDPOINT", hub.url),
            mock.patch.object(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + template),
            mock.patch.object(file_download.time, "sleep"),
            mock.patch.object(_http.time, "sleep"),
        ):
            close_session()
            try:
                yield hub
            finally:
                close_session()
                hub.shutdown()
                thread.join()
