"""What the child process does with a model and the cache: it looks for relatives."""

from __future__ import annotations

from typing import Any

from scorer.child.answering import Say, Work


def prepare_relatives() -> Work:
    """Import what comparing tokenizers takes; return the work."""
    import tokenizers  # noqa: F401 (it takes time, and the request is not there yet)

    import scorer.models.relatives  # noqa: F401

    return _relatives


def _relatives(request: dict[str, Any], say: Say) -> tuple[dict[str, Any], bytes]:
    """Find the relatives of a model; see :mod:`scorer.models.relatives_apart`."""
    from scorer.models.relatives import find_relatives
    from scorer.models.relatives_apart import FoundRelative, to_json
    from scorer.models.resolve import resolve_model

    # Files are read and nothing of theirs is run.
    model = resolve_model(request["model"], request["revision"], allow_custom_code=True)
    found = find_relatives(model).relatives
    return to_json([FoundRelative.of(each.model.name, each.precision) for each in found]), b""
