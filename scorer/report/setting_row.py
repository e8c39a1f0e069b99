"""One setting of a report as values: its numbers, intervals, verdict, cost. Standard library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from scorer.common.json_values import FLAT, FLAT_OMITTED, OMITTED, OMITTED_IF_NONE
from scorer.report.role_values import RoleDrift
from scorer.report.weight_keys import WeightKeys
from scorer.runs.engagement import SideEngagement
from scorer.runs.facts import FailureFacts
from scorer.runs.weight_facts import WeightFacts
from scorer.spec.thresholds import Verdict
from scorer.stats.intervals import CONFIDENCE, Interval, UnitKind
from scorer.stats.noise_floor import NoiseFloor
from scorer.stats.summary_values import ConfidenceBucket, DepthSpan, KLSummary
from scorer.stats.verdict import HeldBound, MissingInterval, OpenBound, is_open, more_chunks
from scorer.text.provenance import CorpusProvenance

Status = Literal["scored", "failed", "waiting"]
DriftFooting = Literal["bundled", "quantizer_only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """95 % intervals of a setting, and what they rest on; None for an interval there is not.

    Attributes:
        confidence: 0.95.
        simultaneous: The run stops once it is settled: these are the intervals of its last look,
            and those of all settings, metrics and looks hold together with that confidence. There
            are none of perplexity then.
        unit: What is taken as independent, also by the bootstrap of p99.
        n_units: How many of those there are.
        n_documents: Documents that the chunks are known to cover.
        label: What the intervals speak for where that is not any text of the kind; else "".
        note: What to say of intervals from few chunks; else "".
        kl_p99_resamples: Resamples of the bootstrap behind ``kl_p99``.
        kl_mean: Nats.
        kl_p99: Nats.
        flip_rate: 0 to 1.
        ln_perplexity_ratio: Nats.
        perplexity_ratio: exp of it.
        perplexity_delta: Difference of perplexities.
    """

    confidence: float = CONFIDENCE
    simultaneous: bool = field(default=False, metadata=OMITTED)
    unit: UnitKind
    n_units: int
    n_documents: int
    label: str = ""
    note: str = ""
    kl_p99_resamples: int = 0
    kl_mean: Interval | None
    kl_p99: Interval | None
    flip_rate: Interval | None
    ln_perplexity_ratio: Interval | None = None
    perplexity_ratio: Interval | None = None
    perplexity_delta: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JointIntervals:
    """Intervals of the criteria of a verdict; None for an interval there is not.

    Those of all settings of a report hold together with 95 % confidence (Bonferroni).

    Attributes:
        confidence: Of each of them.
        n_settings: Settings of the report.
        kl_mean: Nats; symmetric on its logarithm.
        kl_p99: Nats; by inverting the interval of the share of positions above a value.
        flip_rate: 0 to 1; Wilson's on the effective number of positions.
    """

    confidence: float
    n_settings: int
    kl_mean: Interval | None
    kl_p99: Interval | None
    flip_rate: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingNumbers:
    """The numbers of a scored setting. Floats may be infinite, NaN where they are undefined.

    Attributes:
        n_positions: Positions scored.
        chunks: Indices of the chunks that the numbers rest on, ascending; empty in reports of
            earlier versions, whose settings all rest on the chunks of the run's part.
        kl: KL over all of them, nats.
        kl_quantiles: Name of a quantile of KL to its value, nats.
        kl_by_depth: KL by position, counted from the first scored one.
        by_confidence: KL and flips by the reference's top probability.
        by_role: The drift on what each role of a chat text said; left out for other texts.
        flip_rate: Share of positions whose top token changed, 0 to 1.
        same_top_token: One minus that.
        perplexity_ref: Perplexity of the reference.
        perplexity_quant: Perplexity with the setting.
        perplexity_delta: Quantized minus reference.
        perplexity_ratio: Quantized by reference.
        ln_perplexity_ratio: Its logarithm, nats.
        nll_correlation: Correlation of the two models' NLLs; None where one is constant.
        delta_p: ``mean``, ``rms`` and quantiles of the change of the target's probability, percent.
        intervals: 95 % intervals.
        joint_intervals: Intervals of the criteria that hold together over all settings; None in a
            run that stops once it is settled, whose ``intervals`` are such, and in reports of
            earlier versions.
        kl_mean_per_chunk: KL mean of each of these chunks, nats.
        flips_per_chunk: Positions of each chunk whose top token changed.
        positions_per_chunk: Positions scored of each chunk where they are not as many of all, as
            where only some roles of a chat text count; left out else.
        control_kl: KL of the dequantized path, nats; None where it was not scored beside this one.
        control_flip_rate: Its flip rate, 0 to 1; None likewise.
        verdict: Tier by the point estimates.
        verdict_shown: The tier, with ``?`` where it is open.
        verdict_held_by: What keeps it from the next better tier.
        verdict_open: Bounds that an interval crosses; they leave the verdict open.
        verdict_without_interval: Metrics without a usable interval; they leave it open too.
    """

    n_positions: int
    chunks: tuple[int, ...] = ()
    kl: KLSummary
    kl_quantiles: dict[str, float]
    kl_by_depth: tuple[DepthSpan, ...]
    by_confidence: tuple[ConfidenceBucket, ...]
    by_role: tuple[RoleDrift, ...] = field(default=(), metadata=OMITTED)
    flip_rate: float
    same_top_token: float
    perplexity_ref: float
    perplexity_quant: float
    perplexity_delta: float
    perplexity_ratio: float
    ln_perplexity_ratio: float
    nll_correlation: float | None
    delta_p: dict[str, float]
    intervals: Intervals
    joint_intervals: JointIntervals | None = field(default=None, metadata=OMITTED_IF_NONE)
    kl_mean_per_chunk: tuple[float, ...] = ()
    flips_per_chunk: tuple[int, ...] = ()
    positions_per_chunk: tuple[int, ...] = field(default=(), metadata=OMITTED)
    control_kl: KLSummary | None = None
    control_flip_rate: float | None = None
    verdict: Verdict
    verdict_shown: str
    verdict_held_by: tuple[HeldBound, ...] = ()
    verdict_open: tuple[OpenBound, ...] = ()
    verdict_without_interval: tuple[MissingInterval, ...] = ()

    def sizes(self, chunks: int) -> tuple[int, ...]:
        """Positions scored of each of so many chunks, which are all that the numbers rest on."""
        return self.positions_per_chunk or (self.n_positions // max(1, chunks),) * chunks

    @property
    def is_open(self) -> bool:
        """Whether the verdict is open."""
        return is_open(self.verdict_open, self.verdict_without_interval)

    @property
    def more_chunks(self) -> int | None:
        """About how many more chunks would settle it; None where that is not known."""
        return more_chunks(self.verdict_open, self.verdict_without_interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One setting of a report; mlx-quant-fidelity's keys with its meaning, and ours.

    Attributes:
        setting: The setting in notation.
        status: ``waiting`` where no chunk is scored yet.
        failure: Why it failed; None where it did not.
        model_id: Repo id, name of the folder, or ``demo``.
        model_revision: Commit of the repo; None for a folder.
        kv_bits: Bits per element; None where keys and values differ.
        kv_group_size: Elements that share a scale and a bias.
        kv_method: ``stock`` or ``affine``.
        kv_method_params: Its parameters by name.
        kv_method_provenance: ``package`` that the method is of and its ``version``, where that is
            known; for ``affine`` also ``k_bits``, ``v_bits`` and ``group_size``, as text.
        drift_footing: ``bundled`` where attention was computed on the quantized keys and values,
            so that the drift holds the rounding of that kernel; ``quantizer_only`` where it was
            computed on dequantized ones. None in reports of earlier versions.
        cache_supported: Always true: a model whose cache cannot be quantized is not scored.
        kv_layers_quantized: Layers whose cache quantized.
        kv_layers_skipped: Cache class of the layers kept at full precision to their number.
        kv_layers_total: Layers that hold a cache.
        kv_partial: Some layer was kept at full precision.
        quantize_mode: ``stress`` or ``deployment``.
        quantize_start: First tokens of a chunk kept at full precision.
        corpus: Where the text comes from; its tokens are those of the chunks scored.
        n_chunks: Chunks that the numbers rest on: all that the setting has, also where another
            setting of the report has fewer.
        numbers: What was measured; None where nothing is. Its keys stand beside the row's.
        control_note: Why there is no control where one was asked for.
        noise_floor: Standard deviation of the KL mean over perturbed repeats, nats; None where
            none ran.
        noise_floors: The same of every metric, with upper ends and the number of repeats.
        warnings: What to know before quoting a number, those about the whole run first.
        kv_bytes_per_token: Stored bytes per token at the 16-bit deployment dtype; None where the
            run's facts do not say.
        kv_bytes_per_token_16bit: The same without quantization.
        kv_bytes_share: The one by the other.
        measured_kv_bytes_per_token: Bytes of the stored arrays per token; None where no codes are
            stored.
        working_set_bytes_per_token: Bytes per token that a deployment holds beside the stored ones:
            0 where attention reads the codes, else the dequantized sides at 16 bit. None where the
            run's facts do not say.
        kv_context: Tokens that the next two are about; None where the config does not say.
        kv_bytes_at_context: Stored bytes of so many tokens.
        kv_bytes_at_context_16bit: The same without quantization.
        path: ``deployed`` or ``dequantized``.
        arithmetic: What computed it, in words.
        same_as: Notation of the setting whose positions it shares, or None.
        runnable_by_mlx_lm: mlx-lm generates with this setting and model.
        engagement: What was quantized, per layer and side.
        device: Name of the device.
        mlx_version: Version of mlx; None where the run's facts do not say.
        mlx_lm_version: Version of mlx-lm; None likewise.
        peak_memory_bytes: Peak memory while it was scored; 0 where not measured.
        seconds: Time spent on it.
        beaten_by: The cheapest setting of the same start and path with no more bytes and no more
            drift on the chunks that all of them have; None where none is.
        on_frontier: No setting of the same start and path beats it.
        weights: The weights that it runs; None for the reference's.
        weight_keys: The same in mlx-quant-fidelity's keys, which stand beside the row's.
        dropped: Why it was scored no further than the others; "" where it was not dropped.
        kv_verdict: Tier by the bounds of the KV cache, of a row without weights of its own in a run
            that is judged by those of weights; None else.
        kv_verdict_shown: The same with ``?`` where it is open.
        letters: Letters of the groups that it is in, one after the other: settings that share one
            are not told apart. "" where it has none, see the report's ``groups``.
        comparability_key: 12 hexadecimal digits of all that the figures depend on beside the
            setting and the chunks: rows of equal keys may be ranked together. None where that is
            not known, or in reports of earlier versions.
        setting_fingerprint: 12 hexadecimal digits of what the setting's own weights resolved to,
            the revision and content of a repo or folder: rows of one setting are about the same
            weights where these are equal. None where the notation says everything.
    """

    setting: str
    status: Status
    failure: FailureFacts | None = None
    model_id: str
    model_revision: str | None
    kv_bits: int | None
    kv_group_size: int
    kv_method: str
    kv_method_params: dict[str, int]
    kv_method_provenance: dict[str, str] = field(default_factory=dict)
    drift_footing: DriftFooting | None = None
    cache_supported: bool = True
    kv_layers_quantized: int
    kv_layers_skipped: dict[str, int]
    kv_layers_total: int
    kv_partial: bool
    quantize_mode: str
    quantize_start: int
    corpus: CorpusProvenance
    n_chunks: int
    numbers: SettingNumbers | None = field(metadata=FLAT)
    control_note: str | None = None
    noise_floor: float | None = None
    noise_floors: NoiseFloor | None = None
    warnings: tuple[str, ...]
    kv_bytes_per_token: float | None
    kv_bytes_per_token_16bit: float
    kv_bytes_share: float | None = None
    measured_kv_bytes_per_token: float | None = None
    working_set_bytes_per_token: float | None = None
    kv_context: int | None = None
    kv_bytes_at_context: float | None = None
    kv_bytes_at_context_16bit: float | None = None
    path: str
    arithmetic: str = ""
    same_as: str | None = None
    runnable_by_mlx_lm: bool = False
    engagement: tuple[SideEngagement, ...] = ()
    device: str | None = None
    mlx_version: str | None = None
    mlx_lm_version: str | None = None
    peak_memory_bytes: int = 0
    seconds: float = 0.0
    beaten_by: str | None = None
    on_frontier: bool = False
    weights: WeightFacts | None = field(default=None, metadata=OMITTED_IF_NONE)
    weight_keys: WeightKeys | None = field(default=None, metadata=FLAT_OMITTED)
    dropped: str = field(default="", metadata=OMITTED)
    kv_verdict: Verdict | None = field(default=None, metadata=OMITTED_IF_NONE)
    kv_verdict_shown: str | None = field(default=None, metadata=OMITTED_IF_NONE)
    letters: str = field(default="", metadata=OMITTED)
    comparability_key: str | None = field(default=None, metadata=OMITTED_IF_NONE)
    setting_fingerprint: str | None = field(default=None, metadata=OMITTED_IF_NONE)

    @property
    def key_text(self) -> str | None:
        """The key as it is printed: with the fingerprint behind a ``+`` where there is one."""
        if self.comparability_key is None or self.setting_fingerprint is None:
            return self.comparability_key
        return f"{self.comparability_key}+{self.setting_fingerprint}"
