"""Figures of a report: which there are, that nothing in a name becomes a formula, same bytes."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from report_builders import make_facts, random_positions, scored
from weights_reports import weights_report

from scorer.common.errors import InputError
from scorer.report.build import build_report
from scorer.report.figures import write_figures
from scorer.report.tree import Report

pytest.importorskip("matplotlib", reason="matplotlib is an extra")

SCALES = {"8": 0.0002, "4": 0.05}


@functools.cache
def report_of(names: str = "8,4") -> Report:
    rows = [
        scored(name, random_positions(n_chunks=4, n_depth=40, scale=SCALES.get(name, 0.01)))
        for name in names.split(",")
    ]
    return build_report(make_facts(names, n_chunks=4, chunk_length=41), rows)


def test_every_chart_is_written_as_svg_and_png(tmp_path: Path) -> None:
    found = write_figures(report_of(), tmp_path / "made" / "here")
    stems = ["cost-and-drift", "chunks", "depth", "kl-by-confidence", "flips-by-confidence"]
    assert [path.name for path in found] == [f"{s}.{e}" for s in stems for e in ("svg", "png")]
    for path in found:
        if path.suffix == ".svg":
            assert ET.parse(path).getroot().tag.endswith("svg")
        else:
            data = path.read_bytes()
            assert data.startswith(b"\x89PNG") and len(data) > 5000


def test_the_same_report_gives_the_same_files(tmp_path: Path) -> None:
    one = write_figures(report_of("8"), tmp_path / "one", ["svg"])
    other = write_figures(report_of("8"), tmp_path / "other", ["svg"])
    for a, b in zip(one, other, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name


def test_a_frontier_for_each_start(tmp_path: Path) -> None:
    names = {path.stem for path in write_figures(report_of("8,4,8@4,4@4"), tmp_path, ["svg"])}
    assert {"cost-and-drift-1", "cost-and-drift-2", "depth-from-0", "depth-from-4"} <= names


def test_weights_stand_by_their_total_bytes(tmp_path: Path) -> None:
    found = write_figures(weights_report(), tmp_path, ["svg"])
    assert "cost-and-drift" in {path.stem for path in found}


def test_names_are_no_formulas_and_numbers_may_be_anything(tmp_path: Path) -> None:
    report = report_of()
    hostile = []
    for row in report.settings:
        numbers = row.numbers
        assert numbers is not None
        kl = dataclasses.replace(numbers.kl, mean=math.inf)
        per_chunk = (math.inf, 0.0, -1e-9, 1e-3)
        spans = tuple(dataclasses.replace(s, kl_mean=math.nan) for s in numbers.kl_by_depth)
        changed = dataclasses.replace(
            numbers, kl=kl, kl_mean_per_chunk=per_chunk, kl_by_depth=spans
        )
        name = f"w=./$\\frac{{1}}{{0}}$<b>&{row.setting}"
        hostile.append(dataclasses.replace(row, setting=name, numbers=changed))
    made = dataclasses.replace(report, settings=tuple(hostile))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in write_figures(made, tmp_path, ["svg"]):
            if path.suffix == ".svg":
                ET.parse(path)


def test_what_cannot_be_drawn_or_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = dataclasses.replace(report_of(), settings=(), frontiers=())
    with pytest.raises(InputError, match="nothing is scored yet"):
        write_figures(nothing, tmp_path)
    taken = tmp_path / "file"
    taken.write_text("", "utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        write_figures(report_of(), taken)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="drawn by matplotlib") as error:
        write_figures(report_of(), tmp_path)
    assert "qfid[figures]" in error.value.hint


def test_points_stand_where_the_numbers_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    seen: dict[str, Figure] = {}
    plain = Figure.savefig

    def noted(self: Figure, path: Path, **options: object) -> None:
        seen[Path(path).stem] = self
        plain(self, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", noted)
    report = report_of()
    write_figures(report, tmp_path, ["svg"])
    depth = seen["depth"].axes[0].get_lines()
    for line, row in zip(depth, report.settings, strict=True):
        assert row.numbers is not None and line.get_label() == row.setting
        means = [span.kl_mean for span in row.numbers.kl_by_depth]
        assert np.array_equal(np.asarray(line.get_ydata(), float), np.asarray(means, float))
    cost = seen["cost-and-drift"].axes[0]
    places = {tuple(np.ravel(c[0].get_xydata())) for c in cost.containers}  # type: ignore[index]
    assert places == {
        (float(row.kv_bytes_per_token or 0), row.numbers.kl.mean)
        for row in report.settings
        if row.numbers is not None
    }
