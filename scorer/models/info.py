"""Describes a model that can be scored, from the files in its folder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.models.architectures import architecture_of, caution
from scorer.models.config import ModelConfig, read_object
from scorer.models.config_geometry import (
    guessed_geometry,
    hidden_size,
    max_context,
    query_heads,
    vocab_size,
)
from scorer.models.custom_code import (
    CodeFile,
    hashed_code,
    model_code,
    refusal,
    tokenizer_code,
)
from scorer.models.files import (
    ModelFiles,
    check_is_model,
    check_links,
    check_regular,
    check_tokenizer,
    check_weights,
    scan_folder,
)
from scorer.models.kept_geometry import Measured, NotBuilt, Outcome, folder_key, recall
from scorer.models.lfs_pointers import refuse_small_pointer
from scorer.models.repeated_tensors import check_repeated_tensors
from scorer.models.weight_files import bits_of, check_weight_file, quantized_bits
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.quantizers.known import STOCK


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be scored.

    Attributes:
        name: Repo id, name of a local folder, or ``demo``.
        path: Folder with its files.
        revision: Commit of the cached snapshot, or None for a folder of the user's own.
        architecture: The mlx-lm module that runs it.
        weight_bits: Bits per weight: 32, 16, or the width of its quantization; None if unknown.
        size_bytes: Bytes of its weight files.
        geometry: Its caches of keys and values; an estimate until it is measured.
        max_context: Longest context it was trained for, tokens, or None if not stated.
        vocab_size: Size of its vocabulary, or None if unknown.
        hidden_size: Elements of its hidden state, or None if unknown.
        query_heads: Number of its attention heads, or None if unknown.
        custom_code: The Python file that ``config.json`` names to be run, or None.
        last_used: When its weights were last read or written, unix time, or None if unknown.
        code: Every Python file of its own that scoring it would run, ``custom_code`` first.
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
    hidden_size: int | None
    query_heads: int | None
    custom_code: str | None
    last_used: float | None
    code: tuple[CodeFile, ...] = ()

    @property
    def layers(self) -> int:
        """Number of decoder layers."""
        return self.geometry.total_layers

    @property
    def kv_heads(self) -> int | None:
        """Number of key and value heads of the most common cache, or None if unknown."""
        return None if self._commonest is None else self._commonest.kv_heads

    @property
    def head_dim(self) -> int | None:
        """Elements per key head of the most common cache, or None if unknown."""
        return None if self._commonest is None else self._commonest.k_dim

    @property
    def kv_bytes_per_token_16bit(self) -> float:
        """Bytes of keys and values per token at 16 bit, while no window is full."""
        return self.geometry.bytes_per_token_16bit()

    @property
    def caution(self) -> str | None:
        """A caution to show before scoring it, one line, or None."""
        return caution(self.architecture)

    @property
    def _commonest(self) -> KVLayer | None:
        layers = self.geometry.layers
        return max(dict.fromkeys(layers), key=layers.count, default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the model as JSON values, including the derived figures."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "geometry"
        }
        return values | {
            "path": str(self.path),
            "code": [dataclasses.asdict(file) for file in self.code],
            "geometry": self.geometry.to_json(),
            "layers": self.layers,
            "kv_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "kv_bytes_per_token_16bit": self.kv_bytes_per_token_16bit,
            "legal_groups": list(self.geometry.legal_groups()),
            "caution": self.caution,
        }


def describe_model(
    name: str,
    folder: Path,
    commit: str | None,
    bounds: tuple[str, ...] = (),
    *,
    allow_custom_code: bool = False,
    thorough: bool = True,
) -> ModelInfo:
    """Read a model's folder and check that it can be scored.

    Args:
        name: Name to show.
        folder: Its folder.
        commit: Commit of the cached snapshot, or None.
        bounds: Real paths of the folders that links may lead to; empty for a folder of the user's
            own, whose links may lead anywhere.
        allow_custom_code: Describe a model that would run Python code of its own too. None of it
            is run here.
        thorough: Parse every header; False for a quick check, as in a listing.

    Raises:
        CustomCodeRefused: It would run code of its own; everything else is in order.
        InputError: It cannot be scored; the message says why.
    """
    files = scan_folder(folder, bounds)
    check_regular(files)
    check_is_model(files)
    config = read_object(folder / "config.json")
    custom_code = model_code(config)
    architecture = _architecture(config, custom_code)
    check_weights(files, thorough=thorough)
    tokenizer = tokenizer_code(folder, config, files.sizes)
    if not tokenizer:
        # Code can read a tokenizer from any file.
        check_tokenizer(files)
    check_links(files)
    bits = _weight_bits(config, files, thorough)
    if thorough:
        check_repeated_tensors(folder, files.weights)
        for file, size in files.sizes.items():
            if file.startswith("tokenizer"):
                refuse_small_pointer(folder / file, size)
    named = () if custom_code is None else (custom_code,)
    code = hashed_code(folder, tuple(dict.fromkeys((*named, *tokenizer))))
    if code and not allow_custom_code:
        raise refusal(code, of_model=custom_code is not None)
    if custom_code is not None and custom_code not in files.sizes:
        raise InputError(f"{shown(custom_code)}, which its config.json runs, is missing", "")
    info = ModelInfo(
        name=name,
        path=folder,
        revision=commit,
        architecture=architecture,
        weight_bits=bits,
        size_bytes=sum(files.weights.values()),
        geometry=guessed_geometry(config),
        max_context=max_context(config),
        vocab_size=vocab_size(config),
        hidden_size=hidden_size(config),
        query_heads=query_heads(config),
        custom_code=custom_code,
        last_used=files.last_used,
        code=code,
    )
    return with_kept_geometry(info)


def with_kept_geometry(info: ModelInfo) -> ModelInfo:
    """A model with the geometry that is kept of it; as it is where none is.

    Raises:
        InputError: It cannot be scored, by what was measured.
    """
    outcome = recall(folder_key(info.path, info.custom_code))
    return info if outcome is None else with_geometry(info, outcome)


class CannotBeBuilt(InputError):
    """mlx-lm cannot build a model from its ``config.json``.

    Attributes:
        geometry: Its caches, where the config says enough of them; else None.
    """

    def __init__(self, message: str, hint: str, geometry: KVGeometry | None) -> None:
        super().__init__(message, hint)
        self.geometry = geometry


def with_geometry(info: ModelInfo, outcome: Outcome) -> ModelInfo:
    """A model with its measured geometry, and the sizes that its config does not state.

    Raises:
        InputError: mlx-lm cannot build it, or it keeps no keys and values.
    """
    measured = check_measured(outcome, info.architecture)
    return dataclasses.replace(
        info,
        geometry=measured.geometry,
        vocab_size=info.vocab_size or measured.vocab,
        hidden_size=info.hidden_size or measured.hidden,
        query_heads=info.query_heads or measured.heads,
    )


def check_measured(outcome: Outcome, architecture: str) -> Measured:
    """Refuse a model by what was measured of it.

    Raises:
        InputError: mlx-lm cannot build it, it keeps no keys and values, or MLX's quantizer has
            no groups for them.
    """
    if isinstance(outcome, NotBuilt):
        raise CannotBeBuilt(
            outcome.reason,
            "the model is damaged, or made for another version of mlx-lm",
            outcome.geometry,
        )
    if not outcome.geometry.layers:
        raise InputError(
            f"architecture `{architecture}` keeps no keys and values: there is no KV cache",
            "pick a model with attention layers",
        )
    if not outcome.geometry.quantizable:
        dims = " and ".join(map(str, sorted(outcome.geometry.dims())))
        raise InputError(
            f"its KV cache cannot be quantized: no group size of MLX divides heads of {dims} "
            "elements",
            f"pick a model with heads of a multiple of {STOCK.groups[0]} elements",
        )
    return outcome


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
