"""A report as values: rows of settings, comparisons, frontiers, recommendation, what was run.

:mod:`scorer.report.build` makes a report; every format is made of it. ``Report.to_json`` and
``Report.from_json`` are the one way to JSON and back. Pure standard library: stored reports are
shown before numpy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scorer.common.errors import InputError
from scorer.common.json_reader import JsonReader
from scorer.common.json_values import OMITTED, OMITTED_IF_NONE, json_values
from scorer.report.deployment_part import DeploymentPart
from scorer.report.groups_part import GroupsPart
from scorer.report.setting_row import SettingRow
from scorer.report.stopping_part import StoppingPart
from scorer.report.weights_parts import GridPart, InteractionPart
from scorer.runs.facts import REPORT_SCHEMA, ArithmeticFacts, DeviceFacts
from scorer.runs.shape_facts import ShapeFacts
from scorer.runs.weight_facts import WeightFacts
from scorer.spec.job import Job
from scorer.spec.thresholds import Thresholds, Verdict
from scorer.stats.intervals import Interval, UnitKind
from scorer.text.provenance import CorpusFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePart:
    """What the settings are compared with.

    Attributes:
        model_id: Repo id, name of the folder, or ``demo``.
        model_revision: Commit of the repo; None for a folder.
        model_files: File name to SHA-256 or to size in bytes.
        architecture: ``model_type`` of the config.
        weight_bits: Bits per weight as stored; None where unknown.
        kv_cache: ``16 bit``.
        kv_bytes_per_token: Bytes of its KV cache per token.
        kv_layers: Layers that hold keys and values.
        max_context: Tokens the model was made for; None where the config does not say.
        compute_dtype: What it was computed in; None where the run's facts do not say.
        weights: Its own precision, bytes and bits per weight; None likewise.
        shape: Sizes that the memory of a deployment follows from; None likewise.
    """

    model_id: str
    model_revision: str | None
    model_files: dict[str, str | int]
    architecture: str
    weight_bits: float | None
    kv_cache: str = "16 bit"
    kv_bytes_per_token: float
    kv_layers: int
    max_context: int | None = None
    compute_dtype: str | None = None
    weights: WeightFacts | None = field(default=None, metadata=OMITTED_IF_NONE)
    shape: ShapeFacts | None = field(default=None, metadata=OMITTED_IF_NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairComparison:
    """Two settings compared on the same chunks, as one pair of the report's family.

    Attributes:
        a: The one, in notation.
        b: The other.
        kl_mean_difference: KL mean of ``a`` minus that of ``b``, nats; None where it is undefined.
        interval: Its interval, nats; those of all pairs hold together with 95 % confidence. None
            where there is none.
        told_apart: Holm's method at 5 % over all pairs tells them apart, and the difference is not
            below the noise floor; None where there is no interval.
        unit: What was taken as independent.
        n_chunks: Chunks compared.
        p_value: Of no difference, adjusted by Holm's method; None where there is no interval.
        below_noise_floor: The difference is smaller than the upper end of the noise floor.
        label: What the interval speaks for where that is not any text of the kind; else "".
    """

    a: str
    b: str
    kl_mean_difference: float | None
    interval: Interval | None
    told_apart: bool | None
    unit: UnitKind
    n_chunks: int
    p_value: float | None = None
    below_noise_floor: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The settings of one start and path that no other beats, cheapest first.

    Attributes:
        quantize_start: First tokens kept at full precision.
        path: ``deployed`` or ``dequantized``.
        settings: In notation.
        tied: Pairs of neighbours that cannot be told apart.
        n_chunks: Chunks that all scored settings of this start and path have: the frontier is
            drawn on these. 0 in reports of earlier versions, which do not say.
    """

    quantize_start: int
    path: str
    settings: tuple[str, ...]
    tied: tuple[tuple[str, ...], ...]
    n_chunks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendedSetting:
    """A setting to use.

    Attributes:
        setting: In notation.
        verdict: Tier by the point estimates.
        verdict_shown: The tier, with ``?`` where an interval leaves it open.
        tied_with: Settings as good for the purpose.
        command: The ``mlx_lm.generate`` line that uses it; None where mlx-lm has none.
    """

    setting: str
    verdict: Verdict
    verdict_shown: str
    tied_with: tuple[str, ...]
    command: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSetting:
    """A setting that costs less than the recommended one and is good, but not settled.

    Attributes:
        setting: In notation.
        verdict: Tier by the point estimates.
        verdict_shown: The tier with ``?``.
        kv_bytes_share: Its bytes by those of the 16-bit cache.
        more_chunks: About how many more chunks would settle it; None where that is not known or
            no number of chunks would.
        settling: What would settle it, in words.
    """

    setting: str
    verdict: Verdict
    verdict_shown: str
    kv_bytes_share: float | None
    more_chunks: int | None
    settling: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Scored settings that are not ranked with the recommended one.

    Attributes:
        settings: In notation.
        differs: In what they differ from it, in words.
    """

    settings: tuple[str, ...]
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The one recommendation of a report.

    Attributes:
        setting: The cheapest setting that is settled as good; where there is none, the best.
        verdict: Tier by the point estimates.
        verdict_shown: The tier, with ``?`` where an interval leaves it open.
        tied_with: Settings as good for the purpose.
        sentences: Why, each without its full stop.
        command: The ``mlx_lm.generate`` line that uses it; None where mlx-lm has none.
        mlx_lm: What to use with mlx-lm where that cannot run the setting; else None.
        cheaper_open: The cheapest good setting where its verdict is open; else None.
        cheaper_alike: Settings that cost less and cannot be told apart from this one, the cheapest
            first; they are not settled as good.
        left_out: Settings of another start or path, which are not ranked with this one.
    """

    setting: str
    verdict: Verdict
    verdict_shown: str
    tied_with: tuple[str, ...]
    sentences: tuple[str, ...]
    command: str | None
    mlx_lm: RecommendedSetting | None = None
    cheaper_open: OpenSetting | None = None
    cheaper_alike: tuple[str, ...] = field(default=(), metadata=OMITTED)
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPart:
    """What was run, and how.

    Attributes:
        complete: Every setting was scored on every planned chunk, or failed.
        command: The command that asks for the same again.
        job: What was asked, with the settings of the report.
        chunks: Indices of the chunks that at least one setting of the report was scored on,
            ascending.
        chunks_planned: Chunks that the run is to score.
        documents_covered: Documents that those chunks are known to begin in.
        corpus: Where the text comes from.
        scored_from: First position of a chunk that the protocol scores.
        batch: Chunks per forward pass.
        device: What it was scored on.
        arithmetic: What computed it.
        versions: Package name to version.
        warnings: What the reader should know about the whole run.
        conditions: What the figures of all rows depend on beside settings and chunks, by name:
            files, text, protocol, device, versions; null where it is not known. Empty in reports
            of earlier versions.
    """

    complete: bool
    command: str
    job: Job
    chunks: tuple[int, ...]
    chunks_planned: int
    documents_covered: int = 0
    corpus: CorpusFacts
    scored_from: int = 0
    batch: int
    device: DeviceFacts
    arithmetic: ArithmeticFacts
    versions: dict[str, str]
    warnings: tuple[str, ...]
    conditions: dict[str, str | int | float | bool | None] = field(
        default_factory=dict, metadata=OMITTED
    )


