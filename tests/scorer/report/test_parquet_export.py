"""Positions as Parquet hold what the run stores, a row group for each setting."""

from __future__ import annotations

import io

import numpy as np
import pyarrow.parquet as pq
from cli_saved_runs import save_run

import scorer
from scorer.report.formats.parquet_export import positions_parquet


def test_every_value_is_the_stored_one() -> None:
    run = save_run()
    stored = scorer.read_positions(run.path)
    assert list(stored) == [setting.key for setting in run.job.settings]
    file = pq.ParquetFile(io.BytesIO(b"".join(positions_parquet(stored.items()))))
    assert file.num_row_groups == len(stored)
    for i, (name, positions) in enumerate(stored.items()):
        table = file.read_row_group(i)
        assert set(table["setting"].to_pylist()) == {name}
        for column, values in (
            ("chunk", positions.chunk),
            ("position", positions.position),
            ("kl_nats", positions.kl),
            ("nll_ref_nats", positions.nll_ref),
            ("flip", positions.flips),
            ("top_quant", positions.top_quant),
            ("top_quant_p", np.exp(positions.top_quant_logprob)),
        ):
            np.testing.assert_array_equal(table[column].to_numpy(), values)


def test_a_run_is_read_by_its_id_and_by_a_beginning_of_it() -> None:
    run = save_run()
    assert scorer.read_positions(run.id).keys() == scorer.read_positions(run.id[:-1]).keys()
