"""What the token inspector shows: the text of a saved run's chunks and what each token cost.

The tokens of all chunks are numbered through, ``chunk · length + place``. The distribution at
position t predicts token t + 1: everything here belongs to the token that was predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qfid_tui.pictures.token_glyphs import (
    MISSING,
    CharacterPart,
    IntArray,
    TokenGlyphs,
    glyphs_of_tokens,
    inert_text,
)
from qfid_tui.state.run_tokens import (
    Batches,
    Spelling,
    completed_ids,
    spelling_of,
    stored_ids,
)
from scorer.common.errors import InputError
from scorer.runs.listing import find_run
from scorer.runs.run import Run
from scorer.spec.settings.registry import parse_setting
from scorer.stats.positions import Positions

FloatArray = NDArray[np.float64]

LEVEL_EDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""KL in nats at which the next level begins: half decades around the verdicts' thresholds."""
UNSCORED = -1
_NOT_SCORED_ROW = -1


@dataclass(frozen=True, slots=True, eq=False)
class SettingTokens:
    """What one setting cost, per token of the text.

    Attributes:
        positions: What was scored, chunk by chunk; None where nothing was.
        row: (T,) int32, row in ``positions`` of each token, -1 where it was not scored.
        level: (T,) int8, 0 to 7 by ``LEVEL_EDGES``, ``UNSCORED`` where it was not scored.
        flipped: (T,) bool, whether the top token changed where the token was predicted.
        ranking: Scored tokens by KL, the largest first, the earlier first of equals.
        sorted_kl: The scored KL, ascending, nats.
    """

    positions: Positions | None
    row: IntArray
    level: NDArray[np.int8]
    flipped: NDArray[np.bool_]
    ranking: IntArray
    sorted_kl: FloatArray

    def looks(self, glyphs: TokenGlyphs) -> IntArray:
        """(n,) int32, for every glyph what its token looks like: ``2 * level + flipped``."""
        return (2 * self.level.astype(np.int32) + self.flipped)[glyphs.token]


@dataclass(frozen=True, slots=True)
class Guess:
    """A token with the probability a model gave it.

    Attributes:
        token: Its id.
        text: Its text, inert; None where the vocabulary cannot be read.
        logprob: Its log-probability, nats.
    """

    token: int
    text: str | None
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenCost:
    """What quantization did to the prediction of one token.

    Attributes:
        kl: KL(reference ‖ quantized) where it was predicted, nats.
        rank: Its place among the setting's scored tokens by KL, 1 for the largest.
        scored: Tokens scored under the setting.
        below: Share of them with a smaller KL, 0 to 1.
        nll_ref: The reference's −log p of the token, nats.
        nll_quant: The quantized model's, nats.
        top_ref: The reference's most likely token here.
        top_quant: The quantized model's.
    """

    kl: float
    rank: int
    scored: int
    below: float
    nll_ref: float
    nll_quant: float
    top_ref: Guess
    top_quant: Guess

    @property
    def flipped(self) -> bool:
        """Whether the top token changed."""
        return self.top_ref.token != self.top_quant.token


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """All that is known of one token under one setting.

    Attributes:
        chunk: Index of its chunk in the text.
        place: Its number in the chunk, from 0; it was predicted at position ``place - 1``.
        token: Its id; ``MISSING`` where it is not known.
        text: Its own text, inert; None where the vocabulary cannot be read.
        parts: The characters it spells only in part.
        cost: What the setting cost here, or None.
        unscored: Why there is no cost, in a few words; else "".
    """

    chunk: int
    place: int
    token: int
    text: str | None
    parts: tuple[CharacterPart, ...]
    cost: TokenCost | None
    unscored: str = ""


