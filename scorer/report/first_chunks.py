"""The first chunks of a saved run, as if no more had been asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scorer.runs.facts import RunFacts

if TYPE_CHECKING:
    from scorer.runs.stored_chunks import StoredChunks


def of_first(
    facts: RunFacts, stored: Mapping[str, StoredChunks], n: int
) -> tuple[RunFacts, dict[str, StoredChunks]]:
    """Facts and chunks of a run that asks for its first ``n`` chunks only.

    Args:
        facts: Facts of the run.
        stored: Setting to its chunks.
        n: How many chunks, in scoring order.
    """
    chunks = facts.chunks[:n]
    kept = frozenset(chunks)
    documents = {chunk: found for chunk, found in facts.documents.items() if chunk in kept}
    equal = facts.equal_chunks
    covered = len(set(documents.values()) - {None})
    return dataclasses.replace(
        facts,
        chunks=chunks,
        documents=documents,
        corpus=dataclasses.replace(
            facts.corpus,
            n_tokens=len(chunks) * facts.chunk_length,
            n_documents=None if facts.corpus.n_documents is None else covered,
        ),
        equal_chunks=None if equal is None else {c: e for c, e in equal.items() if c in kept},
    ), {name: found.only(kept) for name, found in stored.items()}
