"""What the token inspector shows: the text of a saved run's chunks and what each token cost.

The tokens of all chunks are numbered through, ``chunk · length + place``. The distribution at
position t predicts token t + 1: everything here belongs to the token that was predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    drawable,
    spelling_of,
    stored_ids,
)
from qfid_tui.state.setting_tokens import SettingTokens, setting_tokens
from qfid_tui.state.text_search import TextSearch
from qfid_tui.state.token_roles import TextRoles, text_roles
from scorer.common.errors import InputError
from scorer.models.measuring import never
from scorer.runs.listing import find_run
from scorer.runs.run import Run
from scorer.spec.settings.registry import parse_setting


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
        settings: All settings of the view in its order, with what each cost here, or None.
        unscored: Why the setting has no cost here, in a few words; else "".
        role: Who said it, in a chat text; "" where that is not known.
    """

    chunk: int
    place: int
    token: int
    text: str | None
    parts: tuple[CharacterPart, ...]
    cost: TokenCost | None
    settings: tuple[tuple[str, TokenCost | None], ...]
    unscored: str = ""
    role: str = ""


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
        roles: Whose each token is; None of a text without roles.
        counted: The roles whose tokens count, with commas between; "" for all tokens.
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
    roles: TextRoles | None = None
    counted: str = ""
    _search: TextSearch | None = None

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
        positions = self.cost(setting).chunk(number)
        name = f"chunk {self.chunks[number]}"
        if positions is None:
            return f"{name} · not scored under {setting}"
        mean, flips = float(positions.kl.mean()), float(positions.flips.mean())
        return f"{name} · KL mean {mean:.3g} nats · {flips:.1%} flips".replace("%", " %")

    def first_scored(self, setting: str, chunk: int | None) -> int:
        """The first scored token of a chunk, or of the text; its first one where none is."""
        begin = 0
        if chunk in self.chunks:
            begin = self.chunks.index(chunk) * self.length
        scored = np.flatnonzero(self.cost(setting).scored[begin:])
        return begin + int(scored[0]) if len(scored) else begin

    def chunk_beside(self, token: int, step: int) -> int | None:
        """Where the next chunk begins; backwards this one, or from its beginning the one before."""
        number, place = divmod(token, self.length)
        number += 1 if step > 0 else -(place == 0)
        return number * self.length if 0 <= number < len(self.chunks) else None

    def flip_beside(self, setting: str, token: int, step: int) -> int | None:
        """The next flip after a token, or with a negative step the last one before it."""
        return _beside(np.flatnonzero(self.cost(setting).flipped), token, step)

    def rivals(self, setting: str) -> tuple[str, ...]:
        """The other settings, without those that show the same stored numbers."""
        own = self._run.stored_as(setting)
        return tuple(name for name in self.settings if self._run.stored_as(name) != own)

    def own_flip_beside(
        self, setting: str, others: Sequence[str], token: int, step: int
    ) -> int | None:
        """The next token that flips under a setting and under none of some others.

        Tokens that none of the others has scored do not count.

        Args:
            setting: The setting whose flips are walked through.
            others: The settings that must not flip there.
            token: Where the walk begins.
            step: 1 for the first one after ``token``, -1 for the last one before it.
        """
        costs = [self.cost(other) for other in others]
        scored, flipped = np.zeros((2, len(self.ids)), np.bool_)
        for cost in costs:
            scored |= cost.scored
            flipped |= cost.flipped
        own = self.cost(setting).flipped & scored & ~flipped
        return _beside(np.flatnonzero(own), token, step)

    def matches(self, words: str) -> tuple[int, ...]:
        """The tokens in which the matches of a search in the text begin, ascending."""
        if self._search is None:
            gaps = np.flatnonzero(np.diff(self.chunks) != 1) + 1
            self._search = TextSearch(self.glyphs, (gaps * self.length).tolist())
        return self._search.find(words)

    def ranked(self, setting: str, rank: int) -> int | None:
        """The token at a place of the ranking by KL, 0 for the largest."""
        ranking = self.cost(setting).ranking
        return int(ranking[rank]) if 0 <= rank < len(ranking) else None

    def facts(self, setting: str, token: int) -> TokenFacts:
        """What is known of one token under a setting."""
        number, place = divmod(token, self.length)
        own, pending = int(self.ids[token]), self._pending(token)
        names = dict.fromkeys((*self.settings, setting))
        costs = {name: self._cost_at(name, token, pending) for name in names}
        cost = costs[setting]
        return TokenFacts(
            chunk=self.chunks[number],
            place=place,
            token=own,
            text=self._text(own),
            parts=self.glyphs.parts.get(token, ()),
            cost=cost,
            settings=tuple(costs.items()),
            unscored="" if cost is not None else self._unscored(setting, number, place),
            role="" if self.roles is None else self.roles.of(token),
        )

    def _cost_at(self, setting: str, token: int, pending: bytes) -> TokenCost | None:
        cost = self.cost(setting)
        found = cost.position(token)
        if found is None:
            return None
        p, row = found
        kl = float(p.kl[row])
        return TokenCost(
            kl=kl,
            rank=cost.rank(token, kl),
            scored=len(cost.sorted_kl),
            below=int(np.searchsorted(cost.sorted_kl, kl)) / len(cost.sorted_kl),
            nll_ref=float(p.nll_ref[row]),
            nll_quant=float(p.nll_quant[row]),
            top_ref=self._guess(p.top_ref[row], p.top_ref_logprob[row], pending),
            top_quant=self._guess(p.top_quant[row], p.top_quant_logprob[row], pending),
        )

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
        scored = self.cost(setting).scored[number * self.length : (number + 1) * self.length]
        if scored[place]:
            return "the run's positions cannot be read any more"
        role = "" if self.roles is None else self.roles.of(number * self.length + place)
        if role and self._run.job.roles and role not in self._run.job.roles:
            return f"{role} does not count"
        if not scored.any():
            return f"this chunk is not scored under {setting}"
        if place == 0:
            return "nothing comes before it in its chunk, so it is not predicted"
        start = parse_setting(setting).start
        if place <= start:
            return f"the first {start} tokens run at full precision and are not scored"
        if self._run.job.protocol == "llama.cpp" and place <= self.length // 2:
            return "llama.cpp's protocol scores the second half of a chunk"
        return "it was not scored"