@dataclass(frozen=True, slots=True)
class KeyUnit:
    """The unit of a key of the report.

    Attributes:
        key: The key, wherever it stands.
        unit: Its unit, in words.
    """

    key: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that is reported of a run.

    Attributes:
        schema: Version of the report's form.
        rules: Number of the rules that its verdicts follow, see :mod:`scorer.report.rules`; 1 in
            reports that do not say.
        reference: What the settings are compared with.
        settings: One row each, in the order asked.
        comparisons: Every two scored settings of the same positions.
        indistinct: The largest groups of settings of which no two are told apart.
        groups: The same as letters, see :class:`~scorer.report.groups_part.GroupsPart`; None where
            fewer than two settings are scored, or in reports of earlier versions.
        frontiers: Cost against drift, one for each start and path.
        recommendation: None where nothing was scored.
        verdict_bounds: What the verdicts are given by.
        run: What was run, and how.
        units: Units of the keys.
        grid: Weights beside KV settings; None where no setting has weights of its own.
        deployment: What to run where; None where no setting has weights of its own and nobody
            asked.
        interactions: What weights and KV cache do together, a part for each pair whose two parts
            were scored alone too.
        stopping: The looks of a run that stops once it is settled, and what the last one says;
            None for any other run.
    """

    schema: int = REPORT_SCHEMA
    rules: int = 1
    reference: ReferencePart
    settings: tuple[SettingRow, ...]
    comparisons: tuple[PairComparison, ...]
    frontiers: tuple[Frontier, ...]
    recommendation: Recommendation | None
    verdict_bounds: Thresholds
    run: RunPart
    indistinct: tuple[tuple[str, ...], ...] = ()
    groups: GroupsPart | None = field(default=None, metadata=OMITTED_IF_NONE)
    # A list: as one object its keys would be those of a setting's report.
    units: tuple[KeyUnit, ...] = ()
    grid: GridPart | None = field(default=None, metadata=OMITTED_IF_NONE)
    deployment: DeploymentPart | None = field(default=None, metadata=OMITTED_IF_NONE)
    interactions: tuple[InteractionPart, ...] = field(default=(), metadata=OMITTED)
    stopping: StoppingPart | None = field(default=None, metadata=OMITTED_IF_NONE)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; with one setting its keys stand at the top level too.

        Infinities are written ``"Infinity"`` and ``"-Infinity"``, undefined numbers null: JSON
        knows neither.
        """
        values: dict[str, Any] = json_values(self, words=True)
        if len(self.settings) == 1:
            values |= values["settings"][0]
        return values

    def chunks_of(self, row: SettingRow) -> tuple[int, ...]:
        """Indices of the chunks that a setting's numbers rest on, ascending; empty for none."""
        if row.numbers is None:
            return ()
        # Reports of earlier versions are about the same chunks for all settings.
        return row.numbers.chunks or self.run.chunks

    @classmethod
    def from_json(cls, data: Any) -> Report:
        """Read what :meth:`to_json` wrote; keys that this version does not know are dropped.

        Raises:
            InputError: A key is missing, a value does not fit, or the form is another.
        """
        report = _READER.read(data)
        if report.schema != REPORT_SCHEMA:
            raise InputError(
                f"the report has schema `{report.schema}`, not `{REPORT_SCHEMA}`",
                "another version of qfid wrote it",
            )
        for row in report.settings:
            if (row.status == "scored") != (row.numbers is not None):
                raise InputError(f"setting `{row.setting}` of the report is not as it says")
        return report


_READER = JsonReader(Report, "a report", unknown="drop", words=True)