@dataclass(slots=True, eq=False)
class TokenView:
    """The text of a run's scored chunks and what its settings cost, token by token.

    Attributes:
        model: The model as the job names it.
        corpus: Name of the text.
        settings: The settings that can be shown.
        chunks: Indices of the chunks in the text, ascending.
        length: Tokens of a chunk.
        ids: (T,) int32, all tokens; ``MISSING`` where unknown.
        glyphs: What is drawn of them.
        notice: What the reader should know, in one line; mostly "".
    """

    model: str
    corpus: str
    settings: tuple[str, ...]
    chunks: list[int]
    length: int
    ids: IntArray
    glyphs: TokenGlyphs
    notice: str
    _spelling: Spelling
    _run: Run
    _batches: Batches
    _costs: dict[str, SettingTokens]

    @property
    def chunk_starts(self) -> NDArray[np.intp]:
        """(c,) the first token of each chunk."""
        return np.arange(len(self.chunks)) * self.length

    def cost(self, setting: str) -> SettingTokens:
        """What a setting cost, per token; computed once."""
        if setting not in self._costs:
            batches = self._batches.get(self._run.stored_as(setting), [])
            self._costs[setting] = setting_tokens(batches, self.chunks, self.length)
        return self._costs[setting]

    def heading(self, setting: str, number: int) -> str:
        """The line above a chunk: what it cost under a setting."""
        cost = self.cost(setting)
        row = cost.row[number * self.length : (number + 1) * self.length]
        own = row[row != _NOT_SCORED_ROW]
        name = f"chunk {self.chunks[number]}"
        if cost.positions is None or not len(own):
            return f"{name} · not scored under {setting}"
        mean = float(cost.positions.kl[own].mean())
        flips = float(cost.positions.flips[own].mean())
        return f"{name} · KL mean {mean:.3g} nats · {flips:.1%} flips".replace("%", " %")

    def first_scored(self, setting: str, chunk: int | None) -> int:
        """The first scored token of a chunk, or of the text; its first one where none is."""
        begin = 0
        if chunk in self.chunks:
            begin = self.chunks.index(chunk) * self.length
        scored = np.flatnonzero(self.cost(setting).row[begin:] != _NOT_SCORED_ROW)
        return begin + int(scored[0]) if len(scored) else begin

    def chunk_beside(self, token: int, step: int) -> int | None:
        """Where the next chunk begins; backwards this one, or from its beginning the one before."""
        number, place = divmod(token, self.length)
        number += 1 if step > 0 else -(place == 0)
        return number * self.length if 0 <= number < len(self.chunks) else None

    def flip_beside(self, setting: str, token: int, step: int) -> int | None:
        """The next flip after a token, or with a negative step the last one before it."""
        flipped = self.cost(setting).flipped
        found = np.flatnonzero(flipped[token + 1 :] if step > 0 else flipped[:token])
        if not len(found):
            return None
        return token + 1 + int(found[0]) if step > 0 else int(found[-1])

    def ranked(self, setting: str, rank: int) -> int | None:
        """The token at a place of the ranking by KL, 0 for the largest."""
        ranking = self.cost(setting).ranking
        return int(ranking[rank]) if 0 <= rank < len(ranking) else None

    def facts(self, setting: str, token: int) -> TokenFacts:
        """What is known of one token under a setting."""
        number, place = divmod(token, self.length)
        cost, own = self.cost(setting), int(self.ids[token])
        parts, text = self.glyphs.parts.get(token, ()), self._text(own)
        row = int(cost.row[token])
        if cost.positions is None or row == _NOT_SCORED_ROW:
            reason = self._unscored(setting, number, place)
            return TokenFacts(self.chunks[number], place, own, text, parts, None, reason)
        p, pending = cost.positions, self._pending(token)
        kl = float(p.kl[row])
        found = TokenCost(
            kl=kl,
            rank=int(np.flatnonzero(cost.ranking == token)[0]) + 1,
            scored=len(cost.sorted_kl),
            below=int(np.searchsorted(cost.sorted_kl, kl)) / len(cost.sorted_kl),
            nll_ref=float(p.nll_ref[row]),
            nll_quant=float(p.nll_quant[row]),
            top_ref=self._guess(p.top_ref[row], p.top_ref_logprob[row], pending),
            top_quant=self._guess(p.top_quant[row], p.top_quant_logprob[row], pending),
        )
        return TokenFacts(self.chunks[number], place, own, text, parts, found)

    def _text(self, token: int, pending: bytes = b"") -> str | None:
        """A token's text; with ``pending``, the character it would complete."""
        data = self._spelling.pieces.get(token, b"")
        if not data:
            return None
        if pending:
            completed = (pending + data).decode("utf-8", "ignore")
            if completed and not data.decode("utf-8", "ignore").startswith(completed[0]):
                return inert_text(completed.encode())
        return inert_text(data)

    def _pending(self, token: int) -> bytes:
        """Bytes before a token that begin a character and do not end it."""
        data = b""
        for i in range(max(0, token - 3), token):
            data += self._spelling.pieces.get(int(self.ids[i]), b"?") or b"?"
        for size in range(min(3, len(data)), 0, -1):
            tail = data[-size:]
            if tail[0] >= 0xC0 and not tail.decode("utf-8", "ignore"):
                return tail
        return b""

    def _guess(self, token: Any, logprob: Any, pending: bytes) -> Guess:
        return Guess(int(token), self._text(int(token), pending), float(logprob))

    def _unscored(self, setting: str, number: int, place: int) -> str:
        row = self.cost(setting).row
        if (row[number * self.length : (number + 1) * self.length] == _NOT_SCORED_ROW).all():
            return f"this chunk is not scored under {setting}"
        if place == 0:
            return "nothing comes before it in its chunk, so it is not predicted"
        start = parse_setting(setting).start
        if place <= start:
            return f"the first {start} tokens run at full precision and are not scored"
        if self._run.job.protocol == "llama.cpp" and place <= self.length // 2:
            return "llama.cpp's protocol scores the second half of a chunk"
        return "it was not scored"


