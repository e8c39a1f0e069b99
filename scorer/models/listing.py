"""Lists the models of the local cache, with the reason if one cannot be scored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scorer.common.errors import CustomCodeRefused, InputError, ModelNotCached, QfidError
from scorer.models.hub_cache import (
    cached_repos,
    find_snapshot,
    folder_bytes,
    hub_folder,
    is_repo_id,
    link_bounds,
    pull_command,
)
from scorer.models.info import CannotBeBuilt, ModelInfo, describe_model
from scorer.spec.geometry import KVGeometry


@dataclass(frozen=True, slots=True)
class Unscorable:
    """A cached repo that cannot be scored.

    Attributes:
        name: Repo id.
        reason: Why, one line.
        size_bytes: Its bytes in the cache.
        geometry: Its KV cache, where that is known all the same; else None.
        command: The command that fetches what it lacks; "" where no download makes it whole.
    """

    name: str
    reason: str
    size_bytes: int
    geometry: KVGeometry | None = None
    command: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """The models of a cache.

    Attributes:
        scorable: Models that can be scored, most recently used first.
        unscorable: The other repos, sorted by name.
    """

    scorable: list[ModelInfo]
    unscorable: list[Unscorable]


def list_models(hub: Path | None = None) -> Listing:
    """List every model repo of a cache; a damaged repo is listed, not raised.

    Args:
        hub: The cache folder; None for :func:`~scorer.models.hub_cache.hub_folder`.
    """
    found = list(iter_models(hub))
    scorable = [model for model in found if isinstance(model, ModelInfo)]
    unscorable = [repo for repo in found if isinstance(repo, Unscorable)]
    scorable.sort(key=lambda model: (-(model.last_used or 0.0), model.name))
    return Listing(scorable, sorted(unscorable, key=lambda repo: repo.name))


def iter_models(
    hub: Path | None = None, *, with_code: bool = False
) -> Iterator[ModelInfo | Unscorable]:
    """Yield the repos of a cache in the order of its directory.

    Args:
        hub: As of :func:`list_models`.
        with_code: Yield a model that would run code of its own as one that can be scored.
    """
    hub = hub or hub_folder()
    real_hub = os.path.realpath(hub)
    for repo, folder in cached_repos(hub):
        try:
            if not is_repo_id(repo):
                raise InputError("the name of its folder is not a repo id")
            snapshot = find_snapshot(repo, None, hub)
            bounds = link_bounds(repo, hub, real_hub)
            yield describe_model(
                repo,
                snapshot.path,
                snapshot.commit,
                bounds,
                allow_custom_code=with_code,
                thorough=False,
            )
        except QfidError as error:
            geometry = error.geometry if isinstance(error, CannotBeBuilt) else None
            size = folder_bytes(folder / "blobs")
            yield Unscorable(repo, _reason(error), size, geometry, _command(repo, error))
        except Exception as error:
            # A listing shows every repo, whatever its state.
            yield Unscorable(repo, f"unreadable: {type(error).__name__}", 0)


def _command(repo: str, error: QfidError) -> str:
    """The download that makes a repo whole, as :func:`~scorer.models.resolve.resolve_model` says.

    An error without a hint is about files that are damaged or not there.
    """
    if isinstance(error, CustomCodeRefused | CannotBeBuilt) or not is_repo_id(repo):
        return ""
    lacks = isinstance(error, ModelNotCached) or not error.hint
    return pull_command(repo, None) if lacks else ""


def _reason(error: QfidError) -> str:
    custom = isinstance(error, CustomCodeRefused)
    return error.message + (" (needs --allow-custom-code)" if custom else "")