def _beside(tokens: NDArray[np.intp], token: int, step: int) -> int | None:
    """The first of ascending tokens after one, or with a negative step the last before it."""
    if step > 0:
        after = int(np.searchsorted(tokens, token, "right"))
        return int(tokens[after]) if after < len(tokens) else None
    before = int(np.searchsorted(tokens, token, "left"))
    return int(tokens[before - 1]) if before else None


def read_token_view(
    run: str, settings: Sequence[str] = (), stop: Callable[[], bool] = never
) -> TokenView:
    """Read a saved run and its tokenizer; takes up to seconds, so call it in a thread.

    Args:
        run: Id of the run.
        settings: The settings to show; all of the run where empty.
        stop: As of :func:`~qfid_tui.state.run_tokens.spelling_of`.

    Raises:
        InputError: There is no such run, nothing of it is scored yet, or its files do not belong
            together.
        QfidError: A file cannot be read.
    """
    found = find_run(run)
    batches = found.read()
    chunks = sorted({chunk for stored in batches.values() for chunk in stored.chunks})
    if not chunks:
        raise InputError(f"nothing of run `{found.id}` is scored yet", "score some chunks first")
    length = found.job.chunk_length
    # Roles that do not count are text all the same.
    whole = {setting: stored.of_all_roles() for setting, stored in batches.items()}
    ids = completed_ids(stored_ids(whole, chunks, length), chunks)
    used = {*np.unique(ids).tolist()}
    for stored in batches.values():
        for positions in stored.positions():
            used.update(positions.top_ref.tolist(), positions.top_quant.tolist())
    spelling = drawable(spelling_of(found, sorted(used), stop), ids)
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
        roles=text_roles(whole.values(), chunks, length),
        counted=",".join(found.job.roles),
    )
