"""The sets of weights that a run compares with the reference's: found, loaded, let go again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import mlx.core as mx

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import InputError
from scorer.device.backend import Backend
from scorer.engine.model_checks import check_forward
from scorer.fit.dry_run import source_bytes
from scorer.lanes.base import ReferenceLane
from scorer.lanes.continuity import check_continuity
from scorer.lanes.kv.lane import KVLane
from scorer.lanes.kv.plan import PlannedSetting
from scorer.lanes.prefixes import Prefixes
from scorer.lanes.weights.lane import WeightsLane
from scorer.lm.gguf_weights import load_gguf
from scorer.lm.load import LoadedModel, load
from scorer.lm.made_weights import load_made
from scorer.lm.measured_geometry import measured_geometry
from scorer.lm.model_handle import ModelHandle
from scorer.lm.split_model import SplitModel
from scorer.models.custom_code import Consent, hashes
from scorer.models.gguf.file import open_gguf
from scorer.models.gguf.same_model import GGUFWeights, gguf_weights, require_gguf_package
from scorer.models.gguf.tokens import check_tokens
from scorer.models.info import ModelInfo
from scorer.models.model_content import ModelContent
from scorer.models.predicted_precision import predicted_precision
from scorer.models.resolve import resolve_model
from scorer.models.same_model import check_same_model
from scorer.models.sizes import ModelSizes, model_sizes
from scorer.models.weight_files import weight_paths
from scorer.spec.job import Job
from scorer.spec.settings.weights import MadeWeights, StoredWeights, WeightsSource, sources_of


@dataclass(slots=True)
class Opened:
    """A set of weights in memory.

    Attributes:
        model: The loaded model.
        handle: The model as lanes share it.
        prefixes: Full-precision prefixes of its deployments.
    """

    model: LoadedModel
    handle: ModelHandle
    prefixes: Prefixes


@dataclass(slots=True)
class CandidateWeights:
    """One set of weights beside the reference's.

    Attributes:
        source: What was asked for.
        info: The model that holds it: the reference for weights that are made of it, and for those
            of a GGUF file, which take its skeleton.
        sizes: Sizes of that model; of a GGUF file's weights once they are dequantized.
        content: Its files, watched; None for weights made of the reference, whose files are watched
            already.
        cautions: What the reader should know of them, one sentence each.
        gguf: The GGUF file that holds them; None for other weights.
        opened: The weights in memory; None while they are not loaded.
    """

    source: WeightsSource
    info: ModelInfo
    sizes: ModelSizes
    content: ModelContent | None
    cautions: tuple[str, ...] = ()
    gguf: GGUFWeights | None = None
    opened: Opened | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The weights in notation."""
        return self.source.key

    def bytes(self, device: DeviceKind) -> int:
        """About how many bytes of memory the weights take on a device."""
        return source_bytes(self.source, self.sizes, device)

    def weight_files(self) -> list[Path]:
        """The files that hold the weights.

        Raises:
            OSError: A folder cannot be read.
        """
        return weight_paths(self.info.path) if self.gguf is None else [*self.gguf.file.parts]

    def load(self, backend: Backend, arithmetic: str, allow_custom_code: Consent) -> None:
        """Read the weights, and quantize them where they are to be made.

        Raises:
            InputError: They do not load, or mlx-lm cannot quantize them so.
        """
        self.open(self.read(backend, allow_custom_code), arithmetic)

    def read(
        self, backend: Backend, allow_custom_code: Consent, resident: LoadedModel | None = None
    ) -> LoadedModel:
        """Read or make the weights; on a CPU, in any thread.

        Args:
            backend: The device.
            allow_custom_code: Which Python files of the model's own may run.
            resident: The reference in memory, of whose arrays they can be made; None to read its
                files.

        Raises:
            InputError: They do not load, or mlx-lm cannot quantize them so.
        """
        allowed = hashes(self.info.code) if allow_custom_code else False
        if isinstance(self.source, MadeWeights):
            return load_made(
                self.info.path,
                self.source,
                backend,
                allow_custom_code=allowed,
                resident=resident,
            )
        if self.gguf is not None:
            return load_gguf(self.info.path, self.gguf, backend, self.sizes.dtype)
        return load(self.info.path, backend, allow_custom_code=allowed)

    def open(self, model: LoadedModel, arithmetic: str) -> None:
        """Let lanes use weights that :meth:`read` has given.

        Raises:
            InputError: Its files have changed.
        """
        split = SplitModel(model.module, arithmetic)
        handle = ModelHandle(split)
        self.opened = Opened(model, handle, Prefixes(handle))
        if self.content is not None:
            self.content.check_read()

    def check(
        self, probe: mx.array, vocab: int, planned: list[PlannedSetting], tokens: mx.array
    ) -> None:
        """Run the loaded weights on a few tokens.

        Args:
            probe: (1, T) int32, a few tokens.
            vocab: Columns of the reference's logits.
            planned: The settings of the run.
            tokens: (1, T) int32, a whole chunk.

        Raises:
            InputError: They do not run, or give logits of another width.
        """
        opened = self._opened()
        split = opened.handle.split
        columns = check_forward(split, probe, self.info)
        if columns != vocab:
            raise InputError(
                f"`{self.name}` gives {columns} logits and the reference {vocab}",
                "a candidate has the reference's vocabulary",
            )
        measured_geometry(split)
        starts = {row.setting.start for row in planned if row.weights == self.source}
        equal = check_continuity(
            ReferenceLane(opened.handle), tokens, starts, self.info.architecture
        )
        opened.prefixes = Prefixes(opened.handle, equal)

    def lanes(self, planned: list[PlannedSetting]) -> Iterator[KVLane | WeightsLane]:
        """One lane for each of the settings that run these weights and are computed."""
        opened = self._opened()
        for row in computed(planned):
            if row.weights == self.source:
                yield lane_of(row, opened.handle, opened.prefixes)

    def copied(self) -> CandidateWeights:
        """The same weights for another thread, where they are loaded."""
        if self.opened is None:
            return self
        handle = ModelHandle(self.opened.handle.split.copied())
        prefixes = Prefixes(handle, self.opened.prefixes.equal)
        return replace(self, opened=Opened(self.opened.model, handle, prefixes))

    def release(self) -> None:
        """Let the weights go; nothing is computed with them until they are loaded again."""
        opened, self.opened = self.opened, None
        if opened is not None:
            opened.handle.release()

    def close(self) -> None:
        """Hash no more of its files, and let the weights go."""
        self.release()
        if self.content is not None:
            self.content.close()

    def _opened(self) -> Opened:
        assert self.opened is not None, "the weights are not loaded"
        return self.opened


