"""A cache of tokenized corpora on disk, so that the next run of a model starts sooner.

A file that cannot be written is no error, and one that cannot be read is written again. The
archive's CRC-32 detects damaged files.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scorer.common.atomic_files import write_atomic
from scorer.common.errors import QfidError

_VERSION = 2


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedText:
    """A tokenized corpus.

    Attributes:
        ids: (n,) int32.
        document_starts: (d,) int64, index of the first token of each document, ascending;
            (0,) if the documents are unknown.
        roles: (n,) uint8, whose each token of a chat text is, indices into ``role_names``; (0,)
            of other texts.
        role_names: Names of roles.
        cautions: What the reader of a report should know of how it was tokenized.
    """

    ids: NDArray[np.int32]
    document_starts: NDArray[np.int64]
    roles: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    role_names: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


def cache_file(cache_dir: Path, *key: str) -> Path:
    """Return the path for a key: hashes, versions and protocol that determine the tokens."""
    digest = hashlib.sha256("\0".join((str(_VERSION), *key)).encode()).hexdigest()
    return cache_dir / f"tokens-{digest[:32]}.npz"


def load_tokens(path: Path) -> TokenizedText | None:
    """Read a cached corpus; None if it is missing, damaged or has another format."""
    try:
        # Opened here: numpy does not close a file that is not an archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            ids, starts, roles = archive["ids"], archive["document_starts"], archive["roles"]
            words = [tuple(archive[name].tolist()) for name in ("role_names", "cautions")]
    except Exception:  # a damaged archive can raise nearly any exception
        return None
    good = (
        ids.dtype == np.int32
        and starts.dtype == np.int64
        and ids.ndim == starts.ndim == 1
        and bool(np.all(np.diff(starts) >= 0))
        and (not ids.size or int(ids.min()) >= 0)
        and roles.dtype == np.uint8
        and roles.shape in ((0,), ids.shape)
        and (not roles.size or int(roles.max()) < len(words[0]))
    )
    return TokenizedText(ids, starts, roles, *words) if good else None


def save_tokens(path: Path, tokens: TokenizedText) -> None:
    """Write a corpus to the cache; a folder that is not writable is no error."""
    archive = io.BytesIO()
    np.savez(
        archive,
        ids=tokens.ids,
        document_starts=tokens.document_starts,
        roles=tokens.roles,
        role_names=np.array(tokens.role_names, np.str_),
        cautions=np.array(tokens.cautions, np.str_),
    )
    with contextlib.suppress(OSError, QfidError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, archive.getvalue())
