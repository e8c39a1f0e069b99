"""Against mlx-quant-fidelity 0.10.0, in a Python of its own, on the same model, text and chunks.

``QFID_PEER_PYTHON`` names that Python. Quantizing a cache rounds, and rounding amplifies the last
bit: on SmolLM2 over 511 positions in float32 a change of the embeddings by 3e-8 moves the KL mean
with a relative standard deviation of 5 % at 8 bits and 1 % at 4 bits. Two programs that sum in
another order can agree no better.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peer import MAIN, NEEDS_PEER, mkl, peer
from real_models import REPO, use_real_cache
from tiny_runs import finished

from scorer.device.backend import start_backend
from scorer.device.cpu_arithmetic import MLX
from scorer.engine.preparation import Preparation
from scorer.engine.prepared import Prepared
from scorer.lanes.base import ReferenceLane
from scorer.lm.model_handle import ModelHandle
from scorer.lm.split_model import SplitModel
from scorer.score import score
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_settings

MODEL = f"{REPO}-fp32"
# Relative standard deviation of the KL mean of 511 positions, by that mean in nats: measured.
FLOOR = ((3.49e-4, 0.05), (0.115, 0.01))

pytestmark = NEEDS_PEER
NLLS = """
import sys
from pathlib import Path
import mlx.core as mx, numpy as np
from mlx_quant_fidelity.metrics.perplexity import perplexity, token_nll
nlls = []
for path in sorted(Path(sys.argv[1]).glob("*.npz")):
    with np.load(path) as chunk:
        nlls.append(token_nll(mx.array(chunk["logits"]), mx.array(chunk["targets"])))
    mx.eval(nlls)
print(repr(perplexity(mx.concatenate(nlls))))
"""


@dataclass(frozen=True)
class Compared:
    """A setting both programs know.

    Attributes:
        setting: Our notation.
        options: The peer's options.
        chunks: How many chunks of 512.
        published: KL mean, flip rate, perplexity of the reference and quantized that the peer is
            known to give, or None.
    """

    setting: str
    options: tuple[str, ...]
    chunks: int
    published: tuple[float, float, float, float] | None = None


CASES = [
    Compared("8", ("--kv-bits", "8"), 4, (3.49e-4, 0.01076, 30.960, 30.946)),
    Compared("4", ("--kv-bits", "4"), 4, (0.1150, 0.1947, 30.960, 33.874)),
    Compared("4:32@256", ("--kv-bits", "4", "--kv-group-size", "32", "--quantize-start", "256"), 2),
    Compared("k8v4", ("--kv-method", "affine:8:4"), 2),
]


def tolerance(kl_mean: float, positions: int) -> float:
    """Relative tolerance of the difference of two KL means: four standard deviations of it.

    The floor lies on a power law through the two widths it was measured at, and falls with the
    root of the number of positions.
    """
    (low, at_low), (high, at_high) = FLOOR
    slope = math.log(at_high / at_low) / math.log(high / low)
    deviation = at_low * math.pow(kl_mean / low, slope)
    return 4 * math.sqrt(2) * deviation / math.sqrt(positions / 511)


def nll_tolerance(kl_mean: float, positions: int) -> float:
    """Tolerance of the difference of two mean NLLs under quantization, nats.

    To second order KL is half the variance of what quantizing adds to an NLL; two programs that
    round otherwise add as good as independent amounts. Two standard deviations of the difference.
    """
    return 2 * math.sqrt(2) * math.sqrt(2 * kl_mean / positions)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("peer")


@pytest.fixture(autouse=True)
def real_cache(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    use_real_cache(monkeypatch, data, MODEL)


def job(settings: str, chunks: int) -> Job:
    return Job(MODEL, parse_settings(settings), max_chunks=chunks)


_theirs: dict[str, dict[str, Any]] = {}


def theirs(case: Compared) -> dict[str, Any]:
    if case.setting not in _theirs:
        chunks = ("--max-chunks", str(case.chunks))
        answer = peer("-c", MAIN, "kv", MODEL, *case.options, *chunks, "--format", "json")
        _theirs[case.setting] = json.loads(answer)
    return _theirs[case.setting]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.setting)
def test_both_measure_the_same(case: Compared) -> None:
    (ours,) = finished(list(score(job(case.setting, case.chunks)))).report["settings"]
    other = theirs(case)
    for key in ("model_id", "n_chunks", "n_positions", "quantize_mode", "quantize_start"):
        assert ours[key] == other[key], key
    for key in ("kv_bits", "kv_group_size", "kv_partial", "kv_method", "cache_supported"):
        assert ours[key] == other[key], key
    assert ours["working_set_bytes_per_token"] == other["working_set_bytes_per_token"]
    # On the CPU ours reads dequantized keys and values, and the peer's stock method does not.
    assert ours["drift_footing"] == "quantizer_only"
    for key, value in ours["kv_method_provenance"].items():
        assert key == "version" or value == other["kv_method_provenance"][key], key
    for key in ("chunk_length", "stride", "bos_policy", "n_tokens", "dataset_revision", "split"):
        assert ours["corpus"][key] == other["corpus"][key], key
    print(f"\n{case.setting}: ours, the peer's, tolerance")
    allowed = tolerance(other["kl"]["mean"], other["n_positions"])
    print("KL mean", ours["kl"]["mean"], other["kl"]["mean"], f"{allowed:.3f} relative")
    assert ours["kl"]["mean"] == pytest.approx(other["kl"]["mean"], rel=allowed)
    assert ours["kl"]["median"] == pytest.approx(other["kl"]["median"], rel=2 * allowed)
    print("flips", ours["flip_rate"], other["flip_rate"])
    counts = [row["flip_rate"] * row["n_positions"] for row in (ours, other)]
    # Which near ties flip is chance: twice the deviation of a count is wide, and enough to catch
    # another definition of a flip.
    assert abs(counts[0] - counts[1]) <= 2 * math.sqrt(counts[1])
    for key in ("perplexity_ref", "perplexity_quant"):
        print(key, ours[key], other[key])
    # Its float32 log-softmax is biased on the CPU.
    assert ours["perplexity_ref"] == pytest.approx(other["perplexity_ref"], rel=3e-4)
    spread = 3e-4 + nll_tolerance(other["kl"]["mean"], other["n_positions"])
    assert ours["perplexity_quant"] == pytest.approx(other["perplexity_quant"], rel=spread)
    if not case.setting.endswith("@256"):  # the peer gives no depth in deployment
        span = [(row["start"], row["end"], row["n_positions"]) for row in ours["kl_by_depth"]]
        assert span == [(r["start"], r["end"], r["n_positions"]) for r in other["kl_by_depth"]]
    assert ours["verdict"] == other["verdict"]


def test_mlx_lms_own_kernel_gives_the_peers_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the same library computes the same calls, nothing is left to rounding but sums."""
    monkeypatch.setenv("QFID_CPU_ARITHMETIC", MLX)
    ours_job = Job(MODEL, parse_settings("4"), chunks="first", max_chunks=2, kernel="mlx-lm")
    (ours,) = finished(list(score(ours_job))).report["settings"]
    arguments = ("kv", MODEL, "--kv-bits", "4", "--max-chunks", "2", "--format", "json")
    other = json.loads(peer("-c", MAIN, *arguments))
    assert ours["drift_footing"] == other["drift_footing"] == "bundled"
    print("KL mean", ours["kl"]["mean"], other["kl"]["mean"], "flips", ours["flip_rate"])
    assert ours["kl"]["mean"] == pytest.approx(other["kl"]["mean"], rel=2e-4)
    assert ours["kl"]["p99"] == pytest.approx(other["kl"]["p99"], rel=2e-4)
    assert ours["flip_rate"] == other["flip_rate"]
    # MLX's float32 log-sum-exp on a CPU is off by some 1.3e-4 nats, and with it the peer's NLL.
    offsets = [math.log(other[key] / ours[key]) for key in ("perplexity_ref", "perplexity_quant")]
    print("offset of the mean NLL, nats", offsets)
    assert all(3e-5 < abs(offset) < 3e-4 for offset in offsets)


