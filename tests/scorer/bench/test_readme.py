"""The README's figures: how they are written, and that they are those that are measured."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from markdown_cells import unlike_plain
from project import ROOT
from real_models import REPO, use_real_cache
from report_builders import built, make_facts, random_positions, scored

from scorer.bench.readme.__main__ import main
from scorer.bench.readme.architectures import architectures_block
from scorer.bench.readme.figures import (
    CHUNKS,
    SETTINGS,
    Figures,
    OtherArithmetic,
    figures_block,
    figures_lines,
    of_report,
)
from scorer.bench.readme.sections import (
    FIGURES,
    SECTIONS,
    SPEED,
    begin_of,
    end_of,
    section_of,
    with_section,
)
from scorer.bench.readme.speed import Speed, measured_speed, speed_block
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
    lines = figures_lines(report(), [own], "2 cores of a CPU")
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
    lines = figures_lines(report(), [own, *others], "a CPU")
    assert any(line.startswith("| near ") and "0.0039, within" in line for line in lines)
    assert any(line.startswith("| far ") and "0.0041, above" in line for line in lines)
    unknown = OtherArithmetic("own", own.figures, {})
    lines = figures_lines(report(), [unknown, *others], "a CPU")
    assert not any("within" in line or "above" in line for line in lines)


def test_a_section_is_put_between_its_marks() -> None:
    begin, end = begin_of(SPEED), end_of(SPEED)
    other = f"{begin_of(FIGURES)}\n\nkept\n\n{end_of(FIGURES)}\n"
    made = with_section(f"before\n{begin}\nold\n{end}\n{other}", SPEED, "new")
    assert made == f"before\n{begin}\n\nnew\n\n{end}\n{other}"
    assert section_of(made, SPEED) == "new" and with_section(made, SPEED, "new") == made
    assert section_of(made, FIGURES) == "kept"
    with pytest.raises(QfidError, match="no marks"):
        with_section("nothing", SPEED, "new")
    assert all(section_of(README, section) for section in SECTIONS)


def test_nothing_is_measured_for_a_file_that_has_no_place_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "README.md"
    file.write_text("no marks")
    assert main(["no/model", "no/model", "--write", str(file)]) == 1
    assert "no marks to write the section figures" in capsys.readouterr().err
    assert main(["no/model", "no/model", "--sections", "speed,weather"]) == 2
    assert "no section `weather`" in capsys.readouterr().err


def test_architectures_are_counted_and_named() -> None:
    why = "architecture `{}` cannot be scored: its cache is odd"
    results = {
        "b": {"outcome": "scored", "mlx_lm_runs": True},
        "a": {"outcome": "scored", "mlx_lm_runs": False},
        "m": {"outcome": "nothing to quantize", "why": ""},
        "z": {"outcome": "refused", "why": why.format("z")},
        "y": {"outcome": "refused", "why": why.format("y")},
    }
    text = architectures_block(results)
    assert text.startswith(f"Of the 5 architectures of mlx-lm {version('mlx-lm')} that build")
    assert "2 can be scored. 1 have no keys" in text and "quantize (`m`), and 2 are" in text
    assert "(`y`, `z`: its cache is odd)" in text and text.endswith("every layer of 1 of the 2.")
    with pytest.raises(QfidError, match="neither scored nor refused: c"):
        architectures_block(results | {"c": {"outcome": "broken", "why": ""}})


def test_times_are_written_with_what_they_are_of() -> None:
    found = {"bare_s_per_chunk": 1.234, "ratio_to_bare": 1.041, "chunk_length": 512, "repeats": 3}
    speed = Speed("2 cores", 0.26, found, found | {"bare_s_per_chunk": 3.0}, 36.2, None, 0.0)
    text = speed_block(speed)
    assert text.startswith("2 cores; load of the machine before: 0.3.\n")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [figures(row) for row in rows] == [[1.23, 1.04], [3.0, 1.04]]
    assert "on 2 chunks of FULL take 36 s as a whole process." in text and "compare kv" not in text
    text = speed_block(replace(speed, peer="mlx-quant-fidelity 0.10.0", peer_s=436.4))
    assert "`mlx-quant-fidelity compare kv` 0.10.0 takes 436 s" in text


def figures(row: str) -> list[float]:
    return [float(found) for found in re.findall(r"\d+\.\d+", row.replace("\u202f", ""))]


def test_what_the_text_says_of_the_table_is_so() -> None:
    """KL of 0.006 goes with one changed top token in twenty, 0.12 with one in five."""
    rows = {
        line.split("|")[1].strip(): line
        for line in section_of(README, FIGURES).splitlines()
        if "|" in line
    }
    for setting, kl, flips in (("`6`", 0.006, 5), ("`4`", 0.12, 20)):
        mean, flipped = (figures(rows[setting].split("|")[i])[0] for i in (3, 5))
        assert mean == pytest.approx(kl, rel=0.1) and flipped == pytest.approx(flips, rel=0.1)


def settled(text: str, *, with_peer: bool) -> list[str]:
    """Lines whose width does not depend on that of other rows."""
    lines = [" ".join(re.sub(r"-{3,}:?", "-", line).split()) for line in text.splitlines()]
    return [line for line in lines if with_peer or not line.startswith("| mlx-quant-fidelity")]


def real_models(monkeypatch: pytest.MonkeyPatch, data: Path) -> tuple[str, str]:
    models = f"{REPO}-4bit", f"{REPO}-fp32"
    use_real_cache(monkeypatch, data, *models)
    return models


@pytest.mark.slow
def test_the_readme_says_what_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Some 10 minutes on two cores."""
    models = real_models(monkeypatch, tmp_path)
    peer = os.environ.get("QFID_PEER_PYTHON")
    made = figures_block(*models, peer)
    kept = section_of(README, FIGURES)
    if made.splitlines()[0] != kept.splitlines()[0]:
        pytest.skip(f"the README's figures are those of another machine: {kept.splitlines()[0]}")
    with_peer = peer is not None
    assert settled(made, with_peer=with_peer) == settled(kept, with_peer=with_peer)


@pytest.mark.slow
def test_the_readme_says_how_fast_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Some 4 minutes on two cores, where no other process takes them."""
    if os.getloadavg()[0] > 0.5:
        pytest.skip("the machine has other work: times would not be those of scoring")
    quantized, full = real_models(monkeypatch, tmp_path)
    speed = measured_speed(quantized, full, None)
    kept = section_of(README, SPEED)
    if not kept.startswith(f"{speed.where};"):
        pytest.skip(f"the README's times are those of another machine: {kept.splitlines()[0]}")
    rows = [figures(line) for line in kept.splitlines() if line.startswith("| `")]
    for (bare_s, ratio), found in zip(rows, (speed.own, speed.mlx), strict=True):
        assert found["bare_s_per_chunk"] == pytest.approx(bare_s, rel=0.3)
        assert found["ratio_to_bare"] == pytest.approx(ratio, abs=0.05)
    process = re.search(r"(\d+) s as a whole process", kept)
    assert process and speed.process_s == pytest.approx(float(process[1]), rel=0.3)
