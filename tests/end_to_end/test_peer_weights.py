"""Weights against mlx-quant-fidelity 0.10.0, on copies whose scales, biases and norms are float32.

A CPU computes them as they are stored, in 16 bit with errors of the size that is measured; of the
same codes with float32 scales both programs compute the same function, rounded otherwise.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from peer import MAIN, NEEDS_PEER, peer
from real_models import HOME, REPO, use_real_cache
from tiny_runs import finished

from scorer.score import score
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings
from scorer.spec.settings.weights import StoredWeights

REFERENCE, CHUNKS = f"{REPO}-fp32", 1

pytestmark = NEEDS_PEER


def float32_copy(repo: str, folder: Path) -> Path:
    """A copy of a cached repo whose floating-point tensors are float32; the codes are the same."""
    assert HOME is not None
    snapshots = HOME / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots"
    shutil.copytree(next(snapshots.iterdir()), folder)
    for path in folder.glob("*.safetensors"):
        held: dict[str, mx.array] = mx.load(str(path))  # type: ignore[assignment]
        wide = {
            name: value.astype(mx.float32) if mx.issubdtype(value.dtype, mx.floating) else value
            for name, value in held.items()
        }
        mx.eval(wide)
        path.unlink()
        mx.save_safetensors(str(path), wide, {"format": "mlx"})
    config = folder / "config.json"
    values = json.loads(config.read_text("utf-8"))
    config.write_text(json.dumps(values | {"torch_dtype": "float32"}), "utf-8")
    return folder


def compared(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Within the tolerances of the definitions."""
    for key in ("n_chunks", "n_positions", "quant_bits", "quant_group_size", "verdict"):
        if key in theirs:
            assert ours[key] == theirs[key], key
    if theirs.get("quant_geometry") is not None:
        assert ours["quant_geometry"] == theirs["quant_geometry"]
    if theirs.get("quant_bits_per_weight") is not None:
        bits = theirs["quant_bits_per_weight"]
        assert ours["quant_bits_per_weight"] == pytest.approx(bits, rel=1e-6)
    assert ours["kl"]["mean"] == pytest.approx(theirs["kl"]["mean"], rel=1e-3)
    # At one position the peer's float32 sum over the vocabulary shows: it is off by up to 2e-4.
    assert ours["kl"]["max"] == pytest.approx(theirs["kl"]["max"], rel=1e-3, abs=2e-4)
    for name in ("median", "p99"):
        allowed = 1e-4 + 1e-3 * theirs["kl"][name]
        assert ours["kl"][name] == pytest.approx(theirs["kl"][name], abs=allowed), name
    flips = [row["flip_rate"] * row["n_positions"] for row in (ours, theirs)]
    assert abs(flips[0] - flips[1]) <= 1 + 1e-6
    for name in ("perplexity_ref", "perplexity_quant"):
        assert ours[name] == pytest.approx(theirs[name], rel=3e-4), name


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_both_measure_the_same_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bits: int
) -> None:
    repo = f"{REPO}-{bits}bit"
    use_real_cache(monkeypatch, tmp_path, REFERENCE, repo)
    copy = float32_copy(repo, tmp_path / f"{bits}bit")
    settings = parse_settings(StoredWeights(str(copy)).key)
    job = Job(REFERENCE, settings, chunks="first", max_chunks=CHUNKS)
    (ours,) = finished(list(score(job))).report["settings"]
    words = ("--reference", REFERENCE, "--max-chunks", str(CHUNKS), "--format", "json")
    theirs = json.loads(peer("-c", MAIN, "weights", str(copy), *words))
    if "models" in theirs:
        (theirs,) = theirs["models"]
    print(f"\n{bits} bits: ours, the peer's")
    for name in ("mean", "median", "p99", "max"):
        print("KL", name, ours["kl"][name], theirs["kl"][name])
    for name in ("flip_rate", "perplexity_ref", "perplexity_quant"):
        print(name, ours[name], theirs[name])
    print({key: value for key, value in theirs.items() if key.startswith("quant")})
    compared(ours, theirs)