@pytest.mark.parametrize("case", [c for c in CASES if c.published], ids=lambda c: c.setting)
def test_the_peer_gives_its_published_figures(case: Compared) -> None:
    assert case.published is not None
    kl_mean, flip_rate, perplexity_ref, perplexity_quant = case.published
    other = theirs(case)
    allowed = tolerance(kl_mean, other["n_positions"])
    assert other["kl"]["mean"] == pytest.approx(kl_mean, rel=allowed)
    n = other["n_positions"]
    assert abs(other["flip_rate"] - flip_rate) * n <= 2 * math.sqrt(flip_rate * n)
    assert other["perplexity_ref"] == pytest.approx(perplexity_ref, abs=1e-3)
    spread = nll_tolerance(kl_mean, n)
    assert other["perplexity_quant"] == pytest.approx(perplexity_quant, rel=spread)


def prepared() -> Prepared:
    preparation = Preparation(job("8", CASES[0].chunks), start_backend(), None)
    for _ in preparation.steps():
        pass
    assert preparation.result is not None
    return preparation.result


def test_its_own_nll_on_our_logits_gives_its_perplexity(tmp_path: Path) -> None:
    import mlx.core as mx

    ready = prepared()
    # Bits are MLX's only where MLX computes; linear layers in NumPy are rounded otherwise.
    reference = ReferenceLane(ModelHandle(SplitModel(ready.model.module, MLX)))
    nlls = []
    for index, ids in enumerate(ready.corpus.ids):
        hidden = reference.hidden(mx.array(ids[None, :-1]))
        logits = np.array(reference.logits(hidden, 0, len(ids) - 1).astype(mx.float32))[0]
        np.savez(tmp_path / f"{index}.npz", logits=logits, targets=ids[1:].astype(np.int32))
        rows = logits.astype(np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        nlls.append(np.log(np.exp(rows).sum(axis=1)) - rows[np.arange(len(rows)), ids[1:]])
    of_our_logits = float(peer("-c", NLLS, str(tmp_path)))
    reported = theirs(CASES[0])["perplexity_ref"]
    exact = math.exp(np.concatenate(nlls).mean())
    print(f"\ntheirs {reported!r}, its nll on our logits {of_our_logits!r}, float64 {exact!r}")
    # With one BLAS the logits are the same in every bit.
    same_blas = start_backend().blas == "MKL" and mkl() is not None
    assert of_our_logits == pytest.approx(reported, rel=0 if same_blas else 1e-6, abs=0)
    (row,) = finished(list(score(job("8", CASES[0].chunks)))).report["settings"]
    assert row["perplexity_ref"] == pytest.approx(exact, rel=1e-6)


def test_the_tolerance_follows_the_measured_floor() -> None:
    assert tolerance(3.49e-4, 511) == pytest.approx(4 * math.sqrt(2) * 0.05)
    assert tolerance(0.115, 4 * 511) == pytest.approx(4 * math.sqrt(2) * 0.01 / 2)
    assert 0.01 < tolerance(0.01, 511) / (4 * math.sqrt(2)) < 0.05
    assert str(KVSetting.parse(CASES[2].setting)) == CASES[2].setting
