"""The report and the positions as CSV, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from scorer.common.inert_text import inert
from scorer.common.json_values import json_values
from scorer.report.deployment_part import DeploymentPart, PlacedCell
from scorer.report.formats.markdown_roles import role_of, roles_of
from scorer.report.role_values import RoleDrift
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.stopping_part import StoppingPart
from scorer.report.tree import Report
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import WeightsSource, cache_of, weights_of

if TYPE_CHECKING:
    from scorer.stats.intervals import Interval
    from scorer.stats.positions import Positions

# A spreadsheet runs a cell that begins with one of these, some also in their wide forms.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

Value = str | float | bool | None

_ROW_FIRST: dict[str, Callable[[SettingRow], Value]] = {
    "model_id": lambda row: row.model_id,
    "model_revision": lambda row: row.model_revision,
    "setting": lambda row: row.setting,
    "status": lambda row: row.status,
    "error": lambda row: None if row.failure is None else row.failure.message,
}
_NUMBERS: dict[str, Callable[[SettingNumbers], Value]] = {
    "verdict": lambda found: found.verdict,
    "verdict_shown": lambda found: found.verdict_shown,
    "kl_mean_nats": lambda found: found.kl.mean,
    "kl_mean_low_nats": lambda found: _low(found.intervals.kl_mean),
    "kl_mean_high_nats": lambda found: _high(found.intervals.kl_mean),
    "kl_median_nats": lambda found: found.kl.median,
    "kl_p90_nats": lambda found: found.kl_quantiles["p90"],
    "kl_p95_nats": lambda found: found.kl_quantiles["p95"],
    "kl_p99_nats": lambda found: found.kl.p99,
    "kl_p99_low_nats": lambda found: _low(found.intervals.kl_p99),
    "kl_p99_high_nats": lambda found: _high(found.intervals.kl_p99),
    "kl_p99.9_nats": lambda found: found.kl_quantiles["p99.9"],
    "kl_max_nats": lambda found: found.kl.max,
    "flip_rate": lambda found: found.flip_rate,
    "flip_rate_low": lambda found: _low(found.intervals.flip_rate),
    "flip_rate_high": lambda found: _high(found.intervals.flip_rate),
    "perplexity_ref": lambda found: found.perplexity_ref,
    "perplexity_quant": lambda found: found.perplexity_quant,
    "perplexity_delta": lambda found: found.perplexity_delta,
    "perplexity_delta_low": lambda found: _low(found.intervals.perplexity_delta),
    "perplexity_delta_high": lambda found: _high(found.intervals.perplexity_delta),
    "ln_perplexity_ratio_nats": lambda found: found.ln_perplexity_ratio,
    "nll_correlation": lambda found: found.nll_correlation,
    "delta_p_mean_percent": lambda found: found.delta_p["mean"],
    "delta_p_rms_percent": lambda found: found.delta_p["rms"],
    "control_kl_mean_nats": lambda found: (
        None if found.control_kl is None else found.control_kl.mean
    ),
    "control_flip_rate": lambda found: found.control_flip_rate,
}
_ROW_LAST: dict[str, Callable[[SettingRow], Value]] = {
    "kv_bytes_per_token": lambda row: row.kv_bytes_per_token,
    "kv_bytes_per_token_16bit": lambda row: row.kv_bytes_per_token_16bit,
    "measured_kv_bytes_per_token": lambda row: row.measured_kv_bytes_per_token,
    "on_frontier": lambda row: row.on_frontier,
    "group": lambda row: row.letters or None,
    "same_as": lambda row: row.same_as,
    "kv_layers_quantized": lambda row: row.kv_layers_quantized,
    "kv_layers_total": lambda row: row.kv_layers_total,
    "quantize_start_tokens": lambda row: row.quantize_start,
    "path": lambda row: row.path,
    "corpus": lambda row: row.corpus.name,
    "split": lambda row: row.corpus.split,
    "chunk_length_tokens": lambda row: row.corpus.chunk_length,
    "n_chunks": lambda row: row.n_chunks,
    "n_positions": lambda row: None if row.numbers is None else row.numbers.n_positions,
    "device": lambda row: row.device,
    "mlx_version": lambda row: row.mlx_version,
    "mlx_lm_version": lambda row: row.mlx_lm_version,
    "peak_memory_bytes": lambda row: row.peak_memory_bytes,
    "seconds": lambda row: row.seconds,
    "comparability_key": lambda row: row.comparability_key,
    "setting_fingerprint": lambda row: row.setting_fingerprint,
}


_WEIGHTS: dict[str, Callable[[SettingRow, Report], Value]] = {
    "weights": lambda row, _: _key(weights_of(parse_setting(row.setting))),
    "kv_cache": lambda row, _: _key(cache_of(parse_setting(row.setting))),
    "weights_model_id": lambda row, _: None if row.weights is None else row.weights.model_id,
    "weights_revision": lambda row, _: None if row.weights is None else row.weights.model_revision,
    "bits_per_weight": lambda row, report: _weights(row, report, "bits_per_weight"),
    "weight_bytes": lambda row, report: _weights(row, report, "weight_bytes"),
    "weights_precision": lambda row, report: _weights(row, report, "precision"),
    "reference_precision": lambda _, report: (
        None if report.reference.weights is None else report.reference.weights.precision
    ),
    "kv_verdict_shown": lambda row, _: row.kv_verdict_shown,
    "dropped": lambda row, _: row.dropped or None,
}
_PLACE: dict[str, Callable[[DeploymentPart], Value]] = {
    "memory_bytes": lambda place: place.memory,
    "context_tokens": lambda place: place.context,
    "parallel": lambda place: place.parallel,
    "deployment_device": lambda place: place.device,
}
_CELL: dict[str, Callable[[PlacedCell], Value]] = {
    "cache_bytes": lambda cell: cell.cache_bytes,
    "prefill_peak_bytes": lambda cell: cell.peak_bytes,
    "prefill_step_tokens": lambda cell: cell.step,
    "total_bytes": lambda cell: cell.total_bytes,
    "least_total_bytes": lambda cell: cell.least_bytes,
    "fits": lambda cell: cell.fits,
}


_BY_ROLE: dict[str, Callable[[RoleDrift], Value]] = {
    "positions": lambda found: found.n_positions,
    "kl_mean_nats": lambda found: found.kl_mean,
    "kl_mean_low_nats": lambda found: _low(found.kl_mean_interval),
    "kl_mean_high_nats": lambda found: _high(found.kl_mean_interval),
    "kl_p99_nats": lambda found: found.kl_p99,
    "flip_rate": lambda found: found.flip_rate,
    "perplexity_ref": lambda found: found.perplexity_ref,
    "perplexity_quant": lambda found: found.perplexity_quant,
}
_STOPPING = ("standing", "stopped", "look", "looks", "look_chunks", "most_chunks")
"""Columns of a run that stops once it is settled."""


def to_csv(report: Report) -> str:
    """The report as CSV: a head with units, then one line per setting.

    Where weights are compared, somebody asked where a model fits, or the run stops once it is
    settled, there are columns for that, and of a chat text for each role.
    """
    more = report.grid is not None or report.deployment is not None
    further = (*_WEIGHTS, *_PLACE, *_CELL, "picked") if more else ()
    stops = () if report.stopping is None else _STOPPING
    roles = roles_of([(row, row.numbers) for row in report.settings if row.numbers is not None])
    by_role = [f"{_cell(role)}_{name}" for role in roles for name in _BY_ROLE]
    by_role += ["roles_counted"] if roles else []
    names = [*_ROW_FIRST, *_NUMBERS, *_ROW_LAST, "protocol", *further, *stops, *by_role]
    lines = [csv_line(names)]
    for row in report.settings:
        values = [
            *(value(row) for value in _ROW_FIRST.values()),
            *(None if row.numbers is None else value(row.numbers) for value in _NUMBERS.values()),
            *(value(row) for value in _ROW_LAST.values()),
            report.run.job.protocol,
            *(_further(row, report) if more else ()),
            *(_stopping(row, report.stopping) if report.stopping is not None else ()),
            *(_roles(row, roles, report.run.job.roles) if roles else ()),
        ]
        lines.append(csv_line(json_values(values, words=True)))
    return "".join(lines)


def _roles(row: SettingRow, roles: Iterable[str], counted: Iterable[str]) -> Iterator[Value]:
    for role in roles:
        found = None if row.numbers is None else role_of(row.numbers, role)
        yield from (None if found is None else value(found) for value in _BY_ROLE.values())
    yield ", ".join(counted) or "all"


def _stopping(row: SettingRow, part: StoppingPart) -> Iterator[Value]:
    found = part.of(row.setting)
    yield None if found is None else found.standing
    yield part.stopped
    yield part.look
    yield len(part.looks)
    yield part.n_chunks
    yield part.most_chunks


def _further(row: SettingRow, report: Report) -> Iterator[Value]:
    yield from (value(row, report) for value in _WEIGHTS.values())
    place = report.deployment
    cell = None if place is None else place.cell(row.setting)
    yield from (None if place is None else value(place) for value in _PLACE.values())
    yield from (None if cell is None else value(cell) for value in _CELL.values())
    yield place is not None and place.pick == row.setting


def _key(part: WeightsSource | KVSetting | None) -> str | None:
    return None if part is None else part.key


def _weights(
    row: SettingRow, report: Report, name: Literal["bits_per_weight", "weight_bytes", "precision"]
) -> Value:
    """Of the weights that a row runs: its own or the reference's; None where that is not known."""
    own = row.weights
    if own is None and weights_of(parse_setting(row.setting)) is None:
        own = report.reference.weights
    if own is None:
        return None
    value: Value = getattr(own, name)
    return value


