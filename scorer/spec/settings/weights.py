"""Settings of the weights: which quantized copy of the reference runs, and with which KV cache."""

from __future__ import annotations

import dataclasses
import os.path
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from scorer.common.errors import InputError
from scorer.spec.geometry import KVGeometry
from scorer.spec.settings.base import ComputePath, KVMethod, Setting
from scorer.spec.settings.grammar import SettingForm, unknown
from scorer.spec.settings.kv import KVSetting
from scorer.spec.sides import FULL_CACHE, LayerSides
from scorer.spec.thresholds import WEIGHTS, Thresholds
from scorer.spec.weight_format import AFFINE, FIXED, WeightFormat, weight_format

DEFAULT_WEIGHT_GROUP = 64

# What a path in notation may not hold unescaped: it ends a setting or begins a part of one, or
# means something to a shell.
_ESCAPED = re.compile(r"[^\w./=-]")
_MADE = re.compile(r"w(?:(?P<bits>[0-9]+)(?::(?P<group>[0-9]+))?|(?P<mode>[a-z]+[0-9]+))")
_PATH_STARTS = ("/", "./", "../")
GGUF_SUFFIX = ".gguf"
"""The end of the name of a GGUF file, in small letters."""


@dataclass(frozen=True, slots=True)
class MadeWeights:
    """Weights quantized in memory from the reference's, as ``mlx_lm.convert`` would write them.

    Attributes:
        bits: Bits per element.
        group_size: Elements that share a scale.
        mode: ``affine``, ``mxfp4``, ``mxfp8`` or ``nvfp4``.
    """

    bits: int
    group_size: int
    mode: str = AFFINE

    def __post_init__(self) -> None:
        """Refuse what MLX has no format for."""
        try:
            weight_format(self.mode, self.bits, self.group_size)
        except InputError as error:
            raise InputError(f"weights `{self.key}`: {error.message}", error.hint) from None

    @property
    def format(self) -> WeightFormat:
        """The format of a layer."""
        return weight_format(self.mode, self.bits, self.group_size)

    @property
    def key(self) -> str:
        """The weights in notation: ``w4``, ``w4:32``, ``wmxfp4``."""
        if self.mode != AFFINE:
            return f"w{self.mode}"
        group = "" if self.group_size == DEFAULT_WEIGHT_GROUP else f":{self.group_size}"
        return f"w{self.bits}{group}"

    @property
    def name(self) -> str:
        """The short name: that in notation."""
        return self.key


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """Weights of a repo in the local Hugging Face cache, of a folder, or of a GGUF file.

    Attributes:
        model: Repo id, or a path that begins with ``/``, ``./`` or ``../``.
        revision: Commit, branch or tag of the repo; None for the cached default.
    """

    model: str
    revision: str | None = None

    @property
    def is_path(self) -> bool:
        """Whether it is a folder or a file of this machine."""
        return self.model.startswith(_PATH_STARTS)

    @property
    def is_gguf(self) -> bool:
        """Whether it is a GGUF file."""
        return self.is_path and self.model.lower().endswith(GGUF_SUFFIX)

    @property
    def key(self) -> str:
        """The weights in notation: ``w=org/name@1a2b3c``, ``w=./a%2Cb``."""
        if self.is_path:
            return f"w={_ESCAPED.sub(_escape, self.model)}"
        return f"w={self.model}" + (f"@{self.revision}" if self.revision else "")

    @property
    def name(self) -> str:
        """The short name: the last part of the repo id or path."""
        return self.model.rstrip("/").rpartition("/")[2] or self.model


WeightsSource = MadeWeights | StoredWeights


