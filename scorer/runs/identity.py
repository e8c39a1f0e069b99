"""Which runs continue each other: equal identities give numbers that may stand in one table.

A field may be unknown: an older version did not record it, or this machine cannot tell. Two
identities are compared in the fields that both know (:func:`identity_differences`); the others are
named (:func:`unknown_fields`), kept with the run that goes on, and said in its report. So a version
that records a new field only adds it to the identity: older runs can still be resumed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeGuard

Identity = Mapping[str, str | int | float | bool | None]
"""Field to value. None says that the value is unknown, as does a field that an older run lacks."""

NO_CONDITION = ("chunks",)
"""Fields of earlier versions that are compared no more: chunks can be added to a run."""

_SHOWN = 40


def is_identity(value: Any) -> TypeGuard[Identity]:
    """Whether ``value`` is a flat, non-empty JSON object."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(key, str) for key in value)
        and all(isinstance(v, str | int | float | None) for v in value.values())
    )


def identity_hash(identity: Identity) -> str:
    """SHA-256, hexadecimal, of an identity; the order of its keys does not matter."""
    text = json.dumps(dict(identity), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def identity_differences(stored: Identity, now: Identity) -> list[str]:
    """What keeps a saved run from going on under another identity.

    Args:
        stored: Identity of the saved run.
        now: Identity of the run that would continue it.

    Returns:
        One part a difference, ``batch (`4`, now `8`)``, in the order of the fields. A field that
        is unknown to one of the two is none, see :func:`unknown_fields`. A field that only the
        saved run has is one: a later version recorded it, and this one cannot compare it. The
        list of chunks, which earlier versions recorded, is none.
    """
    return [
        f"{key.replace('_', ' ')} ({_shown(stored, key)}, now {_shown(now, key)})"
        for key in stored
        if stored[key] is not None and key not in NO_CONDITION
        if key not in now or (now[key] is not None and not _equal(stored[key], now[key]))
    ]


def unknown_fields(stored: Identity, now: Identity) -> list[str]:
    """Fields that cannot be compared, because one of two identities does not know them.

    Args:
        stored: Identity of the saved run.
        now: Identity of the run that would continue it.

    Returns:
        Names of the fields of ``now`` that ``stored`` lacks or that are None in one of the two.
    """
    return [key for key in now if stored.get(key) is None or now[key] is None]


def continued_identity(stored: Identity, now: Identity) -> Identity:
    """Identity of a run that goes on: as it is now, and what only the saved run knew."""
    return {key: stored.get(key) if value is None else value for key, value in now.items()}


def fingerprint_differences(
    stored: Mapping[str, Identity], now: Mapping[str, Identity]
) -> dict[str, list[str]]:
    """Settings whose key resolves to something else than it did when they were scored.

    Args:
        stored: Key of each setting of the saved run to its fingerprint.
        now: The same of the run that would continue it.

    Returns:
        Key to what differs, one part a difference as of :func:`identity_differences`; settings
        that only one of the two has are left out, and so are unknown fields.
    """
    found = {
        key: identity_differences(fingerprint, now[key])
        for key, fingerprint in stored.items()
        if key in now
    }
    return {key: differences for key, differences in found.items() if differences}


def unknown_fingerprint_fields(
    stored: Mapping[str, Identity], now: Mapping[str, Identity]
) -> list[str]:
    """The same as :func:`unknown_fields` for the fingerprints of settings: ``content of `4```."""
    return [
        f"{field} of `{key}`"
        for key, fingerprint in stored.items()
        if key in now
        for field in unknown_fields(fingerprint, now[key])
    ]


def stored_batch(identity: Identity) -> int | None:
    """Chunks of a batch of a run's grid; None where its identity does not say."""
    batch = identity.get("batch")
    return batch if type(batch) is int and batch > 0 else None


def _equal(a: object, b: object) -> bool:
    """Whether two values are equal as they are stored: ``True`` is not 1."""
    return json.dumps(a) == json.dumps(b)


def _shown(identity: Identity, key: str) -> str:
    if key not in identity:
        return "not recorded"
    text = " ".join(str(identity[key]).split())
    return f"`{text}`" if len(text) <= _SHOWN else f"`{text[: _SHOWN - 1]}…`"
