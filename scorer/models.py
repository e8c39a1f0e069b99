"""Which models are in the local cache, what they are, and why one cannot be scored.

No mlx import and no weights read: ``config.json`` and the headers of the weight files say it all.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.architectures import architecture_of, caution
from scorer.errors import InputError, ModelNotCached, QfidError
from scorer.geometry import KVGeometry, KVLayer
from scorer.hub import (
    cached_repos,
    find_snapshot,
    folder_bytes,
    hub_folder,
    is_repo_id,
    link_bounds,
    pull_command,
    repo_folder,
    snapshot_repo,
)
from scorer.model_config import ModelConfig, read_object, shown
from scorer.model_files import (
    ALLOW_CUSTOM_CODE,
    ModelFiles,
    check_is_model,
    check_tokenizer,
    check_weights,
    scan_folder,
)
from scorer.model_geometry import max_context, read_geometry, vocab_size
from scorer.weight_files import bits_of, check_weight_file, quantized_bits

DEMO = "demo"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be scored.

    Attributes:
        name: Repo id, name of a local folder, or ``demo``.
        path: Folder with its files.
        revision: Commit of the cached snapshot, or None for a folder of the user's own.
        architecture: mlx-lm's module that runs it.
        weight_bits: Bits per weight: 32, 16, or the width it is quantized to; None if unknown.
        size_bytes: Bytes of its weight files.
        geometry: The caches of keys and values that it fills.
        max_context: Longest context it was made for, tokens, or None where it does not say.
        vocab_size: Entries of its vocabulary, or None where it does not say.
        custom_code: The Python file that ``config.json`` wants run, or None.
        last_used: When its weights were last read or written, unix time, or None if unknown.
    """

    name: str
    path: Path
    revision: str | None
    architecture: str
    weight_bits: float | None
    size_bytes: int
    geometry: KVGeometry
    max_context: int | None
    vocab_size: int | None
    custom_code: str | None
    last_used: float | None

    @property
    def layers(self) -> int:
        """Decoder layers."""
        return self.geometry.total_layers

    @property
    def kv_heads(self) -> int:
        """Key and value heads of the commonest cache."""
        return self._commonest.kv_heads

    @property
    def head_dim(self) -> int:
        """Elements of a key head of the commonest cache."""
        return self._commonest.k_dim

    @property
    def kv_bytes_per_token_16bit(self) -> float:
        """Bytes of keys and values per token at 16 bit, before any window is full."""
        return self.geometry.bytes_per_token_16bit()

    @property
    def caution(self) -> str | None:
        """What to know before scoring it, one line, or None."""
        return caution(self.architecture)

    @property
    def _commonest(self) -> KVLayer:
        layers = self.geometry.layers
        return max(dict.fromkeys(layers), key=layers.count)

    def to_json(self) -> dict[str, Any]:
        """The model as JSON values, its derived figures included."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "geometry"
        }
        return values | {
            "path": str(self.path),
            "geometry": self.geometry.to_json(),
            "layers": self.layers,
            "kv_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "kv_bytes_per_token_16bit": self.kv_bytes_per_token_16bit,
            "legal_groups": list(self.geometry.legal_groups()),
            "caution": self.caution,
        }


@dataclass(frozen=True, slots=True)
class Unscorable:
    """A cached repo that cannot be scored.

    Attributes:
        name: Repo id.
        reason: Why, one line.
        size_bytes: Bytes it takes in the cache.
    """

    name: str
    reason: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The models of a cache.

    Attributes:
        scorable: Models that can be scored, the last used first.
        unscorable: The other repos, by name.
    """

    scorable: list[ModelInfo]
    unscorable: list[Unscorable]