@dataclass(frozen=True, slots=True)
class WeightsSetting(Setting):
    """Quantized weights, alone or with a quantized KV cache on top.

    Attributes:
        source: Where the weights come from.
        cache: How the KV cache is stored; None for full precision.
    """

    kind: ClassVar[str] = "weights"

    source: WeightsSource
    cache: KVSetting | None = None

    @classmethod
    def from_form(
        cls,
        form: SettingForm,
        *,
        group_size: int | None = None,
        start: int = 0,
        path: ComputePath = "deployed",
    ) -> WeightsSetting:
        """Make the setting that is written so; arguments hold for the part about the cache.

        Raises:
            InputError: It names something that this version does not know, or a value that is not
                legal.
        """
        if form.cache or form.recipe:
            raise unknown(form, "cache=" if form.cache else "recipe=")
        cache = None
        if form.sides is not None:
            cache = KVSetting.from_form(form, group_size=group_size, start=start, path=path)
        return cls(_source(form.weights), cache)

    @property
    def weights(self) -> WeightsSource:
        """Where the weights come from."""
        return self.source

    @property
    def key(self) -> str:
        """Canonical notation: ``w4``, ``w4+8``, ``w=org/name+k8v4``."""
        return self.source.key + ("" if self.cache is None else f"+{self.cache.key}")

    @property
    def written(self) -> str:
        """The key; with the cache's group size where the default was asked for."""
        return self.source.key + ("" if self.cache is None else f"+{self.cache.written}")

    @property
    def start(self) -> int:
        """First tokens whose keys and values stay at full precision and which are not scored."""
        return 0 if self.cache is None else self.cache.start

    @property
    def path(self) -> ComputePath:
        """What is computed of the cache."""
        return "deployed" if self.cache is None else self.cache.path

    @property
    def thresholds(self) -> Thresholds:
        """The bounds for quantized weights."""
        return WEIGHTS

    @property
    def kv_method(self) -> KVMethod:
        """That of the cache; ``none`` and 16 bits where it stays at full precision."""
        return KVMethod("none", 16, 0, {}) if self.cache is None else self.cache.kv_method

    @property
    def alone(self) -> WeightsSetting:
        """The weights with a cache at full precision."""
        return WeightsSetting(self.source)

    def sides(self, geometry: KVGeometry) -> list[LayerSides]:
        """How each cache is stored."""
        if self.cache is None:
            return [FULL_CACHE] * len(geometry.layers)
        return self.cache.sides(geometry)

    def check(self, geometry: KVGeometry) -> None:
        """See that the cache can be quantized so.

        Raises:
            InputError: It cannot.
        """
        if self.cache is not None:
            self.cache.check(geometry)

    def resolved(self, geometry: KVGeometry) -> WeightsSetting:
        """With the cache's group size for a model of this geometry."""
        cache = None if self.cache is None else self.cache.resolved(geometry)
        return WeightsSetting(self.source, cache)

    def fitting(self, geometry: KVGeometry) -> WeightsSetting | None:
        """With the nearest cache that can be quantized; None where there is none."""
        if self.cache is None:
            return self
        cache = self.cache.fitting(geometry)
        return None if cache is None else WeightsSetting(self.source, cache)

    def control(self) -> WeightsSetting:
        """The same weights with the cache on the dequantized path."""
        return WeightsSetting(self.source, None if self.cache is None else self.cache.control())


def from_any_folder(setting: Setting) -> Setting:
    """A setting that names the same files in whatever folder it is read.

    Args:
        setting: As it is written in the working directory; one without a relative path of weights
            is returned unchanged, and so is every one where there is no working directory.
    """
    if not isinstance(setting, WeightsSetting):
        return setting
    source = setting.source
    if not isinstance(source, StoredWeights) or not source.model.startswith(("./", "../")):
        return setting
    try:
        # Links stay: a snapshot of the cache is known by its path.
        path = os.path.normpath(Path(source.model).absolute())
    except OSError:
        # Whoever looks for the weights says that they are not there.
        return setting
    return dataclasses.replace(setting, source=StoredWeights(path))


def _escape(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape"))


def _source(text: str) -> WeightsSource:
    """The weights that a part of the notation names: ``w4:32``, ``w=org/name@1a2b3c``."""
    if text.startswith("w="):
        name = text.removeprefix("w=")
        if name.startswith(_PATH_STARTS):
            return StoredWeights(unquote(name, errors="surrogateescape"))
        model, _, revision = name.partition("@")
        return StoredWeights(model, revision or None)
    match = _MADE.fullmatch(text)
    assert match is not None
    if match["mode"] is not None:
        bits, group = FIXED[match["mode"]]
        return MadeWeights(bits, group, match["mode"])
    group_size = DEFAULT_WEIGHT_GROUP if match["group"] is None else int(match["group"])
    return MadeWeights(int(match["bits"]), group_size)


def weights_of(setting: Setting) -> WeightsSource | None:
    """The weights that a setting runs; None for the reference's own."""
    return setting.source if isinstance(setting, WeightsSetting) else None


def cache_of(setting: Setting) -> KVSetting | None:
    """How a setting stores the KV cache; None for full precision."""
    if isinstance(setting, WeightsSetting):
        return setting.cache
    return setting if isinstance(setting, KVSetting) else None


def caches_of(settings: Iterable[Setting]) -> tuple[KVSetting, ...]:
    """How settings store the KV cache, each way once, in their order; full precision left out."""
    found = (cache_of(setting) for setting in settings)
    return tuple(dict.fromkeys(cache for cache in found if cache is not None))


def sources_of(settings: Iterable[Setting]) -> tuple[WeightsSource, ...]:
    """The weights that settings run, each once, in their order; the reference's left out."""
    found = (weights_of(setting) for setting in settings)
    return tuple(dict.fromkeys(source for source in found if source is not None))
