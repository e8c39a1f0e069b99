"""Every architecture of the installed mlx-lm: scored right, or refused with a reason."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from typing import Any

import pytest
from all_architectures import architectures, results_of
from project import ROOT

from scorer.bench.readme.architectures import architectures_block
from scorer.bench.readme.sections import ARCHITECTURES as SECTION
from scorer.bench.readme.sections import section_of
from scorer.models.architectures import refusal

pytestmark = pytest.mark.slow

NOTHING_TO_QUANTIZE = frozenset({"mamba", "mamba2", "rwkv7"})
ARCHITECTURES = architectures()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return results_of(ARCHITECTURES, tmp_path_factory.mktemp("architectures"))


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


def test_the_count(results: dict[str, dict[str, Any]]) -> None:
    """What the README says of architectures is what was found."""
    outcomes = Counter(found["outcome"] for found in results.values())
    runs = sum(bool(found.get("mlx_lm_runs")) for found in results.values())
    assert "broken" not in outcomes
    assert outcomes["scored"] >= 0.9 * len(results)
    assert 0 < runs < outcomes["scored"]
    kept = section_of((ROOT / "README.md").read_text("utf-8"), SECTION)
    assert kept
    if f"of mlx-lm {version('mlx-lm')} that build" in kept:
        assert architectures_block(results) == kept
