"""mlx-quant-fidelity's own reader takes what ``--format mqf-json`` writes, and renders it."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path

import peer
import pytest
from tiny_runs import Small

from qfid_tui.cli import main

pytestmark = peer.NEEDS_PEER

READ = """
import dataclasses, json, sys
from mlx_quant_fidelity.badge import render_badge_markdown
from mlx_quant_fidelity.corpora.provenance import CorpusProvenance
from mlx_quant_fidelity.report import (
    FidelityReport, fidelity_report_from_dict, render_json, render_markdown
)
with open(sys.argv[1]) as file:
    report = fidelity_report_from_dict(json.load(file))
names = lambda cls: [field.name for field in dataclasses.fields(cls)]
print(json.dumps({
    "json": render_json(report),
    "markdown": render_markdown(report),
    "badge": render_badge_markdown(report),
    "keys": names(FidelityReport),
    "corpus": names(CorpusProvenance),
}))
"""


# The same for its report of weights.
READ_WEIGHTS = (
    READ.replace("fidelity_report_from_dict", "weight_report_from_dict")
    .replace("render_markdown", "render_weight_markdown")
    .replace("FidelityReport", "WeightFidelityReport")
)


def read(path: Path, script: str = READ) -> dict[str, str]:
    """What the peer makes of a report of ours."""
    found = json.loads(peer.peer("-c", script, str(path)))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    "options",
    [
        "--kv-bits 8",
        "--kv-bits 4 --kv-group-size 32 --quantize-start 16",
        "--settings k8v4",
        "--settings k16v4",
        "--settings 4~dequantized",
        "--kv-bits 4 --control --kernel mlx-lm",
        "--kv-bits 2 --chunks spread",
        "--kv-bits 8,4 --only 4",
    ],
)
def test_its_reader_takes_our_report(small: Small, tmp_path: Path, options: str) -> None:
    path = tmp_path / "report.json"
    words = f"--chunk-length 64 --max-chunks 3 --format mqf-json --output {path} {options}"
    source = ["kv", str(small.model), "--corpus", str(small.text)]
    assert main([*source, *shlex.split(words)]) == 0
    found = read(path)
    # It writes again what it has read: every value has the form of its own.
    assert found["json"] + "\n" == path.read_text()
    assert set(found["keys"]) == peer.KEYS and set(found["corpus"]) == peer.CORPUS_KEYS
    assert "KV-fidelity: `tiny-llama`" in found["markdown"]
    assert found["badge"].startswith("![KV fidelity](https://img.shields.io/badge/")


def test_its_reader_takes_infinity(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    words = f"--chunk-length 64 --max-chunks 1 --kv-bits 4 --format mqf-json --output {path}"
    assert main(["kv", str(small.model), "--corpus", str(small.text), *shlex.split(words)]) == 0
    values = json.loads(path.read_text())
    values["kl"]["max"] = math.inf
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
    found = read(path)
    assert found["json"] + "\n" == path.read_text() and "KL max | inf nats" in found["markdown"]


@pytest.mark.parametrize(
    "options",
    [
        "--bits 8:32",
        "--bits mxfp4",
        "--bits 8:32,4:32 --only w4:32",
        "--bits 4:32 --kv 8 --only w4:32 --chunks spread",
    ],
)
def test_its_reader_takes_our_report_of_weights(small: Small, tmp_path: Path, options: str) -> None:
    path = tmp_path / "report.json"
    words = f"--chunk-length 64 --max-chunks 3 --format mqf-json --output {path} {options}"
    source = ["weights", str(small.model), "--corpus", str(small.text)]
    assert main([*source, *shlex.split(words)]) == 0
    found = read(path, READ_WEIGHTS)
    assert found["json"] + "\n" == path.read_text()
    assert set(found["keys"]) == set(json.loads(path.read_text()))
    assert "# Weight-fidelity: `w" in found["markdown"]
    assert found["badge"].startswith("![Weight fidelity](https://img.shields.io/badge/")