def resolve_model(
    model: str, revision: str | None = None, *, allow_custom_code: bool = False
) -> ModelInfo:
    """Find a model on this machine and check that it can be scored.

    Args:
        model: Repo id in the local cache, path of a folder, or ``demo``. An existing folder with
            a ``config.json`` wins over a repo of the same name, as in mlx-lm.
        revision: Branch, tag, full or short commit of a repo; None for the cached default.
        allow_custom_code: Accept a model that runs Python of its own.

    Raises:
        ModelNotCached: The repo or the revision is not in the cache, or only in part; the hint is
            the command that downloads it.
        InputError: It cannot be scored: no model, damaged, incomplete, not a text model, of an
            architecture that mlx-lm lacks, or with code of its own that was not allowed.
    """
    if model == DEMO:
        _refuse_revision(revision, "the built-in model")
        from scorer.demo import demo_model_path

        return _describe(DEMO, demo_model_path(), None)
    folder = _local_folder(model)
    if folder is not None:
        _refuse_revision(revision, "a local folder")
        name, commit = snapshot_repo(folder.resolve()) or (folder.resolve().name, None)
        try:
            return _describe(name, folder, commit, allow_custom_code=allow_custom_code)
        except InputError as error:
            hint = error.hint or "copy or download the folder again"
            raise InputError(f"`{model}`: {error.message}", hint) from None
    return _resolve_repo(model, revision, allow_custom_code)


def _refuse_revision(revision: str | None, what: str) -> None:
    if revision is not None:
        raise InputError(f"{what} has no revision `{revision[:60]}`", "leave out --revision")


def _local_folder(model: str) -> Path | None:
    """The folder that ``model`` names, or None where it names a repo.

    Raises:
        InputError: It is written as a path and is no folder, or it is no valid repo id either.
    """
    if not model.strip() or "\0" in model:
        raise InputError("no model was named", "give org/name, a folder, or `demo`")
    path = Path(model)
    written_as_path = model.startswith((".", "/", "~")) or path.is_absolute()
    try:
        path = path.expanduser()
        is_folder, exists = path.is_dir(), path.exists()
        has_config = is_folder and (path / "config.json").exists()
    except (OSError, RuntimeError):
        is_folder = exists = has_config = False
    if has_config or (is_folder and (written_as_path or not is_repo_id(model))):
        return path
    if exists and not is_folder:
        raise InputError(f"`{model}` is a file, not a model", "give the folder that holds it")
    if written_as_path:
        raise InputError(f"there is no folder `{model}`", "give org/name, a folder, or `demo`")
    if not is_repo_id(model):
        raise InputError(
            f"{shown(model)} is neither a folder nor a repo id", "write a repo as org/name"
        )
    return None


def _resolve_repo(repo: str, revision: str | None, allow_custom_code: bool) -> ModelInfo:
    hub = hub_folder()
    try:
        snapshot = find_snapshot(repo, revision, hub)
    except ModelNotCached as error:
        similar = None if repo_folder(repo, hub).is_dir() else _similar(repo, hub)
        if similar is None:
            raise
        raise ModelNotCached(
            f"{error.message}; `{similar}` is", error.hint, repo, revision
        ) from None
    try:
        return _describe(
            repo,
            snapshot.path,
            snapshot.commit,
            link_bounds(repo, hub),
            allow_custom_code=allow_custom_code,
        )
    except InputError as error:
        message = f"`{repo}`: {error.message}"
        if error.hint:
            raise InputError(message, error.hint) from None
        # No hint of its own: the files are damaged or incomplete, and fetching them again helps.
        raise ModelNotCached(message, pull_command(repo, revision), repo, revision) from None


def _similar(repo: str, hub: Path) -> str | None:
    cached = {name.lower(): name for name, _ in cached_repos(hub)}
    wanted = repo.lower()
    for lower, name in cached.items():
        if lower.rpartition("/")[2] == wanted.rpartition("/")[2]:
            return name
    close = difflib.get_close_matches(wanted, cached, n=1, cutoff=0.85)
    return cached[close[0]] if close else None


