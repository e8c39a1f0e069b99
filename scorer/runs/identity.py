"""Which runs continue each other: equal identities give numbers that may stand in one table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeGuard

Identity = Mapping[str, str | int | float | bool | None]

MIXED = "mixed"
"""Key of a run's facts: what changed each time it was continued under other conditions."""

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


def identity_differences(a: Identity, b: Identity) -> list[str]:
    """What keeps a run of identity ``b`` from continuing one of identity ``a``.

    Returns:
        One part a difference, ``batch (`4`, now `8`)``, in the order of the keys; empty exactly
        where :func:`identity_hash` is equal.
    """
    return [
        f"{key.replace('_', ' ')} ({_shown(a, key)}, now {_shown(b, key)})"
        for key in dict.fromkeys((*a, *b))
        if key not in a or key not in b or json.dumps(a[key]) != json.dumps(b[key])
    ]


def fingerprint_differences(
    stored: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Settings whose key resolves to something else than it did when they were scored.

    Args:
        stored: Facts of the saved run.
        now: Facts of the run that would continue it.

    Returns:
        Key to what differs, one part a difference as of :func:`identity_differences`; settings
        that only one of the two has are left out.
    """
    before, after = _fingerprints(stored), _fingerprints(now)
    found = {
        key: identity_differences(fingerprint, after[key])
        for key, fingerprint in before.items()
        if key in after
    }
    return {key: differences for key, differences in found.items() if differences}


def _fingerprints(facts: Mapping[str, Any]) -> dict[str, Identity]:
    """Key of each setting to its fingerprint, which most settings have none of."""
    settings = facts.get("settings")
    found: dict[str, Identity] = {}
    for key, own in settings.items() if isinstance(settings, dict) else ():
        fingerprint = own.get("fingerprint") if isinstance(own, dict) else None
        found[key] = fingerprint if is_identity(fingerprint) else {}
    return found


def mixed_conditions(facts: Mapping[str, Any]) -> list[str]:
    """What changed each time the run was continued under other conditions than its own."""
    found = facts.get(MIXED)
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def stored_batch(facts: Mapping[str, Any]) -> int | None:
    """Chunks of a batch of a saved run's grid, from its facts; None where they do not say."""
    identity = facts.get("identity")
    batch = identity.get("batch") if is_identity(identity) else None
    return batch if type(batch) is int and batch > 0 else None


def _shown(identity: Identity, key: str) -> str:
    if key not in identity:
        return "not recorded"
    text = " ".join(str(identity[key]).split())
    return f"`{text}`" if len(text) <= _SHOWN else f"`{text[: _SHOWN - 1]}…`"
