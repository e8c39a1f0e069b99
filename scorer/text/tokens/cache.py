"""A cache of tokenized corpora on disk, so that the next run of a model starts sooner.

A file that cannot be written is no error, and one that cannot be read is written again. The
archive's CRC-32 detects damaged files.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scorer.common.atomic_files import write_atomic
from scorer.common.errors import QfidError

_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedText:
    """A tokenized corpus.

    Attributes:
        ids: (n,) int32.
        document_starts: (d,) int64, index of the first token of each document, ascending;
            (0,) if the documents are unknown.
    """

    ids: NDArray[np.int32]
    document_starts: NDArray[np.int64]


def cache_file(cache_dir: Path, *key: str) -> Path:
    """Return the path for a key: hashes, versions and protocol that determine the tokens."""
    digest = hashlib.sha256("\0".join((str(_VERSION), *key)).encode()).hexdigest()
    return cache_dir / f"tokens-{digest[:32]}.npz"


def load_tokens(path: Path) -> TokenizedText | None:
    """Read a cached corpus; None if it is missing, damaged or has another format."""
    try:
        # Opened here: numpy does not close a file that is not an archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            ids, starts = archive["ids"], archive["document_starts"]
    except Exception:  # a damaged archive can raise nearly any exception
        return None
    good = (
        ids.dtype == np.int32
        and starts.dtype == np.int64
        and ids.ndim == starts.ndim == 1
        and bool(np.all(np.diff(starts) >= 0))
        and (not ids.size or int(ids.min()) >= 0)
    )
    return TokenizedText(ids, starts) if good else None


def save_tokens(path: Path, tokens: TokenizedText) -> None:
    """Write a corpus to the cache; a folder that is not writable is no error."""
    archive = io.BytesIO()
    np.savez(archive, ids=tokens.ids, document_starts=tokens.document_starts)
    with contextlib.suppress(OSError, QfidError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, archive.getvalue())
