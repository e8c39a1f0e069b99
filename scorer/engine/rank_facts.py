"""What must be equal on all ranks of a run: model, text, versions, arithmetic."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from scorer.device.backend import Backend
from scorer.engine.known_content import CONTENT
from scorer.engine.prepared import Prepared
from scorer.engine.run_facts import identity_of
from scorer.engine.weight_facts import fingerprint
from scorer.runs.identity import Identity

_FILES = "model files"
# Of a rank's own machine, or rank 0's to decide.
_OWN = ("batch",)


def facts_of(prepared: Prepared, backend: Backend, *, hashed: bool) -> dict[str, Any]:
    """What a rank computes with, as JSON values.

    Args:
        prepared: The job.
        backend: The device.
        hashed: Wait for the hashes of the model's files.

    Raises:
        QfidError: The model's files cannot be hashed.
    """
    if hashed:
        prepared.content.hashes()
    return {
        "host": socket.gethostname(),
        "identity": {
            key: value for key, value in identity_of(prepared, backend).items() if key not in _OWN
        },
        "versions": dict(backend.versions),
        "stamps": {
            name: [stamp.inode, stamp.size, stamp.modified]
            for name, stamp in prepared.content.stamps.items()
        },
        "weights": {
            each.source.key: {f"{each.name}: {k}": v for k, v in fingerprint(each).items()}
            for each in prepared.candidates
        },
        "settings": [row.setting.key for row in prepared.planned],
        "arithmetic": [row.arithmetic for row in prepared.planned],
        "size": [prepared.size.batch, prepared.size.tile_bytes],
    }


def difference(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What another rank computes with that rank 0 does not, a part each; empty where all is equal.

    On one machine, files that are the same are not hashed again.

    Args:
        own: Facts of rank 0.
        other: Those of the other.
    """
    mine, theirs = dict(own["identity"]), dict(other["identity"])
    if own["host"] == other["host"] and own["stamps"] == other["stamps"]:
        for identity in (mine, theirs):
            identity.pop(CONTENT, None)
    found = _differing(mine, theirs)
    found += _differing(own["versions"], other["versions"])
    for key, mine_of in own["weights"].items():
        found += _differing(mine_of, other["weights"].get(key, {}))
    if [own["settings"], own["arithmetic"]] != [other["settings"], other["arithmetic"]]:
        found.append("other kernels for the settings")
    return found


def _differing(own: Identity, other: Identity) -> list[str]:
    return [
        f"{key} ({_shown(other.get(key))}, rank 0 has {_shown(own.get(key))})"
        for key in dict.fromkeys((*own, *other))
        if own.get(key) != other.get(key)
    ]


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    return f"`{text}`" if len(text) <= 48 else f"`{text[:47]}…`"
