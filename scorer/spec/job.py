"""What is to be scored: a Job, its KV settings and the notation they are written in.

Pure standard library: the app and ``qfid --help`` import this module.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.spec.settings.kv import NOTATION_HINT, KVSetting

TextProtocol = Literal["mqf", "llama.cpp"]
ChunkChoice = Literal["first", "spread"]
Kernel = Literal["auto", "mlx-lm"]


@dataclass(frozen=True, slots=True)
class CorpusSpec:
    """Which text is scored.

    Attributes:
        source: ``wikitext2``, ``builtin``, or the path of a .txt, .md, .jsonl or .parquet file.
    """

    source: str = "wikitext2"


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that decides a run's numbers, stored with every run.

    Attributes:
        model: Repo id in the local Hugging Face cache, path of a folder, or ``demo``.
        settings: The KV settings, in the order of the report's rows.
        corpus: Which text.
        revision: Commit, branch or tag of the repo; None for the cached default.
        protocol: ``mqf`` or ``llama.cpp``: which positions of which windows are scored.
        chunk_length: Tokens per chunk; ``chunk_length - 1`` positions are predicted.
        chunks: ``first`` or ``spread``: which chunks when ``max_chunks`` is fewer than all.
        max_chunks: How many chunks; None for the whole corpus.
        kernel: ``auto`` or ``mlx-lm`` (mlx-lm's own cache class and attention function).
        control: Score the dequantized path beside every deployed setting.
        noise_floor: Number of perturbed repeats for the noise floor; 0 for none.
        batch: Chunks per forward pass; None lets the scorer choose from the memory.
        allow_custom_code: Permit a repo's own Python file to run.
        force: Score also where memory looks too small.
    """

    model: str
    settings: tuple[KVSetting, ...]
    corpus: CorpusSpec = CorpusSpec()
    revision: str | None = None
    protocol: TextProtocol = "mqf"
    chunk_length: int = 512
    chunks: ChunkChoice = "first"
    max_chunks: int | None = None
    kernel: Kernel = "auto"
    control: bool = False
    noise_floor: int = 0
    batch: int | None = None
    allow_custom_code: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if not self.settings:
            raise InputError("the job has no KV setting", NOTATION_HINT)
        for number, setting in enumerate(self.settings):
            if setting in self.settings[:number]:
                raise InputError(f"setting `{setting}` is named twice", "name each setting once")
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
                "--noise-floor needs at least 2; 0 switches it off",
            )
        if self.batch is not None and self.batch < 1:
            raise InputError(f"batch `{self.batch}` holds no chunk", "give at least 1")
        for value, kind, name in (
            (self.protocol, TextProtocol, "protocol"),
            (self.chunks, ChunkChoice, "choice of chunks"),
            (self.kernel, Kernel, "kernel"),
        ):
            if value not in get_args(kind):
                raise InputError(
                    f"`{value}` is not a {name}", f"one of: {', '.join(get_args(kind))}"
                )
        for setting in self.settings:
            if setting.start >= self.chunk_length - 1:
                raise InputError(
                    f"start {setting.start} leaves no position to score in chunks of "
                    f"{self.chunk_length} tokens",
                    f"--quantize-start must be below {self.chunk_length - 1}",
                )

    def to_json(self) -> dict[str, Any]:
        """The job as JSON values; settings in their notation."""
        data = dataclasses.asdict(self)
        data["settings"] = [str(setting) for setting in self.settings]
        data["corpus"] = self.corpus.source
        return data

    @classmethod
    def from_json(cls, data: Any) -> Job:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: A key is missing, unknown or of the wrong type.
        """
        if not isinstance(data, dict):
            raise InputError("a job must be a JSON object")
        known = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(str(key) for key in data if key not in known):
            raise InputError(f"a job has no key {shown(unknown[0])}")
        values = dict(data)
        settings = values.get("settings")
        if not isinstance(settings, list) or not all(isinstance(s, str) for s in settings):
            raise InputError("a job's `settings` must be a list of settings in notation")
        values["settings"] = tuple(KVSetting.parse(setting) for setting in settings)
        source = values.pop("corpus", "wikitext2")
        if not isinstance(source, str):
            raise InputError("a job's `corpus` must be a name or a path")
        for name, kinds in _JSON_TYPES.items():
            if name in values and type(values[name]) not in kinds:
                raise InputError(f"a job's `{name}` has the wrong type")
        if "model" not in values:
            raise InputError("a job needs a `model`")
        return cls(corpus=CorpusSpec(source), **values)


_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "revision": (str, type(None)),
    "protocol": (str,),
    "chunk_length": (int,),
    "chunks": (str,),
    "max_chunks": (int, type(None)),
    "kernel": (str,),
    "control": (bool,),
    "noise_floor": (int,),
    "batch": (int, type(None)),
    "allow_custom_code": (bool,),
    "force": (bool,),
}
