"""Makes the engine ready for the requests of tasks, which take the place of a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scorer.common.bounded_process import Asked, nobody
from scorer.common.errors import InputError, WillNotFit
from scorer.engine.preparation import Preparation
from scorer.engine.prepared import Prepared
from scorer.engine.text_process import TextProcess
from scorer.fit.pass_size import PassSize
from scorer.models.info import ModelInfo
from scorer.models.sizes import ModelSizes
from scorer.spec.events import Event
from scorer.tasks.requests import Request
from scorer.text.chunks import ChunkedCorpus
from scorer.text.tokenized import TokenizedSource
from scorer.text.tokens.tokenizer import TextTokenizer


class NoText(TextProcess):
    """Stands in for the process that reads a text: the tokens are there.

    Args:
        tokens: The tokens.
    """

    def __init__(self, tokens: TokenizedSource) -> None:
        self._tokens = tokens

    def tokens(self, asked: Asked = nobody) -> TokenizedSource:
        """The tokens."""
        return self._tokens

    def wait(self, seconds: float | None, asked: Asked = nobody) -> bool:
        """Return True: nothing is waited for."""
        return True

    def __enter__(self) -> NoText:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class TaskPreparation(Preparation):
    """Prepares a model for requests instead of chunks of a text.

    Its first sequence is that on which the model is tried out, the longest request.
    """

    def __init__(
        self,
        requests: tuple[Request, ...],
        sha256: str,
        tokenizer: TextTokenizer,
        *args: Any,
        **options: Any,
    ) -> None:
        """Begin nothing yet.

        Args:
            requests: The requests, at least one.
            sha256: Of all of them.
            tokenizer: What made their tokens.
            args: As of :class:`~scorer.engine.preparation.Preparation`.
            options: Likewise.
        """
        tokens = TokenizedSource(
            name="tasks",
            split=None,
            revision=None,
            sha256=sha256,
            chat=False,
            titles=(),
            # Also a full-precision prefix that is longer than any request is tried out.
            ids=np.array(max(requests).ids, np.int32),
            document_starts=np.zeros(0, np.int64),
            added_bos=None,
            tokenizer_sha256=tokenizer.sha256,
            tokenizer_versions=dict(tokenizer.versions),
        )
        super().__init__(*args, text=NoText(tokens), **options)

    def _begin_text(self, text: TextProcess, info: ModelInfo) -> Iterator[Event]:
        yield from ()

    def _fitting(self, info: ModelInfo, sizes: ModelSizes, wanted: PassSize) -> PassSize:
        try:
            return super()._fitting(info, sizes, wanted)
        except WillNotFit as error:
            # Requests cannot be made shorter, as chunks can.
            hint = "take a smaller model, or free memory; --force tries all the same"
            raise WillNotFit(error.message.replace("chunks", "requests"), hint) from None

    def _corpus(self, tokens: TokenizedSource, info: ModelInfo, batch: int = 1) -> ChunkedCorpus:
        length = self.job.chunk_length
        ids = np.resize(tokens.ids, (1, length))
        return ChunkedCorpus(
            ids=ids,
            indices=(0,),
            total=1,
            documents=(None,),
            titles=(),
            n_documents=0,
            n_tokens=ids.size,
            bos_policy="none",
            name=tokens.name,
            split=None,
            sha256=tokens.sha256,
            revision=None,
            tokenizer_id=info.name,
            tokenizer_sha256=tokens.tokenizer_sha256,
            tokenizer_versions=tokens.tokenizer_versions,
            protocol="mqf",
            chunk_length=length,
            scored_from=0,
            unigram_perplexity=1.0,
        )


def check_tokens(prepared: Prepared, requests: tuple[Request, ...]) -> None:
    """Check that the model knows every token of the requests.

    Raises:
        InputError: It does not.
    """
    # MLX does not check bounds: a missing row would read other memory.
    rows = min(prepared.model.vocab_rows or prepared.vocab, prepared.vocab)
    highest = max(max(request.ids) for request in requests)
    lowest = min(min(request.ids) for request in requests)
    if lowest < 0 or highest >= rows:
        raise InputError(
            f"the tokenizer gives the token id `{lowest if lowest < 0 else highest}`, and the "
            f"model has {rows} tokens",
            "tokenizer and model do not belong together; fetch the model again",
        )
