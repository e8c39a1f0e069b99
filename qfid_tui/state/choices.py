"""What the user has chosen: kept across sessions, and made into a Job.

Pure standard library and platformdirs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from qfid_tui.state.kept_choices import choices_file
from qfid_tui.state.text_names import CORPORA
from scorer.common.errors import InputError, QfidError
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.base import Setting
from scorer.spec.settings.kv import BITS, KVSetting
from scorer.spec.settings.registry import parse_setting, parse_settings

if TYPE_CHECKING:
    import argparse

WIDTHS = tuple(sorted(BITS, reverse=True))
DEMO = "demo"
_TICKED = (8, 6, 4)
_CHUNKS = 32
_KEPT_SETTINGS = 64


@dataclass
class Choices:
    """Everything that can be chosen before a run.

    Attributes:
        model: Repo id, absolute path of a folder or ``demo``; None while none is chosen.
        revision: Commit, branch or tag of the repo; None for what is cached.
        ticked: Bit-widths of the offered rows that are to be scored.
        added: Settings that were typed, in notation, in the order they were added.
        ticked_added: Those of them that are to be scored.
        key_bits: Bits of the keys in the offered rows, whose width is then that of the values;
            None where keys have the values' width.
        group_size: Elements that share a scale in the offered rows.
        start: Tokens that stay at full precision in the offered rows; 0 is stress.
        path: ``deployed`` or ``dequantized``, for the offered rows.
        corpus: ``wikitext2``, ``builtin`` or an absolute path; None for the model's default.
        protocol: ``mqf`` or ``llama.cpp``.
        chunk_length: Tokens per chunk.
        chunks: ``spread`` or ``first``.
        max_chunks: How many chunks; None for the whole text.
        noise_floor: Perturbed repeats; 0 for none.
        kernel: ``auto`` or ``mlx-lm``.
        control: Score the dequantized path beside the deployed one.
        batch: Chunks per forward pass; None lets the scorer choose.
        allow_custom_code: Permit a model's own Python file to run; never kept.
        force: Score also where memory looks too small; never kept.
        theme: Name of Textual's theme.
        keys: Keys of the user's own: id of a binding to the key, or keys with commas between.
    """

    model: str | None = None
    revision: str | None = None
    ticked: list[int] = field(default_factory=lambda: list(_TICKED))
    added: list[str] = field(default_factory=list)
    ticked_added: list[str] = field(default_factory=list)
    key_bits: int | None = None
    group_size: int = 64
    start: int = 0
    path: str = "deployed"
    corpus: str | None = None
    protocol: str = "mqf"
    chunk_length: int = 512
    chunks: str = "spread"
    max_chunks: int | None = _CHUNKS
    noise_floor: int = 0
    kernel: str = "auto"
    control: bool = False
    batch: int | None = None
    allow_custom_code: bool = False
    force: bool = False
    theme: str = "textual-dark"
    keys: dict[str, str] = field(default_factory=dict)

    def offered(self) -> list[Setting]:
        """The settings of the table's own rows: every width with the options chosen, then added."""
        rows: list[Setting] = []
        for bits in WIDTHS:
            with contextlib.suppress(InputError):
                rows.append(self._at(bits))
        for text in self.added:
            with contextlib.suppress(InputError):
                rows.append(parse_setting(text))
        return list(dict.fromkeys(rows))

    def _at(self, bits: int) -> KVSetting:
        return KVSetting(
            k_bits=self.key_bits or bits,
            v_bits=bits,
            group_size=self.group_size,
            start=self.start,
            path=self.path,  # type: ignore[arg-type]  # checked in KVSetting
        )

    def is_ticked(self, setting: Setting) -> bool:
        """Whether a row's setting is to be scored."""
        return setting.key in self.ticked_added or any(
            bits in self.ticked and setting == self._at(bits) for bits in WIDTHS
        )

    def tick(self, setting: Setting, on: bool) -> None:
        """Choose that a setting is scored, or that it is not; one not offered yet is added."""
        bits = next((b for b in WIDTHS if self._at(b) == setting), None)
        if bits is not None:
            self.ticked = [b for b in self.ticked if b != bits] + ([bits] if on else [])
        name = setting.key
        self.ticked_added = [n for n in self.ticked_added if n != name]
        if bits is None:
            if name not in self.added:
                self.added.append(name)
            self.ticked_added += [name] if on else []

    def remove(self, setting: Setting) -> bool:
        """Take away a row that was added; False where it was none."""
        name = setting.key
        if name not in self.added:
            return False
        self.added.remove(name)
        self.ticked_added = [n for n in self.ticked_added if n != name]
        return True

    def ticked_settings(self) -> tuple[Setting, ...]:
        """The settings to score, in the order of the rows."""
        return tuple(setting for setting in self.offered() if self.is_ticked(setting))

    @property
    def text(self) -> str:
        """The corpus as the job names it."""
        return self.corpus or ("builtin" if self.model == DEMO else "wikitext2")

    def job(self, settings: tuple[Setting, ...] | None = None) -> Job:
        """The job that was chosen.

        Args:
            settings: What to score; None for what is ticked.

        Raises:
            InputError: No model or no setting is chosen, or the values do not go together.
        """
        if self.model is None:
            raise InputError(
                "no model is chosen", "pick one in the list of models; `demo` is always there"
            )
        settings = self.ticked_settings() if settings is None else settings
        if not settings:
            raise InputError("no setting is ticked", "move to one and press space")
        return Job(
            model=self.model,
            settings=settings,
            corpus=CorpusSpec(self.text),
            revision=self.revision,
            protocol=self.protocol,  # type: ignore[arg-type]  # checked in Job
            chunk_length=self.chunk_length,
            chunks=self.chunks,  # type: ignore[arg-type]
            max_chunks=self.max_chunks,
            kernel=self.kernel,  # type: ignore[arg-type]
            control=self.control,
            noise_floor=self.noise_floor,
            batch=self.batch,
            allow_custom_code=self.allow_custom_code,
            force=self.force,
        )

    def check(self) -> None:
        """See that any setting could be scored as chosen.

        Raises:
            InputError: A value is not valid, or two do not go together.
        """
        settings = self.ticked_settings() or (self._at(_TICKED[-1]),)
        dataclasses.replace(self, model=self.model or DEMO).job(settings)

    def adopt(self, job: Job) -> None:
        """Choose what a saved run was scored with, its settings ticked."""
        self.model, self.revision = job.model, job.revision
        default = "builtin" if job.model == DEMO else "wikitext2"
        self.corpus = None if job.corpus.source == default else job.corpus.source
        for name in ("protocol", "chunk_length", "chunks", "max_chunks", "noise_floor", "kernel"):
            setattr(self, name, getattr(job, name))
        self.control, self.batch = job.control, job.batch
        self.allow_custom_code, self.force = job.allow_custom_code, job.force
        self.ticked, self.ticked_added = [], []
        for setting in job.settings:
            self.tick(setting, True)


