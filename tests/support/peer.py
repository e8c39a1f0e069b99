"""mlx-quant-fidelity in a Python of its own, which ``QFID_PEER_PYTHON`` names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = os.environ.get("QFID_PEER_PYTHON")

NEEDS_PEER = [
    pytest.mark.peer,
    pytest.mark.skipif(not PYTHON, reason="QFID_PEER_PYTHON names no Python with the peer"),
]

MAIN = "import sys; from mlx_quant_fidelity.cli import main; sys.exit(main())"

KEYS = {
    "model_id",
    "model_revision",
    "kv_bits",
    "kv_group_size",
    "kv_method",
    "kv_method_params",
    "kv_layers_quantized",
    "kv_layers_skipped",
    "kv_layers_total",
    "kv_partial",
    "measured_kv_bytes_per_token",
    "quantize_mode",
    "quantize_start",
    "corpus",
    "n_chunks",
    "n_positions",
    "kl",
    "kl_by_depth",
    "flip_rate",
    "perplexity_ref",
    "perplexity_quant",
    "perplexity_delta",
    "control_kl",
    "control_flip_rate",
    "verdict",
    "warnings",
    "device",
    "mlx_version",
    "mlx_lm_version",
    "peak_memory_bytes",
    "cache_supported",
    "drift_footing",
    "kv_method_provenance",
    "working_set_bytes_per_token",
}
"""Those of its ``FidelityReport``."""

CORPUS_KEYS = {
    "name",
    "split",
    "tokenizer_id",
    "chunk_length",
    "stride",
    "bos_policy",
    "final_chunk_policy",
    "normalization",
    "n_tokens",
    "dataset_revision",
}
"""Those of the text in it."""


def mkl() -> Path | None:
    """The library that this Python's MLX multiplies with, where it is MKL."""
    return max(Path(sys.prefix, "lib").glob("libmkl_rt.so*"), default=None)


def peer(*arguments: str) -> str:
    """Standard output of the peer's Python, with the fast BLAS of this one."""
    assert PYTHON is not None
    library = mkl()
    preload = {} if library is None else {"LD_PRELOAD": str(library)}
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [PYTHON, *arguments],
        env=environ | preload | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
