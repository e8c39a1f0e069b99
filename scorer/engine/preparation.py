"""Everything between a job and its first chunk: model, text, lanes, all checked."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import mlx.core as mx

from scorer.common.bounded_process import Asked, nobody
from scorer.common.errors import CustomCodeRefused, WillNotFit
from scorer.common.inert_text import shown
from scorer.device.backend import Backend
from scorer.device.cpu_arithmetic import MLX
from scorer.device.host_memory import memory_for_run, shared_memory
from scorer.device.memory import device_memory, memory_in_use
from scorer.device.slow_products import slow_products
from scorer.device.threads import worker_count
from scorer.engine import text_process
from scorer.engine.candidates import CandidateWeights, find_candidates
from scorer.engine.kernels import compiling
from scorer.engine.loading_candidates import load_candidates
from scorer.engine.model_checks import (
    beyond_context,
    check_forward,
    check_settings,
    check_tokens,
    check_turns,
    measured,
    query_heads,
)
from scorer.engine.model_warnings import model_warnings
from scorer.engine.prepared import Prepared
from scorer.engine.text_at_hand import text_at_hand
from scorer.fit.fitting import fitting
from scorer.fit.memory_need import layers_bytes
from scorer.fit.pass_size import PassSize, default_batch
from scorer.lanes.base import ReferenceLane
from scorer.lanes.continuity import check_continuity
from scorer.lanes.kv.attention_check import check_attention
from scorer.lanes.kv.plan import plan_settings
from scorer.lanes.prefixes import Prefixes
from scorer.lm.cpu.linear import has_stacked_matrices
from scorer.lm.load import LoadedModel, load
from scorer.lm.measured_geometry import measured_geometry
from scorer.lm.model_handle import ModelHandle
from scorer.lm.sharding import Sharding
from scorer.lm.split_model import SplitModel
from scorer.lm.tokenizer import comparison_key, is_compared
from scorer.models.custom_code import Consent, check_consent, described, hashes
from scorer.models.info import ModelInfo
from scorer.models.model_content import ModelContent
from scorer.models.resolve import resolve_model
from scorer.models.sizes import ModelSizes, model_sizes
from scorer.runs.chunk_plan import NEW, ChunkPlan, whole_batch
from scorer.spec.events import Event, Loading, Warned
from scorer.spec.job import STANDARD_INPUT, Job
from scorer.text.chunks import ChunkedCorpus, cut_corpus
from scorer.text.tokenized import TokenizedSource

# Seconds that the process of the text is given before the model is loaded beside it.
_TEXT_FIRST_SECONDS = 0.25
# Files of a model, where the processor has little else to do.
_HASHED_AT_A_TIME = 4


class Preparation:
    """Prepares a job step by step, saying what it does; ``result`` holds the outcome."""

    def __init__(
        self,
        job: Job,
        backend: Backend,
        cache_dir: Path | None,
        *,
        grid: int | None = None,
        chunks: ChunkPlan = NEW,
        allow_custom_code: Consent = False,
        check: Callable[[ModelInfo, ModelContent], None] | None = None,
        text_file: Path | None = None,
        text: text_process.TextProcess | None = None,
        ended: Asked = nobody,
        loaded: Callable[[text_process.TextProcess], None] | None = None,
        before_passes: Callable[[], None] | None = None,
        beside: int = 1,
        sharding: Sharding | None = None,
    ) -> None:
        """Begin nothing yet.

        Args:
            job: The job.
            backend: The device.
            cache_dir: Where tokens of a text are kept, or None.
            grid: Chunks of a cell of the run that is continued; None for a new run.
            chunks: Which chunks of the text are scored.
            allow_custom_code: Which Python files of the model's own may run.
            check: Called before any code of the model's own runs; raises where it may not be scored
                after all, as where a run that is continued had other files.
            text_file: Holds the text that came from standard input; None where none did.
            text: Reads the text, started already; None to start it.
            ended: Ends the wait for the text.
            loaded: Called with the reader of the text once that is read and the model loaded.
            before_passes: Called once the model is loaded, before its first pass.
            sharding: How the model is split over ranks; None for a whole one.
            beside: Processes that share the memory of this machine for the run, this one included.
        """
        self.job = self.asked = job
        self.backend = backend
        self.cache_dir = cache_dir
        self.grid = grid
        self.chunks = chunks
        self.allow_custom_code = allow_custom_code
        self.check = check
        self.content: ModelContent | None = None
        self.text_file = text_file
        self.candidates: tuple[CandidateWeights, ...] = ()
        self.in_turns = False
        self.text = text
        self.ended = ended
        self.loaded = loaded
        self.before_passes = before_passes
        self.beside = beside
        self.sharding = sharding
        self.result: Prepared | None = None

    def steps(self) -> Iterator[Event]:
        """Run the preparation.

        Yields:
            Loading before each step; Warned for what the user should know.

        Raises:
            InputError: The job cannot be scored as it is; what and why in one or two lines.
            WillNotFit: It takes more memory than there is.
        """
        job = self.job
        info = resolve_model(job.model, job.revision, allow_custom_code=True)
        threads = 1 if self.backend.kind == "cpu" else _HASHED_AT_A_TIME
        content = self.content = ModelContent(info.path, threads=threads)
        if beyond := beyond_context(job, info):
            yield Warned(*beyond)
        if info.code:
            # After every other check; what is loaded below runs these files as they are now.
            if self.check is not None:
                self.check(info, content)
            self._check_code(info)
            named = ", ".join(shown(file.name) for file in info.code)
            yield Warned(f"`{info.name}` runs code of its own: {named}", described(info.code))
        if info.caution is not None:
            yield Warned(f"`{info.name}` is a `{info.architecture}`: {info.caution}")
        info = measured(info)
        job = self.job = job.resolved(info.geometry)
        self.candidates = tuple(find_candidates(job, info, threads=threads))
        for candidate in self.candidates:
            if candidate.info is not info:
                self._check_code(candidate.info)
            for caution in candidate.cautions:
                yield Warned(caution)
        check_settings(job, info.geometry)
        if self.sharding is not None:
            self.sharding.check(info)
        with self.text or text_process.TextProcess() as text:
            yield from self._begin_text(text, info)
            job = self.job
            # A text that cannot be scored is refused before a model is loaded.
            soon = text.wait(_TEXT_FIRST_SECONDS, self.ended)
            tokens = text.tokens(self.ended) if soon else None
            if tokens is not None:
                self._corpus(tokens, info)
            sizes = model_sizes(info)
            part = sizes if self.sharding is None else self.sharding.sizes(sizes)
            size = yield from self._size(info, part)
            with compiling(job, self.backend, info, sizes, self.candidates) as processes:
                model = yield from self._model(info)
                if not self.in_turns:
                    yield from load_candidates(
                        self.candidates,
                        self.backend,
                        self._arithmetic,
                        self.allow_custom_code,
                        model,
                    )
                batch = whole_batch(self.backend.kind, self.grid or size.batch)
                corpus = self._corpus(tokens or text.tokens(self.ended), info, batch)
                yield from self._counted(corpus, batch)
                job = self.job
                if self.loaded is not None:
                    self.loaded(text)
                content.check_read()
                for warning in corpus.warnings:
                    yield Warned(warning)
                for state in processes.awaited():
                    yield Loading("kernels", state.described())
        if model.vocab_rows is not None:
            check_tokens(corpus, model.vocab_rows, "embedding has {} rows")
        if self.before_passes is not None:
            self.before_passes()
        yield Loading("checking", "body and tail, cache geometry, arithmetic of each setting")
        split = SplitModel(model.module, self._arithmetic)
        probe = mx.array(corpus.ids[:1, :4])
        if model.vocab_rows is None:
            # Until the logits tell how many tokens there are, only the first is sure to be one.
            probe = mx.zeros_like(probe)
        vocab = check_forward(split, probe, info)
        check_tokens(corpus, vocab, "output layer has {} tokens")
        geometry = measured_geometry(split)
        if self.sharding is not None:
            # Of the whole model, not of this rank's heads.
            geometry = info.geometry
        about_model = model_warnings(info, model, geometry, job.chunk_length)
        for line in about_model:
            yield Warned(line)
        check_settings(job, geometry)
        handle = ModelHandle(split)
        planned = plan_settings(job, handle, self.backend.kind, geometry)
        whole = mx.array(corpus.ids[:1, :-1])
        starts = {setting.start for setting in job.settings}
        equal = check_continuity(ReferenceLane(handle), whole, starts, info.architecture)
        if self.in_turns:
            check_turns(split, job)
        for candidate in () if self.in_turns else self.candidates:
            candidate.check(probe, vocab, planned, whole)
        if self.backend.kind != "cpu":
            for row in planned:
                if row.cache is not None:
                    check_attention(
                        row.cache,
                        row.arithmetic,
                        geometry,
                        query_heads(model),
                        job.chunk_length,
                        model.dtype,
                    )
        self.result = Prepared(
            job,
            self.asked,
            info,
            content,
            model,
            handle,
            corpus,
            geometry,
            planned,
            self.grid or size.batch,
            vocab,
            size,
            Prefixes(handle, equal),
            sizes,
            (*beyond[:1], *about_model),
            self.candidates,
            self.in_turns,
            "" if self.sharding is None else self.sharding.described(),
        )

    def close(self) -> None:
        """Hash no more of the models' files, and let the candidates' weights go."""
        if self.content is not None:
            self.content.close()
        for candidate in self.candidates:
            candidate.close()

    def _check_code(self, info: ModelInfo) -> None:
        """Check that the Python files that the model would run may run as they are.

        Raises:
            CustomCodeRefused: They may not.
            InputError: One of them is not there.
        """
        try:
            check_consent(info.code, self.allow_custom_code, of_model=info.custom_code is not None)
        except CustomCodeRefused as error:
            message = f"`{self.job.model}`: {error.message}"
            raise CustomCodeRefused(message, error.hint, error.files) from None

    def _begin_text(self, text: text_process.TextProcess, info: ModelInfo) -> Iterator[Event]:
        """Let the text be read, once it is there."""
        self.job = yield from text_at_hand(self.job)
        self.asked = dataclasses.replace(self.asked, corpus=self.job.corpus)
        source = self.job.corpus.source
        key = comparison_key(info.path)
        named = "standard input" if source == STANDARD_INPUT else source
        if not is_compared(info.path, key):
            named += "; its tokens compared with mlx-lm's, once a model"
        yield Loading("tokenizing", named)
        text.begin(
            self.job,
            info,
            key=key,
            consent=hashes(info.code),
            text_file=self.text_file,
            cache_dir=self.cache_dir,
        )

    def _corpus(self, tokens: TokenizedSource, info: ModelInfo, batch: int = 1) -> ChunkedCorpus:
        """The chunks; so many that batches are whole, where numbers depend on them."""
        job = self.job
        return cut_corpus(
            tokens,
            protocol=job.protocol,
            chunk_length=job.chunk_length,
            chunks=job.chunks,
            max_chunks=job.max_chunks,
            stored=self.chunks.kept,
            grows=self.chunks.grows,
            batch=batch,
            vocab_rows=info.vocab_size,
            tokenizer_id=info.name,
            roles=job.roles,
            first=max(setting.start for setting in job.settings),
        )

    def _counted(self, corpus: ChunkedCorpus, batch: int) -> Iterator[Event]:
        """Note in the job how many chunks there are, where they are more than were asked for."""
        asked, n = self.job.max_chunks, len(corpus.indices)
        if asked is None or n <= asked:
            return
        self.job = dataclasses.replace(self.job, max_chunks=n)
        self.asked = dataclasses.replace(self.asked, max_chunks=n)
        if self.chunks.grows:
            yield Warned(
                f"{asked} chunks are rounded up to {n}: {batch} go through the model together, and "
                "chunks can be added to whole batches only",
            )

    def _size(self, info: ModelInfo, sizes: ModelSizes) -> Generator[Event, None, PassSize]:
        """How much goes through the model at once.

        Raises:
            WillNotFit: Nothing fits.
        """
        job = self.job
        wanted = PassSize(
            self.grid or job.batch or default_batch(self.backend.kind, job.chunk_length),
            # Threads would not keep the order in which ranks of a split model meet.
            workers=1 if self.sharding else worker_count(self.backend.kind),
        )
        size = self._fitting(info, sizes, wanted)
        if size.batch < wanted.batch and (self.grid or job.batch):
            yield Warned(
                f"memory does not allow {wanted.batch} chunks at a time; scored {size.described()}",
                "on this device the figures are the same"
                if self.backend.kind == "cpu"
                else "figures of runs of another batch differ by rounding",
            )
        return size

    def _model(self, info: ModelInfo) -> Generator[Event, None, LoadedModel]:
        """The model, loaded.

        Raises:
            InputError: It does not load.
        """
        yield Loading("model", info.name)
        for unusable in self.backend.unusable_blas:
            yield Warned(*unusable.described())
        model = load(
            info.path,
            self.backend,
            allow_custom_code=hashes(info.code),
            split=None if self.sharding is None else self.sharding.apply,
        )
        in_mlx = self._arithmetic == MLX or has_stacked_matrices(model.module)
        if in_mlx and (slow := slow_products(self.backend)) is not None:
            yield Warned(*slow)
        return model

    @property
    def _arithmetic(self) -> str:
        """What computes the model: ``numpy`` or ``mlx``."""
        # Asked for mlx-lm's own kernel, every bit is to be mlx-lm's.
        return MLX if self.job.kernel == "mlx-lm" else self.backend.arithmetic

    def _fitting(self, info: ModelInfo, sizes: ModelSizes, wanted: PassSize) -> PassSize:
        """The largest size that fits; decides whether the candidates take turns."""
        memory = shared_memory(device_memory(self.backend.kind), self.backend.kind, self.beside)
        sets = [candidate.bytes(self.backend.kind) for candidate in self.candidates]

        def fits(beside: int) -> PassSize:
            return fitting(
                sizes,
                self.job,
                self.backend.kind,
                memory_for_run(memory) if self.backend.kind == "cpu" else memory,
                name=info.name,
                wanted=wanted,
                in_use=memory_in_use(),
                shorten=self.grid is None,
                beside=beside,
            )

        if not sets:
            return fits(0)
        if not self.job.one_at_a_time:
            with contextlib.suppress(WillNotFit):
                return fits(sum(sets))
        self.in_turns = True
        # Behind the reference's tail; its layers are gone by then.
        return fits(max(0, max(sets) - layers_bytes(sizes, self.backend.kind)))
