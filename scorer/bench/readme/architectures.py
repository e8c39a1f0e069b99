"""How many architectures of mlx-lm can be scored, counted by the tests that try each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scorer.common.errors import QfidError
from scorer.report.formats.inline import code

_SCRIPT = Path(__file__).parents[3] / "tests" / "support" / "all_architectures.py"


def measured_architectures() -> dict[str, dict[str, Any]]:
    """Try every architecture on small random models; takes some 6 minutes.

    Returns:
        Name to what came of it, as ``tests/support/all_architectures.py`` returns it.

    Raises:
        QfidError: There are no tests beside this package, or they fail.
    """
    if not _SCRIPT.is_file():
        raise QfidError("architectures are counted by the tests: run this in a clone")
    done = subprocess.run([sys.executable, str(_SCRIPT)], capture_output=True, text=True)
    if done.returncode:
        raise QfidError(f"{_SCRIPT.name}: {done.stderr[-300:]}")
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def architectures_block(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The paragraph of Markdown.

    Args:
        results: As of :func:`measured_architectures`.

    Raises:
        QfidError: An architecture is broken: neither scored nor refused.
    """
    names: dict[str, list[str]] = defaultdict(list)
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, found in sorted(results.items()):
        names[found["outcome"]].append(name)
        if found["outcome"] == "refused":
            reasons[found["why"].partition("cannot be scored: ")[2]].append(code(name))
    if names["broken"]:
        raise QfidError(f"neither scored nor refused: {', '.join(names['broken'])}")
    scored = len(names["scored"])
    runs = sum(bool(found.get("mlx_lm_runs")) for found in results.values())
    nothing, refused = names["nothing to quantize"], names["refused"]
    why = "; ".join(f"{', '.join(of)}: {reason}" for reason, of in reasons.items())
    return (
        f"Of the {len(results)} architectures of mlx-lm {version('mlx-lm')} that build from a "
        f"small random model, {scored} can be scored. {len(nothing)} have no keys and values to "
        f"quantize ({', '.join(map(code, nothing))}), and {len(refused)} are refused with a line "
        f"that says why ({why}). `mlx_lm.generate --kv-bits` quantizes every layer of {runs} of "
        f"the {scored}."
    )
