"""The positions of a run as Parquet, for data frames: a row for each setting and position."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from scorer.common.folders import temporary_folder

if TYPE_CHECKING:
    from scorer.stats.positions import Positions

_BLOCK = 1 << 20
# Rows of a row group at most, unless they come as one part: what is in memory at a time.
_ROWS = 1 << 17


def positions_parquet(
    settings: Iterable[tuple[str, Positions]],
    *,
    keys: Mapping[str, str | None] = MappingProxyType({}),
    roles: Iterable[Sequence[str]] | None = None,
) -> Iterator[bytes]:
    """Make a Parquet file with the columns of the format ``positions``.

    A row group holds positions of one setting only, so that a reader can take one without the
    others. The file is made in a temporary file, not in memory.

    Args:
        settings: Setting in notation and its positions; those of a setting whole, or in parts of
            ascending chunks. Each part is sorted here by chunk and position.
        keys: Setting in notation to the comparability key of its row, as it is printed.
        roles: As of :func:`~scorer.report.formats.csv_export.positions_csv`.

    Yields:
        The bytes of the file, in order.

    Raises:
        SettingFailed: A setting's positions are damaged.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from scorer.stats.summary import delta_p_percent, in_order

    schema = pa.schema(
        [
            ("setting", pa.string()),
            *((name, pa.int32()) for name in ("chunk", "position", "token")),
            *(
                (name, pa.float64())
                for name in ("kl_nats", "nll_ref_nats", "nll_quant_nats", "delta_p_percent")
            ),
            ("flip", pa.bool_()),
            ("top_ref", pa.int32()),
            ("top_ref_p", pa.float64()),
            ("top_quant", pa.int32()),
            ("top_quant_p", pa.float64()),
            ("comparability_key", pa.string()),
            *([] if roles is None else [("role", pa.string())]),
        ]
    )
    with tempfile.TemporaryFile(dir=temporary_folder()) as file:
        # Almost every float is another: a dictionary of them would take memory for nothing.
        integers = [field.name for field in schema if not pa.types.is_floating(field.type)]
        with pq.ParquetWriter(file, schema, use_dictionary=integers) as writer:
            for setting, positions, said in _row_groups(settings, roles):
                rows = in_order(positions)
                of_all = np.zeros(len(rows), np.int32)
                name, key = (
                    pa.DictionaryArray.from_arrays(of_all, pa.array([text], pa.string())).cast(
                        pa.string()
                    )
                    for text in (setting, keys.get(setting))
                )
                columns = [
                    name,
                    rows.chunk,
                    rows.position,
                    rows.token,
                    rows.kl,
                    rows.nll_ref,
                    rows.nll_quant,
                    delta_p_percent(rows),
                    rows.flips,
                    rows.top_ref,
                    np.exp(rows.top_ref_logprob),
                    rows.top_quant,
                    np.exp(rows.top_quant_logprob),
                    key,
                    *([] if roles is None else [said]),
                ]
                arrays = [
                    pa.array(column, type=field.type)
                    for column, field in zip(columns, schema, strict=True)
                ]
                writer.write_table(pa.table(arrays, schema=schema), row_group_size=len(rows))
        file.seek(0)
        while block := file.read(_BLOCK):
            yield block


def _row_groups(
    settings: Iterable[tuple[str, Positions]], roles: Iterable[Sequence[str]] | None
) -> Iterator[tuple[str, Positions, list[str]]]:
    """The parts of each setting joined with their roles, as many as make a row group."""
    from scorer.stats.positions import Positions

    each: Iterable[Sequence[str]] = itertools.repeat(()) if roles is None else roles
    zipped = zip(settings, each, strict=roles is not None)
    for setting, parts in itertools.groupby(zipped, key=lambda part: part[0][0]):
        group: list[Positions] = []
        said: list[str] = []
        for (_, positions), own in parts:
            if group and sum(map(len, group)) + len(positions) > _ROWS:
                yield setting, Positions.concatenate(group), said
                group, said = [], []
            if len(positions):
                group.append(positions)
                said += own
        if group:
            yield setting, Positions.concatenate(group), said
