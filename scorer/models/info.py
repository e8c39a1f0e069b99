"""What is known of a model that can be scored, read from its folder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.models.architectures import architecture_of, caution
from scorer.models.config import ModelConfig, read_object
from scorer.models.config_geometry.read import max_context, read_geometry, vocab_size
from scorer.models.files import (
    ALLOW_CUSTOM_CODE,
    ModelFiles,
    check_is_model,
    check_tokenizer,
    check_weights,
    scan_folder,
)
from scorer.models.weight_files import bits_of, check_weight_file, quantized_bits
from scorer.spec.geometry import KVGeometry, KVLayer


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
        name: How the model is shown.
        folder: Its folder.
        commit: Commit of the cached snapshot, or None.
        bounds: Real paths that links must not lead out of; empty for a folder of the user's own.
        allow_custom_code: Accept a model that runs Python of its own.
        thorough: Parse every header; a listing looks less closely.

    Raises:
        InputError: It cannot be scored; says why.
    """
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
