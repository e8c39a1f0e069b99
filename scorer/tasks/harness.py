"""The one place that imports lm-evaluation-harness: its tasks, and a model as it sees one.

The harness makes the requests of a task, and turns answers into its metrics. Likelihoods come from
a table that :mod:`scorer.tasks.scoring` has filled, for the reference and every setting alike.

Source: lm-evaluation-harness 0.4.13; its ``HFLM`` says how strings become tokens.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.common.error_text import first_line
from scorer.common.errors import InputError, QfidError
from scorer.tasks.items import TaskItems, items_of
from scorer.tasks.requests import Request, Score
from scorer.tasks.task_files import HARNESS, TaskFile

if TYPE_CHECKING:
    from scorer.text.tokens.tokenizer import TextTokenizer

_ROLLING_WINDOW = 2048
Scores = Callable[[Request], Score]


def harness_version() -> str:
    """The version of the harness."""
    return importlib.metadata.version(HARNESS)


def import_harness(data_cache: Path) -> None:
    """Import it, in a process of our own.

    Args:
        data_cache: Where its library keeps data sets as it reads them.
    """
    # Read when `datasets` is imported.
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    os.environ["HF_DATASETS_CACHE"] = str(data_cache)
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger(HARNESS).setLevel(logging.ERROR)
    import lm_eval.evaluator
    import lm_eval.tasks
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # Templates of a YAML file could otherwise reach any Python object.
    given = lm_eval.utils.env
    sandbox = ImmutableSandboxedEnvironment(
        loader=given.loader,
        undefined=given.undefined,
        keep_trailing_newline=given.keep_trailing_newline,
    )
    sandbox.filters.update(given.filters)
    lm_eval.utils.env = sandbox


class TaskModel:
    """The requests of tasks as tokens of one model.

    Args:
        tokenizer: The model's tokenizer.
        end: Id of the model's end of text, for a model without a first token; None if unknown.
        longest: Tokens that may go through the model; None where it does not say.
    """

    def __init__(self, tokenizer: TextTokenizer, end: int | None, longest: int | None) -> None:
        self.tokenizer = tokenizer
        self._first = tokenizer.bos_token_id
        self._end = end
        self.longest = longest
        self.cut = 0
        self._encoded: dict[tuple[str, ...], tuple[Request, ...]] = {}

    @property
    def prefix(self) -> int:
        """The token before a text that begins with nothing.

        Raises:
            InputError: The model has none.
        """
        found = self._end if self._first is None else self._first
        if found is None:
            raise InputError(
                "a task asks for a text without a context, and the model has neither a first nor "
                "a last token",
                "leave the task out, or pick another model",
            )
        return found

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, with the first token where the model's tokenizer adds one."""
        ids: list[int] = self.tokenizer.encode(text, special_tokens=False).tolist()
        first = self._first
        if first is None or not self.tokenizer.adds_bos or ids[:1] == [first]:
            return ids
        return [first, *ids]

    def requests(self, arguments: tuple[str, ...]) -> tuple[Request, ...]:
        """What one request of the harness asks: a context and a continuation, or a whole text."""
        if arguments not in self._encoded:
            pair = len(arguments) == 2
            made = self._pair(*arguments) if pair else self._rolling(arguments[0])
            self._encoded[arguments] = made
        return self._encoded[arguments]

    def _pair(self, context: str, continuation: str) -> tuple[Request, ...]:
        if not continuation:
            raise InputError("a task has an answer without any text", "leave such items out")
        # Spaces between the two belong to the continuation.
        if bare := context.rstrip():
            before = self.encode(bare)
            ids = self.encode(context + continuation)[len(before) :]
        else:
            before = [self.prefix]
            ids = self.tokenizer.encode(context + continuation, special_tokens=False).tolist()
            if ids[:1] == before:
                ids = ids[1:]
        if not ids:
            raise InputError(
                f"the answer {continuation!r} of a task adds no token to its question",
                "leave such items out",
            )
        return (self._request(before, ids),)

    def _rolling(self, text: str) -> tuple[Request, ...]:
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        windows = get_rolling_token_windows(
            token_list=self.encode(text),
            prefix_token=self.prefix,
            max_seq_len=min(self.longest or _ROLLING_WINDOW, _ROLLING_WINDOW),
            context_len=1,
        )
        return tuple(self._request(*make_disjoint_window(each)) for each in windows)

    def _request(self, before: Sequence[int], ids: Sequence[int]) -> Request:
        most = len(before) + len(ids) if self.longest is None else self.longest
        self.cut += len(before) + len(ids) > most + 1
        return Request.of(before, ids, most)