def read_token_view(run: str, settings: Sequence[str] = ()) -> TokenView:
    """Read a saved run and its tokenizer; takes up to seconds, so call it in a thread.

    Args:
        run: Id of the run.
        settings: The settings to show; all of the run where empty.

    Raises:
        InputError: There is no such run, nothing of it is scored yet, or its files do not belong
            together.
        QfidError: A file cannot be read.
    """
    found = find_run(run)
    batches = found.read()
    chunks = sorted(
        {int(positions.chunk[0]) for parts in batches.values() for positions, _ in parts}
    )
    if not chunks:
        raise InputError(f"nothing of run `{found.id}` is scored yet", "score some chunks first")
    length = found.job.chunk_length
    ids = completed_ids(stored_ids(batches, chunks, length), chunks)
    tops = [
        column
        for parts in batches.values()
        for positions, _ in parts
        for column in (positions.top_ref, positions.top_quant)
    ]
    spelling = spelling_of(found, np.unique(np.concatenate([ids.ravel(), *tops])).tolist())
    facts = found.readable_facts.run
    if facts is not None and facts.corpus.bos_policy == "every-chunk":
        # BOS took the place of the text's own token there.
        ids[:, 0] = MISSING if spelling.bos is None else spelling.bos
    joined = np.ones(ids.size, np.bool_)
    joined[::length] = np.diff(chunks, prepend=-2) == 1
    flat = ids.ravel()
    return TokenView(
        model=found.job.model,
        corpus=found.job.corpus.source if facts is None else facts.corpus.name,
        settings=tuple(settings) or tuple(setting.key for setting in found.job.settings),
        chunks=chunks,
        length=length,
        ids=flat,
        glyphs=glyphs_of_tokens(flat, spelling.pieces, joined),
        notice=spelling.notice,
        _spelling=spelling,
        _run=found,
        _batches=batches,
        _costs={},
    )


def setting_tokens(
    batches: Sequence[tuple[Positions, Any]], chunks: list[int], length: int
) -> SettingTokens:
    """What one setting cost, per token of the text.

    Args:
        batches: What was scored under it, chunk by chunk.
        chunks: Indices of the text's chunks, ascending; those of ``batches`` are among them.
        length: Tokens of a chunk.
    """
    total = len(chunks) * length
    row = np.full(total, _NOT_SCORED_ROW, np.int32)
    level = np.full(total, UNSCORED, np.int8)
    flipped = np.zeros(total, np.bool_)
    if not batches:
        return SettingTokens(None, row, level, flipped, np.zeros(0, np.int32), np.zeros(0))
    positions = Positions.concatenate([positions for positions, _ in batches])
    number = np.searchsorted(chunks, positions.chunk)
    tokens = (number * length + positions.position + 1).astype(np.int32)
    row[tokens] = np.arange(len(tokens), dtype=np.int32)
    flipped[tokens] = positions.flips
    level[tokens] = np.searchsorted(LEVEL_EDGES, positions.kl, side="right")
    return SettingTokens(
        positions=positions,
        row=row,
        level=level,
        flipped=flipped,
        ranking=tokens[np.lexsort((tokens, -positions.kl))],
        sorted_kl=np.sort(positions.kl),
    )