def list_models(hub: Path | None = None) -> Listing:
    """List every model repo of a cache; never raises for a damaged one.

    Args:
        hub: The cache folder; None for the one the environment names.
    """
    found = list(iter_models(hub))
    scorable = [model for model in found if isinstance(model, ModelInfo)]
    unscorable = [repo for repo in found if isinstance(repo, Unscorable)]
    scorable.sort(key=lambda model: (-(model.last_used or 0.0), model.name))
    return Listing(scorable, sorted(unscorable, key=lambda repo: repo.name))


def iter_models(hub: Path | None = None) -> Iterator[ModelInfo | Unscorable]:
    """Yield the repos of a cache as they are read, in the order of its folder."""
    hub = hub or hub_folder()
    real_hub = os.path.realpath(hub)
    for repo, folder in cached_repos(hub):
        try:
            if not is_repo_id(repo):
                raise InputError("the name of its folder is no repo's")
            snapshot = find_snapshot(repo, None, hub)
            bounds = link_bounds(repo, hub, real_hub)
            yield _describe(repo, snapshot.path, snapshot.commit, bounds, thorough=False)
        except QfidError as error:
            yield Unscorable(repo, _reason(error), folder_bytes(folder / "blobs"))
        except Exception as error:
            # A listing shows what is there, whatever state it is in.
            yield Unscorable(repo, f"unreadable: {type(error).__name__}", 0)


def _reason(error: QfidError) -> str:
    custom = error.hint == ALLOW_CUSTOM_CODE
    return error.message + (" (needs --allow-custom-code)" if custom else "")


def _describe(
    name: str,
    folder: Path,
    commit: str | None,
    bounds: tuple[str, ...] = (),
    *,
    allow_custom_code: bool = False,
    thorough: bool = True,
) -> ModelInfo:
    files = scan_folder(folder, bounds)
    check_is_model(files)
    config = read_object(folder / "config.json")
    custom_code = _custom_code(config, files, allow_custom_code)
    architecture = _architecture(config, custom_code)
    check_weights(files, thorough=thorough)
    check_tokenizer(files, allow_custom_code=allow_custom_code)
    geometry = read_geometry(config, architecture)
    if custom_code is not None:
        geometry = dataclasses.replace(geometry, exact=False)
    if not geometry.layers:
        raise InputError(
            f"architecture `{architecture}` keeps no keys and values: there is no KV cache",
            "pick a model with attention layers",
        )
    bits = _weight_bits(config, files, thorough)
    return ModelInfo(
        name=name,
        path=folder,
        revision=commit,
        architecture=architecture,
        weight_bits=bits,
        size_bytes=sum(files.weights.values()),
        geometry=geometry,
        max_context=max_context(config, architecture),
        vocab_size=vocab_size(config, architecture),
        custom_code=custom_code,
        last_used=files.last_used,
    )


def _custom_code(config: dict[str, Any], files: ModelFiles, allow_custom_code: bool) -> str | None:
    name = ModelConfig(config).text("model_file")
    if name is None:
        return None
    if not name.endswith(".py") or Path(name).name != name:
        raise InputError(
            f"config.json: `model_file` is {shown(name)}, not a Python file of the folder",
            "do not run this model's code",
        )
    if not allow_custom_code:
        raise InputError(f"it runs code of its own: {shown(name)}", ALLOW_CUSTOM_CODE)
    if name not in files.sizes:
        raise InputError(f"{shown(name)}, which its config.json runs, is missing", "")
    return name


def _architecture(config: dict[str, Any], custom_code: str | None) -> str:
    if custom_code is None:
        return architecture_of(config)
    return ModelConfig(config).text("model_type") or "custom"


def _weight_bits(config: dict[str, Any], files: ModelFiles, thorough: bool) -> float | None:
    bits: float | None = None
    for name, size in sorted(files.weights.items()):
        dtypes = check_weight_file(files.folder / name, size, thorough=thorough)
        bits = bits if bits is not None else bits_of(dtypes)
    stated = quantized_bits(config)
    return stated if stated is not None else bits