class Harness:
    """The loaded tasks.

    Args:
        tasks: Their files, checked.
        model: Makes tokens of their requests.
        limit: Items of each task, the first ones; None for all.

    Raises:
        InputError: The harness cannot load a task or its items.
    """

    def __init__(self, tasks: Sequence[TaskFile], model: TaskModel, limit: int | None) -> None:
        from lm_eval.tasks import TaskManager

        self.model = model
        self.limit = limit
        manager = TaskManager(include_defaults=False)
        self._loaded: dict[str, Any] = {}
        for task in tasks:
            with _explained(task.name), _quiet():
                found = manager.load([_config(task)])["tasks"]
            self._loaded |= found
        for task in self._loaded.values():
            # As the harness's own entry point does.
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)

    @property
    def names(self) -> list[str]:
        """Names of the tasks."""
        return list(self._loaded)

    def asked(self) -> list[Request]:
        """Every request of every item, repeated ones too.

        Raises:
            InputError: An item of a task does not fit its templates.
        """
        found: list[Request] = []
        for name, task in self._loaded.items():
            task.set_fewshot_seed(seed=1234)
            with _explained(name), _quiet():
                task.build_all_requests(limit=self.limit, rank=0, world_size=1)
            for instance in task.instances:
                found += self.model.requests(instance.args)
        return found

    def count(self) -> int:
        """Items of all tasks, once :meth:`asked` has been called."""
        return sum(len({each.doc_id for each in t.instances}) for t in self._loaded.values())

    def items(self, scores: Scores) -> list[TaskItems]:
        """The items of every task as one model answers them, with the metrics of the harness.

        Args:
            scores: What the model says to each request.
        """
        from lm_eval.evaluator import evaluate

        for task in self._loaded.values():
            task.set_fewshot_seed(seed=1234)
        with _explained(", ".join(self._loaded)), _quiet():
            results = evaluate(
                _lanes_lm(self.model, scores),
                {"tasks": self._loaded},
                limit=self.limit,
                bootstrap_iters=0,
                log_samples=True,
            )
        return [
            items_of(
                name,
                task.OUTPUT_TYPE,
                results["samples"][name],
                results["results"][name],
                task.doc_to_choice,
            )
            for name, task in self._loaded.items()
        ]


def _lanes_lm(model: TaskModel, scores: Scores) -> Any:
    """A model as the harness sees one, over likelihoods that are known."""
    from lm_eval.api.model import LM

    class LanesLM(LM):  # type: ignore[misc]
        """Answers from the scores of one lane."""

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            """Likelihood of each continuation, nats, and whether it is the most likely one."""
            return [_joined(scores, model.requests(each.args)) for each in requests]

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            """Likelihood of each whole text, nats."""
            return [_joined(scores, model.requests(each.args))[0] for each in requests]

        def generate_until(self, requests: list[Any]) -> list[str]:
            """Refused: nothing is generated."""
            name = getattr(requests[0], "task_name", None) if requests else None
            raise InputError(
                f"task `{name}` generates text; only tasks of likelihoods are scored",
                "leave it out",
            )

    return LanesLM()


def _joined(scores: Scores, requests: Sequence[Request]) -> tuple[float, bool]:
    found = [scores(each) for each in requests]
    return sum(each.loglikelihood for each in found), all(each.greedy for each in found)


def _config(task: TaskFile) -> dict[str, Any]:
    """The task as the harness takes it, its files named by full paths."""
    if task.code() or "class" in task.config:
        from lm_eval.tasks._yaml_loader import load_yaml

        config = dict(load_yaml(task.path, resolve_func=True))
    else:
        config = dict(task.config)
    if (files := task.data_files()) is not None:
        config["dataset_kwargs"] = files
    elif isinstance(path := config.get("dataset_path"), str):
        config["dataset_path"] = str(task.path.parent / path)
    return config


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """What the harness raises about a task, in one line."""
    try:
        yield
    except QfidError:
        raise
    except Exception as error:
        reason = first_line(error, empty=type(error).__name__)
        if isinstance(error, StopIteration):
            reason = "its file holds no item"
        raise InputError(
            f"task `{name}` cannot be read: {reason}",
            "its YAML or its items do not fit lm-evaluation-harness "
            f"{harness_version()}: `doc_to_text`, `doc_to_choice` and `doc_to_target` must suit "
            "every item",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of the harness's progress bars on standard error."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(nowhere),
    ):
        yield