def same_conditions(one: Job, other: Job) -> bool:
    """Whether two jobs differ in their settings alone, so that one run can hold both."""
    return dataclasses.replace(one, settings=other.settings) == other


def load_choices() -> Choices:
    """The choices of the last session; the defaults for whatever is missing or makes no sense."""
    try:
        data: Any = json.loads(choices_file().read_text("utf-8"))
    except (OSError, ValueError, RecursionError, RuntimeError):
        data = None
    choices = Choices()
    if not isinstance(data, dict):
        return choices
    for name, kinds in _kinds().items():
        value = data.get(name)
        if name in data and type(value) in kinds and _is_plain(name, value):
            setattr(choices, name, value)
    try:
        choices.check()
    except InputError:
        # Values that do not go together are no reason to forget the model.
        return Choices(model=choices.model, theme=choices.theme, keys=choices.keys)
    return choices


def _is_plain(name: str, value: Any) -> bool:
    if name == "ticked":
        return all(bits in WIDTHS and type(bits) is int for bits in value)
    if name == "keys":
        return all(isinstance(key, str) and key.strip(", ") for key in value.values())
    if isinstance(value, list):
        return len(value) <= _KEPT_SETTINGS and all(map(_is_notation, value))
    return True


def _is_notation(text: Any) -> bool:
    if not isinstance(text, str):
        return False
    try:
        return parse_setting(text).key == text
    except InputError:
        return False


def _kinds() -> dict[str, tuple[type, ...]]:
    """Kept fields and the types their values may have."""
    found: dict[str, tuple[type, ...]] = {}
    for name, hint in get_type_hints(Choices).items():
        if name in ("allow_custom_code", "force", "revision"):
            continue
        parts = get_args(hint)
        found[name] = (get_origin(hint),) if get_origin(hint) in (list, dict) else parts or (hint,)
    return found


def save_choices(choices: Choices) -> bool:
    """Keep the choices for the next session; False where they cannot be written."""
    from scorer.common.atomic_files import write_atomic

    data = {name: getattr(choices, name) for name in _kinds()}
    path = choices_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(data, indent=1) + "\n")
    except (OSError, QfidError):
        return False
    return True


def apply_arguments(choices: Choices, args: argparse.Namespace) -> None:
    """Let the command line's options, None where not given, win over what was kept.

    Raises:
        InputError: An option's value is not valid.
    """
    from qfid_tui.state.paths import absolute

    if args.model is not None:
        choices.model = _rooted(args.model)
        choices.revision = None
    if args.corpus is not None:
        corpus = args.corpus
        choices.corpus = corpus if corpus in CORPORA else absolute(corpus)
    given = {
        "revision": args.revision,
        "group_size": args.kv_group_size,
        "start": args.quantize_start,
        "path": args.path,
        "kernel": args.kernel,
        "protocol": args.protocol,
        "chunk_length": args.chunk_length,
        "chunks": args.chunks,
        "max_chunks": args.max_chunks,
        "noise_floor": args.noise_floor,
        "batch": args.batch,
        "control": args.control or None,
        "allow_custom_code": args.allow_custom_code or None,
        "force": args.force or None,
    }
    for name, value in given.items():
        if value is not None:
            setattr(choices, name, value)
    if args.settings is not None or args.kv_bits is not None:
        _tick_only(choices, args)
    # Said now, on standard error, what the job would refuse later.
    choices.check()


def _tick_only(choices: Choices, args: argparse.Namespace) -> None:
    settings = parse_settings(
        args.settings if args.settings is not None else args.kv_bits,
        group_size=choices.group_size,
        start=choices.start,
        path=choices.path,  # type: ignore[arg-type]  # checked in KVSetting
    )
    # Widths that are asked for by name are those of keys and values, whatever was kept.
    choices.key_bits = None
    choices.ticked, choices.ticked_added = [], []
    for setting in settings:
        choices.tick(setting, True)


def _rooted(model: str) -> str:
    """A folder of the user's named from the root; a repo id as it is."""
    from qfid_tui.state.paths import absolute
    from scorer.models.hub_cache import is_repo_id

    try:
        path = Path(model).expanduser()
        is_folder = path.is_dir() and ((path / "config.json").exists() or not is_repo_id(model))
    except (OSError, RuntimeError, ValueError):
        return model
    return absolute(model) if is_folder else model
