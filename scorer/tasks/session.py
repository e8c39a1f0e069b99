"""Tasks on one model in this process: load them, score what is missing, report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from scorer.common.errors import InputError, Interrupted, QfidError
from scorer.common.folders import cache_folder
from scorer.device.memory_watch import MemoryWatch
from scorer.models.custom_code import Consent
from scorer.models.resolve import resolve_model
from scorer.spec.events import (
    Event,
    Finished,
    Loading,
    RequestsScored,
    SettingFailedEvent,
    TasksPlanned,
    Warned,
)
from scorer.spec.tasks_job import TasksJob
from scorer.tasks.build import task_parts
from scorer.tasks.formats import items_csv, to_markdown
from scorer.tasks.report import SettingPart, TasksReport
from scorer.tasks.requests import Batches, Request, Score
from scorer.tasks.results import REFERENCE, SCORES_FORM, Kept, Results
from scorer.tasks.task_files import TaskFile, check_installed, check_task, find_tasks

if TYPE_CHECKING:
    from scorer.device.backend import Backend
    from scorer.engine.prepared import Prepared
    from scorer.models.info import ModelInfo
    from scorer.spec.job import Job
    from scorer.tasks.harness import Harness, TaskModel

# Of all requests of a batch.
_PASS_TOKENS = 1024


class TasksSession:
    """Tasks on one model: load them, score what is missing, report.

    Args:
        job: What is asked.
        backend: The device.
        stop: Asked often; True ends it.
        watch: Watches the memory.
        allow_custom_code: Whether Python files of the model and of the tasks may run.
    """

    def __init__(
        self,
        job: TasksJob,
        backend: Backend,
        stop: Callable[[], bool],
        watch: MemoryWatch,
        allow_custom_code: Consent,
    ) -> None:
        self.job = job
        self.backend = backend
        self.asked_to_stop = stop
        self.watch = watch
        self.allow_custom_code = allow_custom_code

    def stop(self) -> bool:
        """Whether to end: it was asked for, or memory ran short."""
        return self.watch.short is not None or self.asked_to_stop()

    def _ended(self) -> QfidError | None:
        if not self.stop():
            return None
        return self.watch.short or Interrupted("stopped before the first request")

    def events(self) -> Iterator[Event]:
        """Everything after Hello.

        Raises:
            QfidError: The tasks cannot be asked, or the run ended early.
        """
        from scorer.tasks.harness import Harness, import_harness

        check_installed()
        files = find_tasks(self.job.tasks)
        for task in files:
            check_task(task, self.allow_custom_code)
        for task in files:
            if code := task.code():
                names = ", ".join(map(str, code))
                yield Warned(f"task `{task.name}` runs code of its own: {names}")
        info = resolve_model(self.job.model, self.job.revision, allow_custom_code=True)
        yield Loading("tasks", ", ".join(task.name for task in files))
        import_harness(cache_folder() / "task-data")
        model = self._task_model(info)
        harness = Harness(files, model, self.job.limit)
        asked = harness.asked()
        if not asked:
            raise InputError("the tasks have no item", "name tasks with items")
        if (error := self._ended()) is not None:
            raise error
        yield from self._score(files, harness, asked, info)

    def _task_model(self, info: ModelInfo) -> TaskModel:
        from scorer.lm.tokenizer import load_tokenizer
        from scorer.models.config import read_object
        from scorer.tasks.harness import TaskModel

        allowed = self.allow_custom_code
        tokenizer = load_tokenizer(info.path, allow_custom_code=allowed)
        config = read_object(info.path / "config.json")
        end = config.get("eos_token_id")
        if isinstance(end, list):
            end = end[0] if end else None
        known = end if type(end) is int and end >= 0 else None
        return TaskModel(tokenizer, known, info.max_context)

    def _score(
        self, files: list[TaskFile], harness: Harness, asked: list[Request], info: ModelInfo
    ) -> Iterator[Event]:
        from scorer.tasks.preparation import TaskPreparation, check_tokens

        unsorted = Batches.of(asked, 1)
        preparation = TaskPreparation(
            unsorted.requests,
            unsorted.sha256,
            harness.model.tokenizer,
            self._scoring_job(max(unsorted.requests).length),
            self.backend,
            None,
            allow_custom_code=self.allow_custom_code,
            ended=self._ended,
        )
        try:
            yield from preparation.steps()
            if (error := self._ended()) is not None:
                raise error
            prepared = preparation.result
            assert prepared is not None
            try:
                if prepared.in_turns:
                    raise InputError(
                        "the weights do not fit into memory beside each other, and tasks load "
                        "them all",
                        "ask for them one after the other",
                    )
                check_tokens(prepared, unsorted.requests)
                batches = Batches(unsorted.requests, prepared.batch)
                yield from self._in_results(files, harness, batches, prepared)
            finally:
                prepared.release()
        finally:
            preparation.close()

    def _scoring_job(self, longest: int) -> Job:
        job = self.job.scoring_job(longest)
        if job.batch is None and self.backend.kind == "cpu":
            # A pass over a short request costs more for each layer than for its tokens. No score
            # depends on it there.
            job = dataclasses.replace(job, batch=max(1, _PASS_TOKENS // longest))
        return job

    def _in_results(
        self, files: list[TaskFile], harness: Harness, batches: Batches, prepared: Prepared
    ) -> Iterator[Event]:
        from scorer.engine.candidates import computed
        from scorer.engine.run_facts import arithmetic_line

        prepared.content.hashes()
        identity = task_identity(prepared, self.backend)
        keys = {
            row.setting.key: stored_key(prepared, row.setting.key)
            for row in computed(prepared.planned)
        }
        total = len(keys) * len(batches.requests)
        with Results(prepared.info.name, identity) as results:
            results.begin(self.job)

            def missing(numbers: range) -> Collection[str]:
                kept = results.scores
                return [
                    key
                    for key, name in keys.items()
                    if not kept.get(name, {}).keys() >= set(numbers)
                    or not kept.get(REFERENCE, {}).keys() >= set(numbers)
                ]

            def done() -> int:
                return sum(len(results.scores.get(name, {})) for name in keys.values())

            yield TasksPlanned(
                results=results.id,
                path=str(results.path),
                model=prepared.info.name,
                tasks=harness.names,
                settings=[row.setting.key for row in prepared.planned],
                items=harness.count(),
                requests=len(batches.requests),
                done=done(),
                total=total,
                arithmetic=arithmetic_line(prepared, self.backend),
            )
            failed: dict[str, QfidError] = {}
            try:
                yield from self._scored(prepared, batches, missing, results, keys, failed, done)
            except Interrupted:
                raise self.watch.short or Interrupted(
                    f"stopped; {done()} of {total} requests are saved", "the same command goes on"
                ) from None
            prepared.content.check_unchanged()
            report, items = self._report(harness, batches, prepared, results, keys, failed)
            results.save(report, to_markdown(report), items)
        yield Finished(report.to_json())

    def _scored(
        self,
        prepared: Prepared,
        batches: Batches,
        missing: Callable[[range], Collection[str]],
        results: Results,
        keys: Mapping[str, str],
        failed: dict[str, QfidError],
        done: Callable[[], int],
    ) -> Iterator[Event]:
        from scorer.tasks.scoring import SettingFault, score_requests

        total = len(keys) * len(batches.requests)
        kind = self.backend.kind
        for outcome in score_requests(prepared, batches, missing, kind, self.stop):
            if isinstance(outcome, SettingFault):
                failed[outcome.setting] = error = outcome.error
                yield SettingFailedEvent(
                    outcome.setting, type(error).__name__, error.message, error.hint
                )
                continue
            results.add(
                keys[outcome.setting],
                outcome.first,
                list(map(_kept, outcome.reference)),
                list(map(_kept, outcome.scores)),
            )
            yield RequestsScored(done(), total)

    def _report(
        self,
        harness: Harness,
        batches: Batches,
        prepared: Prepared,
        results: Results,
        keys: Mapping[str, str],
        failed: Mapping[str, QfidError],
    ) -> tuple[TasksReport, str]:
        from scorer.engine.run_facts import arithmetic_line
        from scorer.tasks.harness import harness_version

        numbers = {request: number for number, request in enumerate(batches.requests)}

        def scores(name: str) -> Callable[[Request], Score]:
            kept = results.scores[name]
            return lambda request: Score(*kept[numbers[request]])

        if len(failed) == len(keys):
            raise next(iter(failed.values()))
        reference = harness.items(scores(REFERENCE))
        scored = {key: name for key, name in keys.items() if key not in failed}
        of_key = {key: harness.items(scores(name)) for key, name in scored.items()}
        rows = [row for row in prepared.planned if row.control_of is None]
        settings = {
            row.setting.key: of_key[row.computed_as.key]
            for row in rows
            if row.computed_as.key in of_key
        }
        parts = []
        warnings = [*prepared.warnings]
        for row in rows:
            error = failed.get(row.computed_as.key)
            quantized = sum(each.length - 1 > row.setting.start for each in batches.requests)
            if row.setting.start and quantized < len(batches.requests):
                warnings.append(
                    f"`{row.setting.key}` keeps the first {row.setting.start} tokens at full "
                    f"precision: it quantizes something in {quantized} of "
                    f"{len(batches.requests)} requests"
                )
            parts.append(
                SettingPart(
                    setting=row.setting.key,
                    quantized_requests=quantized,
                    same_as=None if row.same_as is None else row.same_as.key,
                    error=None if error is None else error.message,
                    hint="" if error is None else error.hint,
                )
            )
        if harness.model.cut:
            warnings.append(
                f"{harness.model.cut} requests are longer than the model's context of "
                f"{harness.model.longest} tokens: their beginning is left out"
            )
        report = TasksReport(
            results=results.id,
            model_id=prepared.info.name,
            model_revision=prepared.info.revision,
            settings=tuple(parts),
            tasks=task_parts(reference, settings),
            requests=len(batches.requests),
            cut_requests=harness.model.cut,
            limit=self.job.limit,
            harness_version=harness_version(),
            versions=dict(self.backend.versions),
            device=f"{self.backend.kind} {self.backend.name}",
            arithmetic=arithmetic_line(prepared, self.backend),
            conditions=dict(results.identity),
            warnings=tuple(warnings),
        )
        return report, items_csv({REFERENCE: reference, **settings})


def _kept(score: Score) -> Kept:
    return score.loglikelihood, score.greedy


def task_identity(prepared: Prepared, backend: Backend) -> dict[str, str | int | None]:
    """Everything that a score depends on but its setting."""
    from scorer.engine.run_facts import identity_of

    found = dict(identity_of(prepared, backend))
    found["requests"] = found.pop("corpus")
    found["form"] = SCORES_FORM
    # Of chunks of a text, and of the longest request.
    for name in ("protocol", "chunk length", "chunks"):
        found.pop(name, None)
    if backend.kind == "cpu":
        # There a score has the same bits whatever is scored beside it.
        found.pop("batch", None)
    return found


def stored_key(prepared: Prepared, key: str) -> str:
    """What a setting's scores are kept under: its notation, and what that resolved to."""
    from scorer.engine.weight_facts import fingerprint
    from scorer.runs.identity import identity_hash

    row = next(each for each in prepared.planned if each.setting.key == key)
    found = dict(row.setting.fingerprint())
    for candidate in prepared.candidates:
        if candidate.source == row.weights:
            found |= fingerprint(candidate)
    return f"{key} {identity_hash(found)[:8]}" if found else key