def _low(ends: Interval | None) -> float | None:
    return None if ends is None else ends.low


def _high(ends: Interval | None) -> float | None:
    return None if ends is None else ends.high


_POSITION_HEAD = (
    "setting",
    "chunk",
    "position",
    "token",
    "kl_nats",
    "nll_ref_nats",
    "nll_quant_nats",
    "delta_p_percent",
    "flip",
    "top_ref",
    "top_ref_p",
    "top_quant",
    "top_quant_p",
    "comparability_key",
)


def positions_csv(
    settings: Iterable[tuple[str, Positions]],
    *,
    keys: Mapping[str, str | None] = MappingProxyType({}),
    roles: Iterable[Sequence[str]] | None = None,
) -> Iterator[str]:
    """Lines of CSV: a head with units, then one line per setting and position.

    Args:
        settings: Setting in notation and its positions; those of a setting whole, or in parts of
            ascending chunks. Each part is sorted here by chunk and position.
        keys: Setting in notation to the comparability key of its row, as it is printed.
        roles: Of a chat text, the role of each position of each part, which is in order then; it
            stands in a last column.

    Yields:
        Lines with their newline; floats in full, infinity as ``inf``.

    Raises:
        SettingFailed: A setting's positions are damaged.
    """
    import numpy as np

    from scorer.stats.summary import delta_p_percent, in_order

    yield csv_line((*_POSITION_HEAD, *(() if roles is None else ("role",))))
    each = itertools.repeat(None) if roles is None else roles
    for (setting, positions), said in zip(settings, each, strict=roles is not None):
        if len(positions) == 0:
            continue
        rows = in_order(positions)
        columns = (
            rows.chunk,
            rows.position,
            rows.token,
            rows.kl,
            rows.nll_ref,
            rows.nll_quant,
            delta_p_percent(rows),
            rows.flips.astype(np.int32),
            rows.top_ref,
            np.exp(rows.top_ref_logprob),
            rows.top_quant,
            np.exp(rows.top_quant_logprob),
        )
        name, key = _cell(setting), _cell(keys.get(setting))
        for start in range(0, len(rows), 4096):
            block = (column[start : start + 4096].tolist() for column in columns)
            lines = (f"{name},{','.join(map(repr, v))},{key}" for v in zip(*block, strict=True))
            if said is None:
                yield from (f"{line}\n" for line in lines)
            else:
                of = said[start : start + 4096]
                yield from (f"{a},{_cell(b)}\n" for a, b in zip(lines, of, strict=True))


def _cell(value: Value) -> str | float:
    """Text on one line that no spreadsheet runs; numbers as they are, absent values empty."""
    if not isinstance(value, str):
        return "" if value is None else value
    shown = inert(value)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def csv_line(values: Iterable[Value]) -> str:
    """A line of CSV with its newline; no spreadsheet runs a cell of it."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([_cell(value) for value in values])
    return out.getvalue()
