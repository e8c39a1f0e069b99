"""Every architecture of the installed mlx-lm: scored right, or refused with a reason."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from project import ROOT, SUPPORT

from scorer.models.architectures import mlx_lm_folder, refusal

pytestmark = pytest.mark.slow

NOTHING_TO_QUANTIZE = frozenset({"mamba", "mamba2", "rwkv7"})
AT_ONCE = 21


def _architectures() -> list[str]:
    folder = mlx_lm_folder()
    assert folder is not None
    has_model = re.compile(r"^class Model\b|^from \S+ import [^#\n]*\bModel\b", re.MULTILINE)
    files = sorted((folder / "models").glob("*.py"))
    return [file.stem for file in files if has_model.search(file.read_text("utf-8"))]


ARCHITECTURES = _architectures()


def _check(names: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Results by name; where the worker dies, the one it was at is broken and the rest go on."""
    found: dict[str, dict[str, Any]] = {}
    while rest := [name for name in names if name not in found]:
        attempt = folder / rest[0]
        script = SUPPORT / "architecture_worker.py"
        worker = subprocess.run(
            [sys.executable, str(script), str(attempt), *rest],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=1200,
        )
        for line in worker.stdout.splitlines():
            result = json.loads(line)
            found[result.pop("name")] = result
        at = next((n for n in rest if found.get(n, {}).get("outcome") == "started"), None)
        if at is None and not all(name in found for name in rest):
            at = rest[0]
        if at is not None:
            end = worker.stderr.strip().splitlines()[-1:]
            why = f"the process ended with {worker.returncode}: {' '.join(end)}"
            found[at] = {"outcome": "broken", "why": why}
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("architectures")
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ARCHITECTURES), AT_ONCE):
        found |= _check(ARCHITECTURES[start : start + AT_ONCE], folder)
    return found


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_scores_or_says_why_not(name: str, results: dict[str, dict[str, Any]]) -> None:
    found = results[name]
    if refusal(name) is not None:
        assert found["outcome"] == "refused" and refusal(name) in found["why"], found
    elif name in NOTHING_TO_QUANTIZE:
        assert found["outcome"] == "nothing to quantize", found
        assert "no KV cache" in found["why"]
    else:
        assert found["outcome"] == "scored", found.get("why")


def test_the_count(results: dict[str, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """Prints what the README says of architectures."""
    outcomes = Counter(found["outcome"] for found in results.values())
    runs = sum(bool(found.get("mlx_lm_runs")) for found in results.values())
    with capsys.disabled():
        print(f"\n{len(results)} architectures: {dict(outcomes)}; mlx-lm quantizes {runs}")
        for name, found in results.items():
            if found["outcome"] != "scored":
                print(f"  {name}: {found['outcome']}: {found['why'].partition('`: ')[2]}")
    assert "broken" not in outcomes
    assert outcomes["scored"] >= 0.9 * len(results)
    assert 0 < runs < outcomes["scored"]
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    if f"architectures of mlx-lm {version('mlx-lm')} that build" in readme:
        refused, nothing = outcomes["refused"], outcomes["nothing to quantize"]
        assert f"Of the {len(results)} architectures of mlx-lm" in readme
        assert f"{outcomes['scored']} can be scored; {nothing} have no keys" in readme
        assert f"and {refused} are refused" in readme
        assert f"every layer of {runs} of the {outcomes['scored']}" in readme
