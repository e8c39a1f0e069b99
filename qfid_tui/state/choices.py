"""The user's choices before a run, and the job they make.

Pure standard library.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import InputError
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.base import Setting
from scorer.spec.settings.grid import grid_settings, ladder
from scorer.spec.settings.kv import BITS, DEFAULT_GROUP, KVSetting
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import (
    MadeWeights,
    WeightsSetting,
    WeightsSource,
    weights_of,
)

WIDTHS = tuple(sorted(BITS, reverse=True))
"""Bit-widths that the table offers, widest first."""
DEMO = "demo"
DEVICES: tuple[DeviceKind, ...] = ("metal", "cuda", "cpu")
MADE: tuple[MadeWeights, ...] = ladder("8,6,5,4,3,2,mxfp4,mxfp8,nvfp4")
"""Precisions that the table offers to make of the model's own weights."""
_TICKED = (8, 6, 4)
CHUNKS = 32
"""How many chunks are scored where nobody says."""


@dataclass(frozen=True)
class Choices:
    """Everything that can be chosen before a run. Immutable: a change makes a new value.

    Attributes:
        model: Repo id, absolute path of a folder or ``demo``; None if no model is chosen.
        revision: Commit, branch or tag of the repo; None for the cached revision.
        ticked: Bit-widths of the offered rows that are to be scored.
        added: Settings that the user typed, in notation, in the order they were added.
        ticked_added: The members of ``added`` that are to be scored.
        ticked_weights: The members of :data:`MADE`, in notation, that are to be scored.
        pairs: Whether every set of weights that is ticked is scored with every KV setting that is
            ticked too, beside each alone.
        memory: Bytes that the model may take where it is to run; None for no limit.
        context: Tokens of a sequence there; None for the default.
        parallel: Sequences whose caches are held there.
        target: The device there.
        key_bits: Bits of the keys in the offered rows, whose width is then that of the values;
            None if keys have the same width as values.
        group_size: Elements that share a scale in the offered rows.
        start: Tokens that stay at full precision in the offered rows; 0 is stress.
        path: ``deployed`` or ``dequantized``, for the offered rows.
        corpus: ``wikitext2``, ``builtin`` or an absolute path; None for the model's default.
        protocol: ``mqf`` or ``llama.cpp``.
        chunk_length: Tokens per chunk.
        chunks: ``spread``, ``first`` or ``random:SEED``.
        max_chunks: Number of chunks; None for the whole text.
        until_settled: Stop once every setting is settled; the chunks are in a random order then.
        noise_floor: Perturbed repeats; 0 for none.
        kernel: ``auto`` or ``mlx-lm``.
        control: Score the dequantized path beside the deployed one.
        batch: Chunks per forward pass; None if the scorer chooses.
        ranks: How many processes of this machine share a run, or the absolute path of a host file.
        force: Score even if memory looks too small; never saved.
        theme: Name of Textual's theme.
        keys: The user's own keys: binding id to a key, or to several separated by commas.
    """

    model: str | None = None
    revision: str | None = None
    ticked: tuple[int, ...] = _TICKED
    added: tuple[str, ...] = ()
    ticked_added: tuple[str, ...] = ()
    ticked_weights: tuple[str, ...] = ()
    pairs: bool = True
    memory: int | None = None
    context: int | None = None
    parallel: int = 1
    target: str = "metal"
    key_bits: int | None = None
    group_size: int = DEFAULT_GROUP
    start: int = 0
    path: str = "deployed"
    corpus: str | None = None
    protocol: str = "mqf"
    chunk_length: int = 512
    chunks: str = "spread"
    max_chunks: int | None = CHUNKS
    until_settled: bool = False
    noise_floor: int = 0
    kernel: str = "auto"
    control: bool = False
    batch: int | None = None
    ranks: int | str = 1
    force: bool = False
    theme: str = "textual-dark"
    keys: Mapping[str, str] = field(default_factory=dict)

    def offered(self) -> list[Setting]:
        """Settings of the table's own rows: every width with the options, then those added.

        What is made of the weights is not among them: whether it can be is for the model to say.
        """
        rows: list[Setting] = []
        for bits in WIDTHS:
            with contextlib.suppress(InputError):
                rows.append(self._at(bits))
        for text in self.added:
            with contextlib.suppress(InputError):
                rows.append(parse_setting(text))
        return list(dict.fromkeys(rows))

    def _at(self, bits: int) -> KVSetting:
        """The offered setting of a width."""
        return KVSetting(
            k_bits=self.key_bits or bits,
            v_bits=bits,
            group_size=self.asked_group,
            start=self.start,
            path=self.path,  # type: ignore[arg-type]  # checked in KVSetting
        )

    @property
    def asked_group(self) -> int | None:
        """The group size as settings take it: None for the default, which a model may replace."""
        return None if self.group_size == DEFAULT_GROUP else self.group_size

    def is_ticked(self, setting: Setting) -> bool:
        """Whether a setting is ticked; a pair may be scored because its two parts are."""
        return setting.key in (*self.ticked_added, *self.ticked_weights) or any(
            bits in self.ticked and setting == self._at(bits) for bits in WIDTHS
        )

    def is_paired(self, setting: Setting) -> bool:
        """Whether a pair is to be scored because both its parts are ticked."""
        return (
            self.pairs
            and isinstance(setting, WeightsSetting)
            and setting.cache is not None
            and self.is_ticked(setting.alone)
            and self.is_ticked(setting.cache)
        )

    def ticking(self, setting: Setting, on: bool) -> Choices:
        """Tick or untick a setting; one that is not offered is added.

        Args:
            setting: The setting.
            on: True to score it, False to leave it out.
        """
        name = setting.key
        ticked = self.ticked
        added = self.added
        ticked_added = tuple(n for n in self.ticked_added if n != name)
        if name not in added and _is_made(setting):
            kept = tuple(n for n in self.ticked_weights if n != name)
            return dataclasses.replace(self, ticked_weights=(*kept, *((name,) if on else ())))
        bits = next((b for b in WIDTHS if self._at(b) == setting), None)
        if bits is not None:
            ticked = (*(b for b in ticked if b != bits), *((bits,) if on else ()))
        else:
            added = added if name in added else (*added, name)
            ticked_added = (*ticked_added, *((name,) if on else ()))
        return dataclasses.replace(self, ticked=ticked, added=added, ticked_added=ticked_added)

    def ticking_only(self, settings: tuple[Setting, ...]) -> Choices:
        """Tick these settings and no others."""
        choices = dataclasses.replace(self, ticked=(), ticked_added=(), ticked_weights=())
        alone = [s for s in settings if not isinstance(s, WeightsSetting) or s.cache is None]
        paired = dataclasses.replace(choices, pairs=True)
        for setting in alone:
            paired = paired.ticking(setting, True)
        if set(paired.ticked_settings()) == set(settings):
            return (
                paired
                if len(alone) < len(settings)
                else dataclasses.replace(paired, pairs=self.pairs)
            )
        # Only some pairs: each is ticked for itself.
        choices = dataclasses.replace(choices, pairs=False)
        for setting in settings:
            choices = choices.ticking(setting, True)
        return choices

    def for_model(self, name: str) -> Choices:
        """Choose another model; weights of a repo or folder belong to the model of before."""

        def kept(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(n for n in names if not n.startswith("w="))

        return dataclasses.replace(
            self,
            model=name,
            revision=None,
            added=kept(self.added),
            ticked_added=kept(self.ticked_added),
        )

    def without(self, setting: Setting) -> Choices:
        """Remove a setting that the user added; other settings stay."""
        name = setting.key
        return dataclasses.replace(
            self,
            added=tuple(n for n in self.added if n != name),
            ticked_added=tuple(n for n in self.ticked_added if n != name),
        )

    def ticked_settings(self) -> tuple[Setting, ...]:
        """The settings to score: KV settings, weights, and every pair of the two if wanted."""
        ticked = [setting for setting in self.offered() if self.is_ticked(setting)]
        made = [WeightsSetting(each) for each in MADE if each.key in self.ticked_weights]
        found = dict.fromkeys((*ticked, *made))
        if not self.pairs or not any(isinstance(s, WeightsSetting) for s in found):
            return tuple(found)
        caches, weights, others = _parts(tuple(found))
        return grid_settings(weights, caches, others)

    def asked_weights(self) -> tuple[WeightsSource, ...]:
        """The weights that settings name, added ones included, those of :data:`MADE` left out."""
        found = (weights_of(setting) for setting in self.offered())
        return tuple(dict.fromkeys(s for s in found if s is not None and s not in MADE))

    @property
    def deployment(self) -> DeploymentSpec:
        """Where the model is to run."""
        device = next((kind for kind in DEVICES if kind == self.target), DEVICES[0])
        return DeploymentSpec(self.memory, self.context, self.parallel, device)

    @property
    def text(self) -> str:
        """The corpus as a job names it."""
        return self.corpus or ("builtin" if self.model == DEMO else "wikitext2")

    def job(self, settings: tuple[Setting, ...] | None = None) -> Job:
        """Make the job.

        Args:
            settings: The settings to score; None for the ticked ones.

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
            chunks=self.chunks,
            max_chunks=self.max_chunks,
            until_settled=self.until_settled,
            kernel=self.kernel,  # type: ignore[arg-type]
            control=self.control,
            noise_floor=self.noise_floor,
            batch=self.batch,
            force=self.force,
            deployment=self._asked_deployment,
        )

    def deployed(self, spec: DeploymentSpec) -> Choices:
        """Choose memory, context, sequences and device of a deployment."""
        return dataclasses.replace(
            self,
            memory=spec.memory,
            context=spec.context,
            parallel=spec.parallel,
            target=spec.device,
        )

    @property
    def _asked_deployment(self) -> DeploymentSpec | None:
        """The deployment; None where neither memory nor context is chosen."""
        return None if self.memory is None and self.context is None else self.deployment

    def check(self) -> None:
        """Check that a setting could be scored with these options.

        Raises:
            InputError: A value is not valid, or two do not go together.
        """
        settings = self.ticked_settings() or (self._at(_TICKED[-1]),)
        dataclasses.replace(self, model=self.model or DEMO).job(settings).check_new()

    def of_job(self, job: Job) -> Choices:
        """Choose the model, the options and the settings of a job; other choices stay.

        Of the options that shape the offered rows, those are chosen under which most settings of
        the job are offered rows; the other settings are added.
        """
        default = "builtin" if job.model == DEMO else "wikitext2"
        choices = dataclasses.replace(
            self if self.model == job.model else self.for_model(job.model),
            revision=job.revision,
            corpus=None if job.corpus.source == default else job.corpus.source,
            protocol=job.protocol,
            chunk_length=job.chunk_length,
            chunks=job.chunks,
            max_chunks=job.max_chunks,
            until_settled=job.until_settled,
            noise_floor=job.noise_floor,
            kernel=job.kernel,
            control=job.control,
            batch=job.batch,
            force=job.force,
        )
        if job.deployment is not None:
            choices = choices.deployed(job.deployment)
        return choices._offering(job.settings).ticking_only(job.settings)

    def _offering(self, settings: tuple[Setting, ...]) -> Choices:
        """The options under which most of these settings are offered rows; added ones count not."""
        tried = [self]
        for setting in settings:
            if isinstance(setting, KVSetting):
                shape = dataclasses.replace(
                    self,
                    key_bits=None,
                    group_size=setting.group_size or DEFAULT_GROUP,
                    start=setting.start,
                    path=setting.path,
                )
                tried.append(shape)
                if setting.k_bits != setting.v_bits:
                    tried.append(dataclasses.replace(shape, key_bits=setting.k_bits))
        return max(tried, key=lambda choices: choices._offered_of(settings))

    def _offered_of(self, settings: tuple[Setting, ...]) -> int:
        """How many of these settings are offered rows."""
        rows = dataclasses.replace(self, added=()).offered()
        return sum(setting in rows for setting in settings)


def _is_made(setting: Setting) -> bool:
    """Whether it is a precision that the table offers to make, alone."""
    return isinstance(setting, WeightsSetting) and setting.cache is None and setting.source in MADE


def _parts(
    settings: tuple[Setting, ...],
) -> tuple[list[KVSetting], list[WeightsSource], list[Setting]]:
    """KV settings, sets of weights, and the pairs that were named as such."""
    caches = [setting for setting in settings if isinstance(setting, KVSetting)]
    weights = [s.source for s in settings if isinstance(s, WeightsSetting) and s.cache is None]
    others = [s for s in settings if not isinstance(s, KVSetting | WeightsSetting) or _is_pair(s)]
    return caches, weights, others


def _is_pair(setting: Setting) -> bool:
    return isinstance(setting, WeightsSetting) and setting.cache is not None


def same_conditions(one: Job, other: Job) -> bool:
    """Whether one run can hold both jobs: they differ in settings and in what changes no number.

    That is what memory is for: whether it is checked, whether weights take turns, where the model
    is to run.
    """
    free = (
        *("settings", "force", "one_at_a_time", "deployment", "drop_beaten"),
        "until_settled",
    )
    return dataclasses.replace(one, **{name: getattr(other, name) for name in free}) == other