def computed(planned: list[PlannedSetting]) -> list[PlannedSetting]:
    """The rows that are computed, each computation once, in their order.

    A setting can be a row and the control of another row: one lane all the same.
    """
    rows = {row.setting: row for row in planned if row.same_as is None}
    return list(rows.values())


def lane_of(row: PlannedSetting, handle: ModelHandle, prefixes: Prefixes) -> KVLane | WeightsLane:
    """The lane that computes a setting.

    Args:
        row: The setting.
        handle: The model with its weights.
        prefixes: Of that model.
    """
    key = row.setting.key
    if row.cache is None:
        return WeightsLane(handle, key, prefixes)
    return KVLane(handle, row.cache, row.arithmetic, prefixes, key)


def find_candidates(job: Job, reference: ModelInfo, *, threads: int) -> list[CandidateWeights]:
    """Find the weights that a job compares with the reference's, and look at their files.

    Args:
        job: The job.
        reference: Its model.
        threads: Files of one model that are hashed at a time.

    Raises:
        InputError: One of them is not there, cannot be scored, or is not a copy of the reference in
            another precision; or weights cannot be made of the reference.
    """
    found = []
    for source in sources_of(job.settings):
        info, content = reference, None
        cautions: tuple[str, ...] = ()
        if isinstance(source, StoredWeights) and source.is_gguf:
            found.append(_gguf_candidate(source, reference, threads))
            continue
        if isinstance(source, StoredWeights):
            info = _resolved(source)
            content = ModelContent(info.path, threads=threads)
            cautions = check_same_model(reference, info)
        else:
            # Refused before anything is loaded.
            predicted_precision(info, source.bits, source.group_size, source.mode)
        found.append(CandidateWeights(source, info, model_sizes(info), content, cautions))
    return found


def _gguf_candidate(source: StoredWeights, reference: ModelInfo, threads: int) -> CandidateWeights:
    path = Path(source.model)
    file = open_gguf(path)
    gguf = gguf_weights(reference, file)
    check_tokens(reference, file)
    require_gguf_package()
    names = tuple(part.name for part in file.parts)
    content = ModelContent(path.parent, threads=threads, names=names)
    if open_gguf(path) != file:
        content.close()
        raise InputError(
            f"`{source.name}` was changed while it was looked at",
            "score it once the file stays as it is",
        )
    info = replace(reference, name=source.name)
    sizes = gguf.sizes(reference)
    return CandidateWeights(source, info, sizes, content, gguf.cautions, gguf)


def _resolved(source: StoredWeights) -> ModelInfo:
    name = str(Path(source.model)) if source.is_path else source.model
    return resolve_model(name, source.revision, allow_custom_code=True)
