"""Whose the tokens of chunks are, and which chunks hold a token of the roles that count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.common.errors import InputError
from scorer.spec.roles import PLAIN_TEXT_HINT, UNKNOWN
from scorer.text.tokenized import TokenizedSource


def target_roles(
    tokens: TokenizedSource, total: int, chunk_length: int
) -> NDArray[np.uint8] | None:
    """Whose the target of each position is: position t predicts token t + 1.

    Returns:
        (total, chunk_length - 1) indices into the names of the text's roles; None of a text
        without roles.
    """
    if not len(tokens.roles):
        return None
    chunks = tokens.roles[: total * chunk_length].reshape(total, chunk_length)
    return chunks[:, 1:]


def chunks_without(
    tokens: TokenizedSource,
    targets: NDArray[np.uint8] | None,
    roles: tuple[str, ...],
    scored_from: int,
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The chunks that hold no position of the roles that count.

    Args:
        tokens: The text.
        targets: As of :func:`target_roles`.
        roles: The roles that count; empty for all tokens.
        scored_from: First position that the protocol scores.

    Returns:
        Their indices, ascending, and what a reader should know of the roles, one line each.

    Raises:
        InputError: The text has no roles, or none of these.
    """
    cautions = _unknown(targets, tokens.role_names, scored_from)
    if not roles:
        return (), cautions
    if targets is None:
        raise InputError(
            f"`{tokens.name}` is plain text: nobody says who said what of it",
            PLAIN_TEXT_HINT,
        )
    scored = targets[:, scored_from:]
    counts = count_roles(targets, tokens.role_names, scored_from)
    lacking = [role for role in roles if not counts.get(role)]
    if len(lacking) == len(roles):
        there = ", ".join(counts)
        raise InputError(
            f"`{tokens.name}` has no token of the role{'s' * (len(roles) > 1)} "
            + ", ".join(f"`{role}`" for role in roles),
            f"--roles takes the roles that it has: {there}",
        )
    codes = [i for i, name in enumerate(tokens.role_names) if name in roles]
    empty = np.flatnonzero(~np.isin(scored, codes).any(axis=1))
    found = tuple(int(chunk) for chunk in empty)
    if found:
        s = "s" * (len(found) != 1)
        hold = "hold" if s else "holds"
        cautions += (
            f"{len(found)} of {len(targets)} chunks of the text {hold} no token of the roles that "
            f"count ({', '.join(roles)}) and are left out",
        )
    if lacking:
        cautions += (f"the text has no token of the role {', '.join(lacking)}",)
    return found, cautions


def _unknown(
    targets: NDArray[np.uint8] | None, names: tuple[str, ...], scored_from: int
) -> tuple[str, ...]:
    counts = count_roles(targets, names, scored_from)
    if not (unknown := counts.get(UNKNOWN)):
        return ()
    return (
        f"of {unknown} of {sum(counts.values())} positions of the text it cannot be told whose "
        f"they are: their role is `{UNKNOWN}`",
    )


def count_roles(
    targets: NDArray[np.uint8] | None, names: tuple[str, ...], scored_from: int
) -> dict[str, int]:
    """Role to the positions of it, in the order of the names; roles without one are left out.

    Args:
        targets: As of :func:`target_roles`.
        names: Names of roles.
        scored_from: First position that counts.
    """
    if targets is None:
        return {}
    counts = np.bincount(targets[:, scored_from:].ravel(), minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=True) if count}
