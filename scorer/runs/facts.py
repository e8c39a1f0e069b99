"""What a report needs beside the per-position scalars, stored with every run.

Pure standard library. With the positions, these facts give the same report again, byte for byte.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from scorer.common.errors import InputError, QfidError
from scorer.common.inert_text import shown
from scorer.spec.job import Job
from scorer.spec.settings.base import Setting

CORPUS_KEYS = (
    "name",
    "split",
    "tokenizer_id",
    "chunk_length",
    "stride",
    "bos_policy",
    "final_chunk_policy",
    "normalization",
    "n_tokens",
    "dataset_revision",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Facts of a run, the same for all its settings.

    Attributes:
        job: What was asked.
        model_id: Repo id, name of the folder, or ``demo``.
        model_revision: Commit of the repo; None for a folder.
        model_files: File name to SHA-256 or to size in bytes.
        architecture: ``model_type`` of the config.
        weight_bits: Bits per weight of the reference as stored (16 where unquantized); None
            where unknown.
        corpus: Provenance: mlx-quant-fidelity's keys (``CORPUS_KEYS``; ``n_tokens`` may be that
            of the whole text), ``sha256`` of the UTF-8 text, ``unigram_perplexity``,
            ``n_documents``, ``total_chunks``, ``protocol``.
        documents: Planned chunk to the document of its first token, None where unknown.
        chunks: Indices of the planned chunks, in scoring order.
        chunk_length: Tokens of a chunk.
        scored_from: First position of a chunk the protocol scores; a setting's ``start`` may
            raise it. The last is ``chunk_length - 2``.
        device: ``kind`` (metal, cuda, cpu), ``name``, ``memory`` in bytes.
        arithmetic: ``compute_dtype``, ``blas``, ``description``.
        versions: Package name to version: qfid, mlx, mlx-lm, numpy, python.
        batch: Chunks per forward pass.
        kv_bytes_per_token: Setting in notation to stored bytes per token at the 16-bit
            deployment dtype.
        kv_bytes_per_token_16bit: The same without quantization.
        kv_layers: Layers that hold K and V.
        max_context: Tokens the model was made for; None where the config does not say.
        kv_bytes_context: Context in tokens the bytes per token hold for, where sliding windows
            make them depend on it; None where they do not.
        warnings: What the reader should know about the whole run.
    """

    job: Job
    model_id: str
    model_revision: str | None
    model_files: dict[str, str | int]
    architecture: str
    weight_bits: float | None
    corpus: dict[str, Any]
    documents: dict[int, int | None]
    chunks: tuple[int, ...]
    chunk_length: int
    scored_from: int
    device: dict[str, Any]
    arithmetic: dict[str, str]
    versions: dict[str, str]
    batch: int
    kv_bytes_per_token: dict[str, float]
    kv_bytes_per_token_16bit: float
    kv_layers: int
    max_context: int | None = None
    kv_bytes_context: int | None = None
    warnings: tuple[str, ...] = ()

    def first_position(self, setting: Setting) -> int:
        """First scored position of a chunk under a setting."""
        return setting.first_position(self.scored_from)

    def positions_per_chunk(self, setting: Setting) -> int:
        """Scored positions of a chunk under a setting."""
        return self.chunk_length - 1 - self.first_position(setting)

    def to_json(self) -> dict[str, Any]:
        """The facts as JSON values."""
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data["job"] = self.job.to_json()
        data["documents"] = {str(chunk): doc for chunk, doc in self.documents.items()}
        data["chunks"] = list(self.chunks)
        data["warnings"] = list(self.warnings)
        return data

    @classmethod
    def from_json(cls, data: Any) -> RunFacts:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: A key is missing, unknown or of the wrong type.
        """
        return _read(cls, data, "run", _RUN_VALUES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingFacts:
    """Facts of one setting of a run.

    Attributes:
        arithmetic: What computed it, in words.
        kv_method: Name of the setting's :class:`~scorer.spec.settings.base.KVMethod`.
        kv_layers_quantized: Layers whose cache quantized.
        kv_layers_total: Layers that hold a cache.
        kv_layers_skipped: Cache class of the layers kept at full precision to their number.
        engagement: Per layer and side: ``layer``, ``side``, ``class``, ``bits``, ``group_size``,
            ``tokens``, ``stored_bytes``.
        measured_kv_bytes_per_token: Bytes of the stored arrays trimmed to the tokens held, per
            token; None where the path stores no codes.
        same_as: Notation of the setting whose arithmetic is the same on this device, or None.
        runnable_by_mlx_lm: mlx-lm generates with this setting and model.
        seconds: Time spent on this setting.
        peak_memory_bytes: Peak memory while it was scored; 0 where not measured.
        noise_floor: Standard deviation of the KL mean over perturbed repeats, nats; None where
            none ran.
        warnings: What the reader should know about this setting.
        failure: ``error``, ``message``, ``hint`` where it was given up, else None.
        fingerprint: What the setting's key resolved to, see
            :meth:`scorer.spec.settings.base.Setting.fingerprint`; not written where it is empty.
    """

    arithmetic: str = ""
    kv_method: str = "stock"
    kv_layers_quantized: int = 0
    kv_layers_total: int = 0
    kv_layers_skipped: dict[str, int] = field(default_factory=dict)
    engagement: tuple[dict[str, Any], ...] = ()
    measured_kv_bytes_per_token: float | None = None
    same_as: str | None = None
    runnable_by_mlx_lm: bool = False
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    noise_floor: float | None = None
    warnings: tuple[str, ...] = ()
    failure: dict[str, str] | None = None
    fingerprint: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The facts as JSON values."""
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data["engagement"] = list(self.engagement)
        data["warnings"] = list(self.warnings)
        if not self.fingerprint:
            del data["fingerprint"]
        return data

    @classmethod
    def from_json(cls, data: Any) -> SettingFacts:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: A key is missing, unknown or of the wrong type.
        """
        return _read(cls, data, "setting", _SETTING_VALUES)


_Facts = TypeVar("_Facts", RunFacts, SettingFacts)


def _strings(data: Any) -> tuple[str, ...]:
    if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
        raise TypeError("no list of strings")
    return tuple(data)


def _objects(data: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise TypeError("no list of objects")
    return tuple(data)


def _texts(data: Any) -> dict[str, str]:
    if not isinstance(data, dict) or not all(isinstance(v, str) for v in data.values()):
        raise TypeError("no object of strings")
    return data


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("no whole number")
    return value


def _chunk_documents(data: Any) -> dict[int, int | None]:
    return {int(k): None if v is None else _whole(v) for k, v in data.items()}


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError("no number")
    return value  # type: ignore[no-any-return]


def _plain(*kinds: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError("another type")
        return value

    return read


_TEXT = _plain(str)
_OBJECT = _plain(dict)
_MAYBE_WHOLE = _plain(int, type(None))

_RUN_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "job": Job.from_json,
    "model_id": _TEXT,
    "model_revision": _plain(str, type(None)),
    "model_files": _OBJECT,
    "architecture": _TEXT,
    "weight_bits": _plain(int, float, type(None)),
    "corpus": _OBJECT,
    "documents": _chunk_documents,
    "chunks": lambda data: tuple(_whole(chunk) for chunk in data),
    "chunk_length": _whole,
    "scored_from": _whole,
    "device": _OBJECT,
    "arithmetic": _OBJECT,
    "versions": _OBJECT,
    "batch": _whole,
    "kv_bytes_per_token": lambda data: {k: _number(v) for k, v in data.items()},
    "kv_bytes_per_token_16bit": _number,
    "kv_layers": _whole,
    "max_context": _MAYBE_WHOLE,
    "kv_bytes_context": _MAYBE_WHOLE,
    "warnings": _strings,
}
_SETTING_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "arithmetic": _TEXT,
    "kv_method": _TEXT,
    "kv_layers_quantized": _whole,
    "kv_layers_total": _whole,
    "kv_layers_skipped": lambda data: {k: _whole(v) for k, v in data.items()},
    "engagement": _objects,
    "measured_kv_bytes_per_token": _plain(int, float, type(None)),
    "same_as": _plain(str, type(None)),
    "runnable_by_mlx_lm": _plain(bool),
    "seconds": _number,
    "peak_memory_bytes": _whole,
    "noise_floor": _plain(int, float, type(None)),
    "warnings": _strings,
    "failure": _plain(dict, type(None)),
    "fingerprint": _texts,
}


def _read(
    cls: type[_Facts], data: Any, what: str, values: Mapping[str, Callable[[Any], Any]]
) -> _Facts:
    if not isinstance(data, dict):
        raise InputError(f"the facts of a {what} must be a JSON object")
    if unknown := sorted(str(key) for key in data if key not in values):
        raise InputError(f"the facts of a {what} have no key {shown(unknown[0])}")
    found: dict[str, Any] = {}
    for key, value in data.items():
        try:
            found[key] = values[key](value)
        except QfidError:
            raise
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"`{key}` in the facts of a {what} has the wrong type") from error
    try:
        return cls(**found)
    except TypeError as error:
        raise InputError(f"the facts of a {what} lack a key", str(error)) from error
