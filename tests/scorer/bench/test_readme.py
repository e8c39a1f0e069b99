"""The README's figures: how they are written, and that they are those that are measured."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from markdown_cells import unlike_plain
from project import ROOT
from real_models import REPO, use_real_cache
from report_builders import built, make_facts, random_positions, scored

from scorer.bench.readme import (
    BEGIN,
    CHUNKS,
    END,
    SETTINGS,
    Figures,
    OtherArithmetic,
    block,
    block_of,
    of_report,
    readme_block,
    with_block,
)
from scorer.common.errors import QfidError
from scorer.report.tree import Report
from scorer.stats.noise_floor import NoiseFloor, NoiseOf

README = (Path(ROOT) / "README.md").read_text("utf-8")
FLOOR = NoiseFloor(repeats=4, kl_mean=NoiseOf(0.001, 0.004))


def report() -> Report:
    settings = [
        scored("8", random_positions(), noise_floor=FLOOR),
        scored("4", random_positions(scale=0.2, seed=1), noise_floor=FLOOR),
    ]
    return Report.from_json(built(make_facts("8,4"), settings))


def test_the_block_names_machine_versions_and_intervals() -> None:
    own = of_report("`qfid`: NumPy", report())
    lines = block(report(), [own], "2 cores of a CPU")
    assert lines[0].startswith("2 cores of a CPU, mlx 0.32.4, mlx-lm 0.32.2, numpy 2.4.6; cpu, ")
    assert f"qfid kv MODEL --settings {SETTINGS} --chunks spread --max-chunks {CHUNKS}" in lines
    rows = [line for line in lines if line.startswith("| `8`") or line.startswith("| `4`")]
    assert unlike_plain("\n".join(lines)) == []
    assert len(rows) == 2 and "12240 (53 %)" in rows[0]
    assert any(line.startswith("± or (low-high): 95 % interval over 12 chunks") for line in lines)
    assert "all pairs of settings are told apart" in "\n".join(lines)


def test_within_the_noise_floor_is_said_where_one_was_measured() -> None:
    own = of_report("own", report())
    kl = own.figures["8"].kl_mean
    near, far = Figures(kl + 0.0039, 0.1, 0.01, 20.0), Figures(kl + 0.0041, 0.1, 0.01, 20.0)
    others = [OtherArithmetic("near", {"8": near}, {}), OtherArithmetic("far", {"8": far}, {})]
    lines = block(report(), [own, *others], "a CPU")
    assert any(line.startswith("| near ") and "0.0039, within" in line for line in lines)
    assert any(line.startswith("| far ") and "0.0041, above" in line for line in lines)
    unknown = OtherArithmetic("own", own.figures, {})
    lines = block(report(), [unknown, *others], "a CPU")
    assert not any("within" in line or "above" in line for line in lines)


def test_the_block_is_put_between_the_marks() -> None:
    made = with_block(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new")
    assert made == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert block_of(made) == "new" and with_block(made, "new") == made
    with pytest.raises(QfidError, match="no marks"):
        with_block("nothing", "new")
    assert block_of(README)


def figures(row: str) -> list[float]:
    return [float(found) for found in re.findall(r"\d+\.\d+", row.replace("\u202f", ""))]


def test_what_the_text_says_of_the_table_is_so() -> None:
    """KL of 0.006 goes with one changed top token in twenty, 0.12 with one in five."""
    rows = {
        line.split("|")[1].strip(): line for line in block_of(README).splitlines() if "|" in line
    }
    for setting, kl, flips in (("`6`", 0.006, 5), ("`4`", 0.12, 20)):
        mean, flipped = (figures(rows[setting].split("|")[i])[0] for i in (3, 5))
        assert mean == pytest.approx(kl, rel=0.1) and flipped == pytest.approx(flips, rel=0.1)


def settled(text: str, *, with_peer: bool) -> list[str]:
    """Lines whose width does not depend on that of other rows."""
    lines = [" ".join(re.sub(r"-{3,}:?", "-", line).split()) for line in text.splitlines()]
    return [line for line in lines if with_peer or not line.startswith("| mlx-quant-fidelity")]


@pytest.mark.slow
def test_the_readme_says_what_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Some 10 minutes on two cores."""
    models = f"{REPO}-4bit", f"{REPO}-fp32"
    use_real_cache(monkeypatch, tmp_path, *models)
    peer = os.environ.get("QFID_PEER_PYTHON")
    made = readme_block(*models, peer)
    kept = block_of(README)
    if made.splitlines()[0] != kept.splitlines()[0]:
        pytest.skip(f"the README's figures are those of another machine: {kept.splitlines()[0]}")
    with_peer = peer is not None
    assert settled(made, with_peer=with_peer) == settled(kept, with_peer=with_peer)
