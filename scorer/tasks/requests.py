"""What tasks ask of a model, as sequences of tokens, and the batches that they are scored in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from scorer.engine.tiles import Batch

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """How likely is the end of a sequence of tokens, given what comes before it?

    Attributes:
        length: Tokens of the sequence.
        first: The first position that is scored; it predicts the token behind it.
        ids: The tokens.
    """

    length: int
    first: int
    ids: Ids

    @classmethod
    def of(cls, context: Sequence[int], continuation: Sequence[int], most: int) -> Request:
        """Make the request for a continuation; of too long a context the end counts.

        Args:
            context: Tokens before it, at least one.
            continuation: The tokens that are scored, at least one.
            most: Tokens that may go through the model.
        """
        # The last token is only predicted and does not go through.
        ids = tuple(map(int, (*context, *continuation)))[-(most + 1) :]
        return cls(len(ids), max(0, len(ids) - len(continuation) - 1), ids)


@dataclass(frozen=True, slots=True)
class Score:
    """What a model says to a request.

    Attributes:
        loglikelihood: Sum over the scored tokens of log p, nats.
        greedy: Whether each of them is the model's most likely token.
    """

    loglikelihood: float
    greedy: bool


@dataclass(frozen=True, slots=True)
class Batches:
    """The different requests of some tasks, in the order in which they are scored.

    A batch holds requests that are equal in length and in where scoring begins: nothing is padded,
    and every product of matrices has one shape a sequence, whatever else is in its batch.

    Attributes:
        requests: All of them, by length; their place is their number.
        size: Requests of a batch, at most.
    """

    requests: tuple[Request, ...]
    size: int

    @classmethod
    def of(cls, asked: Sequence[Request], size: int) -> Batches:
        """Sort requests; one that is asked for several times is scored once."""
        return cls(tuple(sorted(set(asked))), size)

    @property
    def sha256(self) -> str:
        """SHA-256 of all tokens and of what of them is scored, hexadecimal."""
        digest = hashlib.sha256()
        for request in self.requests:
            head = (request.length, request.first)
            digest.update(np.array((*head, *request.ids), dtype="<i4").tobytes())
        return digest.hexdigest()

    def __iter__(self) -> Iterator[range]:
        """Yield the numbers of the requests of each batch."""
        for _, same in groupby(enumerate(self.requests), _shape):
            numbers = [number for number, _ in same]
            for start in range(0, len(numbers), self.size):
                part = numbers[start : start + self.size]
                yield range(part[0], part[-1] + 1)

    def batch(self, numbers: range) -> Batch:
        """The batch that the engine scores; a request takes the place of a chunk."""
        requests = self.requests[numbers.start : numbers.stop]
        ids: NDArray[np.int32] = np.array([request.ids for request in requests], np.int32)
        return Batch(tuple(numbers), ids, requests[0].first)


def _shape(numbered: tuple[int, Request]) -> tuple[int, int]:
    request = numbered[1]
    return request.length, request.first
