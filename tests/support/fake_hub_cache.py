"""Small models and Hugging Face caches made of files, for tests that load no weights."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "01230000000000000000000000000000000000ff"

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "rms_norm_eps": 1e-5,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}


def safetensors(dtype: str = "BF16", elements: int = 8, name: str = "w") -> bytes:
    """A safetensors file of one tensor of zeros."""
    size = elements * {"F32": 4, "U32": 4, "BF16": 2, "F16": 2}[dtype]
    header = json.dumps(
        {
            "__metadata__": {"format": "mlx"},
            name: {"dtype": dtype, "shape": [elements], "data_offsets": [0, size]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


def model_files(config: dict[str, Any] | None = None, **changes: Any) -> dict[str, bytes]:
    """The files of a small model; ``changes`` are keys of its config, None removes one."""
    merged = {**LLAMA, **changes} if config is None else {**config, **changes}
    merged = {key: value for key, value in merged.items() if value is not None}
    return {
        "config.json": json.dumps(merged).encode(),
        "model.safetensors": safetensors(),
        "tokenizer.json": b"{}",
        "tokenizer_config.json": b"{}",
    }


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """A local model folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_repo(
    hub: Path,
    repo: str,
    files: dict[str, bytes],
    *,
    commit: str = COMMIT,
    ref: str | None = "main",
) -> Path:
    """A repo as the Hub's library caches it: blobs, links to them, a ref. Returns the snapshot."""
    folder = hub / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir(exist_ok=True)
    for name, content in files.items():
        blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (snapshot / name).symlink_to(Path("..", "..", "blobs", blob.name))
    if ref is not None:
        (folder / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    return snapshot
