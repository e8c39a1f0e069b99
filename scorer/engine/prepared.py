"""A job ready to be scored: its model, text, settings and lanes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scorer.engine.candidates import CandidateWeights, computed, lane_of
from scorer.fit.pass_size import PassSize
from scorer.lanes.base import ReferenceLane
from scorer.lanes.kv.lane import KVLane
from scorer.lanes.kv.plan import PlannedSetting
from scorer.lanes.prefixes import Prefixes
from scorer.lanes.weights.lane import WeightsLane
from scorer.lm.load import LoadedModel
from scorer.lm.model_handle import ModelHandle
from scorer.lm.split_model import SplitModel
from scorer.models.info import ModelInfo
from scorer.models.model_content import ModelContent
from scorer.models.sizes import ModelSizes
from scorer.spec.geometry import KVGeometry
from scorer.spec.job import Job
from scorer.text.chunks import ChunkedCorpus


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job ready to be scored.

    Attributes:
        job: The job, its settings resolved for the model.
        asked: The job as it was written.
        info: The resolved model.
        content: The files that it was read from, watched.
        model: The loaded model.
        handle: The model as lanes share it.
        corpus: The chunks.
        geometry: Of the caches the model really fills.
        planned: Every setting, controls included, in the order of the report.
        batch: Chunks of a cell of the batch grid.
        vocab: Columns of the logits.
        size: How much goes through the model at once, as memory allows; its batch is the grid's
            unless a run is continued with less memory than it began with.
        prefixes: Full-precision prefixes of deployments, shared by the lanes.
        warnings: What a reader must know of the model, for the head of the report.
        sizes: Sizes of the reference.
        candidates: The weights that are compared with the reference's; loaded, unless they take
            turns.
        in_turns: Whether they do: one after the other is loaded, behind the reference.
        sharding: How the model is split over ranks, in words; "" for a whole one.
    """

    job: Job
    asked: Job
    info: ModelInfo
    content: ModelContent
    model: LoadedModel
    handle: ModelHandle
    corpus: ChunkedCorpus
    geometry: KVGeometry
    planned: list[PlannedSetting]
    batch: int
    vocab: int
    size: PassSize
    prefixes: Prefixes
    sizes: ModelSizes
    warnings: tuple[str, ...] = ()
    candidates: tuple[CandidateWeights, ...] = ()
    in_turns: bool = False
    sharding: str = ""

    @property
    def split(self) -> SplitModel:
        """The model's body and tail."""
        return self.handle.split

    def splits(self) -> list[SplitModel]:
        """Body and tail of every model that is loaded, the reference first."""
        opened = [c.opened for c in self.candidates if c.opened is not None]
        return [self.split, *(each.handle.split for each in opened)]

    @property
    def reference(self) -> ReferenceLane:
        """The full-precision lane."""
        return ReferenceLane(self.handle, self.prefixes)

    def lanes(self) -> list[KVLane | WeightsLane]:
        """One lane per computation over weights that are loaded, in the order of the settings."""
        opened = {c.source: c.opened for c in self.candidates if c.opened is not None}
        lanes: list[KVLane | WeightsLane] = []
        for row in computed(self.planned):
            if row.weights is None:
                lanes.append(lane_of(row, self.handle, self.prefixes))
            elif (found := opened.get(row.weights)) is not None:
                lanes.append(lane_of(row, found.handle, found.prefixes))
        return lanes

    def copied(self) -> Prepared:
        """The same for another thread: what a pass changes is its own, the weights are shared."""
        handle = ModelHandle(self.split.copied())
        return replace(
            self,
            handle=handle,
            prefixes=Prefixes(handle, self.prefixes.equal),
            candidates=tuple(candidate.copied() for candidate in self.candidates),
        )

    def release(self) -> None:
        """Let all weights go."""
        self.handle.release()
        for candidate in self.candidates:
            candidate.release()
