"""What is to be scored: a Job.

Pure standard library: the app and ``qfid --help`` import this module.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal, get_args

from scorer.common.errors import InputError
from scorer.common.json_reader import JsonReader
from scorer.common.json_values import OMITTED, OMITTED_IF_NONE, converted, json_values
from scorer.spec.amounts import whole_number
from scorer.spec.corpora import NAMED
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.geometry import KVGeometry
from scorer.spec.roles import PLAIN_TEXT_HINT, checked_roles
from scorer.spec.settings.base import Setting
from scorer.spec.settings.grammar import NOTATION_HINT
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import WeightsSetting
from scorer.spec.thresholds import WEIGHTS, Thresholds

TextProtocol = Literal["mqf", "llama.cpp"]
ChunkChoice = str
"""``first``, ``spread`` or ``random:SEED``: the order of the chunks of a text."""
RANDOM = "random:"
"""Begins the choice of a random order; its seed follows."""
SETTLED_ORDER = f"{RANDOM}1"
"""The order of a run that stops once it is settled, where nobody says."""
Kernel = Literal["auto", "mlx-lm"]
FEWEST_REPEATS = 4
"""Perturbed repeats below which a standard deviation says next to nothing: with 2 its 95 % interval
reaches to 32 times the value, with 4 to 3.7 times."""

_DIGEST_LENGTH = 32
_NO_CONDITIONS = (
    *("settings", "force", "one_at_a_time", "deployment", "drop_beaten", "until_settled"),
)
_SEED_DIGITS = 9


def default_chunks(
    protocol: str, max_chunks: int | None, *, until_settled: bool = False
) -> ChunkChoice:
    """Which chunks are scored where nobody says: spread over the text where not all are asked for.

    The first chunks of a text may be one article. Under llama.cpp's protocol they are what
    ``llama-perplexity`` takes. A run that stops once it is settled takes them in a random order.
    """
    if until_settled:
        return SETTLED_ORDER
    return "first" if max_chunks is None or protocol == "llama.cpp" else "spread"


def order_seed(chunks: ChunkChoice) -> int | None:
    """The seed of a random order of chunks; None for another order.

    Raises:
        InputError: The order is none.
    """
    if chunks in ("first", "spread"):
        return None
    # A program can give a number.
    text = str(chunks)
    seed = text.removeprefix(RANDOM)
    if text == seed or not (seed.isascii() and seed.isdecimal() and len(seed) <= _SEED_DIGITS):
        raise InputError(
            f"`{chunks}` is not a choice of chunks",
            f"one of: first, spread, {RANDOM}SEED with a number of up to {_SEED_DIGITS} digits",
        )
    return int(seed)


STANDARD_INPUT = "-"
"""The corpus that is read from standard input."""


@dataclass(frozen=True, slots=True)
class CorpusSpec:
    """Which text is scored.

    Attributes:
        source: A name of :data:`scorer.spec.corpora.NAMED`, the path of a file, a data set of the
            Hub (see :mod:`scorer.spec.corpora`), or :data:`STANDARD_INPUT`, whose text is kept with
            the run.
    """

    source: str = "wikitext2"


def _read_settings(data: Any) -> tuple[Setting, ...]:
    if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
        raise InputError("a job's `settings` must be a list of settings in notation")
    return tuple(map(parse_setting, data))


def _notations(settings: tuple[Setting, ...]) -> list[str]:
    return [setting.written for setting in settings]


def _read_corpus(data: Any) -> CorpusSpec:
    if not isinstance(data, str):
        raise InputError("a job's `corpus` must be a name or a path")
    return CorpusSpec(data)


_FLAGS = ("control", "force", "one_at_a_time", "drop_beaten", "until_settled")
_COUNTS = {
    "chunk_length": "give an int",
    "max_chunks": "give an int, or None for all",
    "noise_floor": "give an int",
    "batch": "give an int, or None for as many as memory allows",
}


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that decides a run's numbers, stored with every run.

    Attributes:
        model: Repo id in the local Hugging Face cache, path of a folder, or ``demo``.
        settings: The settings, in the order of the report's rows.
        corpus: Which text.
        revision: Commit, branch or tag of the repo; None for the cached default.
        protocol: ``mqf`` or ``llama.cpp``: which positions of which windows are scored.
        chunk_length: Tokens per chunk; ``chunk_length - 1`` positions are predicted.
        chunks: ``first``, ``spread`` or ``random:SEED``: the order of the chunks, of which
            ``max_chunks`` are taken; see :func:`default_chunks`.
        max_chunks: How many chunks; None for the whole corpus.
        kernel: ``auto`` or ``mlx-lm`` (mlx-lm's own cache class and attention function).
        control: Score the dequantized path beside every deployed setting.
        noise_floor: Number of perturbed repeats for the noise floor; 0 for none. A new job needs at
            least 4, see :meth:`check_new`.
        batch: Chunks per forward pass; None lets the scorer choose from the memory.
        allow_custom_code: Always False, and what a file says is ignored: consent to run a model's
            code is no part of a job. Earlier versions wrote this key.
        force: Score also where memory looks too small.
        one_at_a_time: Load one set of weights after the other, also where all fit in memory.
        deployment: Where the model is to run; None where nobody says. No number depends on it.
        drop_beaten: Score settings no further once they cannot be what to run there.
        roles: The roles of a chat text whose tokens count, ascending; empty for all tokens.
        until_settled: Stop, for all settings together, once each is settled as good or as worse;
            see :mod:`scorer.stats.stopping`. Chunks are in a random order then.
    """

    model: str
    settings: tuple[Setting, ...] = field(
        metadata=converted(_read_settings, _notations, tuple[str, ...])
    )
    corpus: CorpusSpec = field(
        default=CorpusSpec(), metadata=converted(_read_corpus, attrgetter("source"), str)
    )
    revision: str | None = None
    protocol: TextProtocol = "mqf"
    chunk_length: int = 512
    chunks: ChunkChoice = "first"
    max_chunks: int | None = None
    kernel: Kernel = "auto"
    control: bool = False
    noise_floor: int = 0
    batch: int | None = None
    allow_custom_code: Literal[False] = field(default=False, init=False)
    force: bool = False
    one_at_a_time: bool = field(default=False, metadata=OMITTED)
    deployment: DeploymentSpec | None = field(default=None, metadata=OMITTED_IF_NONE)
    drop_beaten: bool = field(default=False, metadata=OMITTED)
    roles: tuple[str, ...] = field(default=(), metadata=OMITTED)
    until_settled: bool = field(default=False, metadata=OMITTED)

    def __post_init__(self) -> None:
        object.__setattr__(self, "roles", checked_roles(self.roles))
        for name, hint in _COUNTS.items():
            if (value := getattr(self, name)) is not None:
                count = whole_number(value, name.replace("_", " "), hint)
                object.__setattr__(self, name, count)
        for name in _FLAGS:
            if not isinstance(value := getattr(self, name), bool):
                raise InputError(
                    f"{name.replace('_', ' ')} `{value!r}` is neither True nor False",
                    "give True or False",
                )
        if not self.settings:
            raise InputError("the job has no setting", NOTATION_HINT)
        for number, setting in enumerate(self.settings):
            if setting in self.settings[:number]:
                raise InputError(
                    f"setting `{setting.key}` is named twice", "name each setting once"
                )
        if self.roles and self.corpus.source in NAMED:
            raise InputError(
                f"`{self.corpus.source}` is plain text: nobody says who said what of it",
                PLAIN_TEXT_HINT,
            )
        if self.chunk_length < 2:
            raise InputError(
                f"chunk length `{self.chunk_length}` leaves no token to predict",
                "give at least 2; 512 is the default",
            )
        if self.max_chunks is not None and self.max_chunks < 1:
            raise InputError(f"`{self.max_chunks}` chunks score nothing", "give at least 1")
        if self.noise_floor < 0 or self.noise_floor == 1:
            raise InputError(
                f"`{self.noise_floor}` repeats give no standard deviation",
                f"--noise-floor needs at least {FEWEST_REPEATS}; 0 switches it off",
            )
        if self.batch is not None and self.batch < 1:
            raise InputError(f"batch `{self.batch}` holds no chunk", "give at least 1")
        for value, kind, name in (
            (self.protocol, TextProtocol, "protocol"),
            (self.kernel, Kernel, "kernel"),
        ):
            if value not in get_args(kind):
                raise InputError(
                    f"`{value}` is not a {name}", f"one of: {', '.join(get_args(kind))}"
                )
        seed = order_seed(self.chunks)
        if self.until_settled:
            self._check_until_settled(seed)
        for setting in self.settings:
            if setting.start >= self.chunk_length - 1:
                raise InputError(
                    f"start {setting.start} leaves no position to score in chunks of "
                    f"{self.chunk_length} tokens",
                    f"--quantize-start must be below {self.chunk_length - 1}",
                )

    def _check_until_settled(self, seed: int | None) -> None:
        if seed is None:
            raise InputError(
                "--until-settled looks at chunks in a random order: in another, one part of the "
                "text would decide",
                f"leave out --chunks, or give --chunks {RANDOM}SEED",
            )
        if self.one_at_a_time:
            raise InputError(
                "sets of weights that are loaded one after the other cannot stop together",
                "leave out --one-at-a-time or --until-settled",
            )

    def check_new(self) -> None:
        """Refuse what an older version scored and this one still reports.

        Raises:
            InputError: The noise floor has too few repeats.
        """
        if 0 < self.noise_floor < FEWEST_REPEATS:
            raise InputError(
                f"`{self.noise_floor}` repeats say next to nothing about the noise floor",
                f"--noise-floor needs at least {FEWEST_REPEATS}; 0 switches it off",
            )

    @property
    def thresholds(self) -> Thresholds:
        """The bounds that all its settings are judged by.

        Where any setting has weights of its own they are those of weights, for every row: one table
        is judged by one measure.
        """
        weights = any(isinstance(setting, WeightsSetting) for setting in self.settings)
        return WEIGHTS if weights else self.settings[0].thresholds

    @property
    def conditions(self) -> str:
        """Digest of all that a number depends on but the settings; hexadecimal.

        Two jobs of equal conditions can be held by one run.
        """
        values = self.to_json()
        for name in _NO_CONDITIONS:
            values.pop(name, None)
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]

    def to_json(self) -> dict[str, Any]:
        """The job as JSON values; settings in their notation."""
        values: dict[str, Any] = json_values(self)
        return values

    def resolved(self, geometry: KVGeometry) -> Job:
        """The job with its settings as they are for a model of this geometry.

        Settings that come to the same are one.
        """
        settings = dict.fromkeys(setting.resolved(geometry) for setting in self.settings)
        return dataclasses.replace(self, settings=tuple(settings))

    @classmethod
    def from_json(cls, data: Any) -> Job:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: A key is missing, unknown or of the wrong type, or a setting is of a kind
                that this version does not know.
        """
        return _READER.read(data)


_READER = JsonReader(Job, "a job")
