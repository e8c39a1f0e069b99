"""The report and the positions as CSV, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from scorer.stats.positions import Positions

# A spreadsheet runs a cell that begins with one of these, some also in their wide forms.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

_COLUMNS: dict[str, tuple[str, ...]] = {
    "model_id": ("model_id",),
    "model_revision": ("model_revision",),
    "setting": ("setting",),
    "status": ("status",),
    "error": ("failure", "message"),
    "verdict": ("verdict",),
    "verdict_shown": ("verdict_shown",),
    "kl_mean_nats": ("kl", "mean"),
    "kl_mean_low_nats": ("intervals", "kl_mean", "low"),
    "kl_mean_high_nats": ("intervals", "kl_mean", "high"),
    "kl_median_nats": ("kl", "median"),
    "kl_p90_nats": ("kl_quantiles", "p90"),
    "kl_p95_nats": ("kl_quantiles", "p95"),
    "kl_p99_nats": ("kl", "p99"),
    "kl_p99_low_nats": ("intervals", "kl_p99", "low"),
    "kl_p99_high_nats": ("intervals", "kl_p99", "high"),
    "kl_p99.9_nats": ("kl_quantiles", "p99.9"),
    "kl_max_nats": ("kl", "max"),
    "flip_rate": ("flip_rate",),
    "flip_rate_low": ("intervals", "flip_rate", "low"),
    "flip_rate_high": ("intervals", "flip_rate", "high"),
    "perplexity_ref": ("perplexity_ref",),
    "perplexity_quant": ("perplexity_quant",),
    "perplexity_delta": ("perplexity_delta",),
    "perplexity_delta_low": ("intervals", "perplexity_delta", "low"),
    "perplexity_delta_high": ("intervals", "perplexity_delta", "high"),
    "ln_perplexity_ratio_nats": ("ln_perplexity_ratio",),
    "nll_correlation": ("nll_correlation",),
    "delta_p_mean_percent": ("delta_p", "mean"),
    "delta_p_rms_percent": ("delta_p", "rms"),
    "control_kl_mean_nats": ("control_kl", "mean"),
    "control_flip_rate": ("control_flip_rate",),
    "kv_bytes_per_token": ("kv_bytes_per_token",),
    "kv_bytes_per_token_16bit": ("kv_bytes_per_token_16bit",),
    "measured_kv_bytes_per_token": ("measured_kv_bytes_per_token",),
    "on_frontier": ("on_frontier",),
    "same_as": ("same_as",),
    "kv_layers_quantized": ("kv_layers_quantized",),
    "kv_layers_total": ("kv_layers_total",),
    "quantize_start_tokens": ("quantize_start",),
    "path": ("path",),
    "corpus": ("corpus", "name"),
    "split": ("corpus", "split"),
    "chunk_length_tokens": ("corpus", "chunk_length"),
    "n_chunks": ("n_chunks",),
    "n_positions": ("n_positions",),
    "device": ("device",),
    "mlx_version": ("mlx_version",),
    "mlx_lm_version": ("mlx_lm_version",),
    "peak_memory_bytes": ("peak_memory_bytes",),
    "seconds": ("seconds",),
}


def to_csv(report: Mapping[str, Any]) -> str:
    """The report as CSV: a head with units, then one line per setting.

    Args:
        report: What :func:`scorer.report.build.build_report` gave, also after a JSON round trip.
    """
    run = {"protocol": report["run"]["job"]["protocol"]}
    lines = [_line([*_COLUMNS, *run])]
    for row in report["settings"]:
        values = [_lookup(row, path) for path in _COLUMNS.values()]
        lines.append(_line([*values, *run.values()]))
    return "".join(lines)


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
)


def positions_csv(settings: Iterable[tuple[str, Positions]]) -> Iterator[str]:
    """Lines of CSV: a head with units, then one line per setting and position.

    Args:
        settings: Setting in notation and its positions, in any order; sorted here by chunk and
            position.

    Yields:
        Lines with their newline; floats in full, infinity as ``inf``.

    Raises:
        SettingFailed: A setting's positions are damaged.
    """
    import numpy as np

    from scorer.stats.summary import delta_p_percent, in_order

    yield _line(_POSITION_HEAD)
    for setting, positions in settings:
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
        name = _cell(setting)
        for start in range(0, len(rows), 4096):
            block = (column[start : start + 4096].tolist() for column in columns)
            for values in zip(*block, strict=True):
                yield f"{name},{','.join(map(repr, values))}\n"


def _lookup(row: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = row
    for key in path:
        if value is None:
            return None
        value = value[key]
    return value


def _cell(value: Any) -> Any:
    """Text on one line that no spreadsheet runs; numbers as they are, absent values empty."""
    if not isinstance(value, str):
        return "" if value is None else value
    shown = inert(value)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def _line(values: Iterable[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([_cell(value) for value in values])
    return out.getvalue()
