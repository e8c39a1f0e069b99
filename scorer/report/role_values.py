"""How far a setting drifts on what each role said, as values. Pure standard library."""

from __future__ import annotations

from dataclasses import dataclass

from scorer.stats.intervals import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleDrift:
    """The drift on the tokens of one role of a chat text.

    A position has the role of the token that it predicts.

    Attributes:
        role: ``assistant``, ``tool_call``, ``user``, ``system``, ``tool`` or as the text names it;
            ``template`` for what the chat template writes of its own, ``unknown`` where it cannot
            be told whose a token is.
        counted: Whether its positions count in all other numbers of the row; those of roles that
            were not asked for do not.
        n_positions: Its positions on the chunks of the row.
        n_chunks: How many of the chunks hold some of them.
        kl_mean: Mean KL, nats.
        kl_p99: 99th percentile of KL, nats.
        flip_rate: Share of positions whose top token changed, 0 to 1.
        perplexity_ref: Perplexity of the reference on them.
        perplexity_quant: Perplexity with the setting.
        kl_mean_interval: 95 % interval of ``kl_mean``, nats; None where there is none.
        note: Why there is none; else "".
    """

    role: str
    counted: bool
    n_positions: int
    n_chunks: int
    kl_mean: float
    kl_p99: float
    flip_rate: float
    perplexity_ref: float
    perplexity_quant: float
    kl_mean_interval: Interval | None = None
    note: str = ""
