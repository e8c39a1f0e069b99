"""What a run stores beside its positions: identity, files, facts of each setting."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import NoReturn

import pytest
from fake_hub_cache import COMMIT, write_repo
from tiny_runs import LENGTH, Small, planned

from scorer.device.backend import Backend, start_backend
from scorer.engine.preparation import Preparation
from scorer.engine.prepared import Prepared
from scorer.engine.run_facts import (
    arithmetic_line,
    identity_of,
    run_facts,
    setting_facts,
    stored_facts,
)
from scorer.models.file_hashes import model_files
from scorer.runs.facts import StoredFacts
from scorer.runs.identity import Identity
from scorer.runs.listing import find_run, identity_differences, identity_hash
from scorer.spec.job import CorpusSpec, Job


def prepare(job: Job) -> Prepared:
    preparation = Preparation(job, start_backend(), None)
    for _ in preparation.steps():
        pass
    assert preparation.result is not None
    return preparation.result


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def known_identity(prepared: Prepared, backend: Backend) -> Identity:
    """The identity with the hashes of the model's files, which are made beside the scoring."""
    prepared.content.hashes()
    return identity_of(prepared, backend)


def test_the_identity_names_everything_but_the_settings(small: Small) -> None:
    backend = start_backend()
    identity = known_identity(prepare(small.job("8,4@9", chunks="spread")), backend)
    assert identity == known_identity(prepare(small.job("k8v4", chunks="spread")), backend)
    assert identity == identity | {
        "model": "tiny-llama",
        "model revision": "none",
        "corpus": sha256(small.text),
        "protocol": "mqf",
        "chunk length": LENGTH,
        "batch": 1,
        "kernel": "auto",
        "compute dtype": "float32",
        "BLAS": backend.blas,
        "arithmetic": backend.arithmetic,
        "mlx version": backend.versions["mlx"],
        "mlx-lm version": backend.versions["mlx-lm"],
    }
    libraries = {"BLAS version": backend.mlx_blas, "NumPy BLAS": backend.numpy_blas}
    on_cpu = backend.kind == "cpu"
    assert {name: identity[name] for name in libraries if name in identity} == (
        libraries if on_cpu else {}
    )
    assert set(identity) - set(libraries) == {
        *("model", "model revision", "model files", "model content", "corpus"),
        *("tokenizer", "tokenizer versions", "protocol", "chunk length", "batch"),
        *("kernel", "device", "compute dtype", "BLAS"),
        *("arithmetic", "mlx version", "mlx-lm version"),
    }


def test_versions_of_the_tokenizer_are_named(small: Small) -> None:
    backend = start_backend()
    prepared = prepare(small.job("8"))
    version = importlib.metadata.version("tokenizers")
    assert identity_of(prepared, backend)["tokenizer versions"] == f"tokenizers {version}"
    assert run_facts(prepared, backend).versions["tokenizers"] == version


def test_what_is_to_be_known_of_the_text_is_in_the_report(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "newlines.txt"
    path.write_text("\n" * 200 + "x")
    job = dataclasses.replace(small.job("8"), corpus=CorpusSpec(str(path)))
    (warning,) = run_facts(prepare(job), start_backend()).warnings
    assert "distinct tokens" in warning


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        # Chunks can be added to a run.
        ({"chunks": "spread"}, []),
        ({"max_chunks": 3}, []),
        ({"batch": 2}, ["batch"]),
        ({"kernel": "mlx-lm"}, ["kernel", "arithmetic", "NumPy BLAS"]),
        ({"protocol": "llama.cpp"}, ["protocol"]),
        ({"chunk_length": 40}, ["chunk length"]),
        ({"control": True}, []),
        ({"noise_floor": 2}, []),
    ],
)
def test_the_identity_follows_the_job(
    small: Small, changes: dict[str, object], named: list[str]
) -> None:
    backend = start_backend()
    one = known_identity(prepare(small.job("8")), backend)
    other = known_identity(prepare(small.job("8", **changes)), backend)
    assert [text.split(" (")[0] for text in identity_differences(one, other)] == named
    assert (identity_hash(one) == identity_hash(other)) == (not named)


def test_model_files_are_named_by_their_hashes(small: Small, tmp_path: Path) -> None:
    model = shutil.copytree(small.model, tmp_path / "tiny-llama")
    (model / "notes.txt").write_text("not part of the model")
    files = model_files(prepare(dataclasses.replace(small, model=model).job("8")).info.path)
    assert files == {
        name: sha256(model / name)
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    }


def test_files_of_a_cached_repo_are_named_as_their_blobs(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    contents = {path.name: path.read_bytes() for path in small.model.iterdir()}
    snapshot = write_repo(tmp_path / "hub", "local-test/tiny", contents)
    prepared = prepare(dataclasses.replace(small, model=Path("local-test/tiny")).job("8"))
    assert model_files(prepared.info.path) == {
        path.name: sha256(path) for path in snapshot.iterdir()
    }
    assert identity_of(prepared, start_backend())["model revision"] == COMMIT


def test_facts_of_the_run_survive_json(small: Small) -> None:
    prepared = prepare(small.job("8,k8v4:32@9"))
    stored = stored_facts(prepared, start_backend())
    assert StoredFacts.from_json(json.loads(json.dumps(stored.to_json()))) == stored
    facts = run_facts(prepared, start_backend())
    assert stored.run == facts
    assert facts.model_id == "tiny-llama" and facts.architecture == "llama"
    assert (facts.weight_bits, facts.max_context, facts.kv_layers) == (32.0, 1024, 2)
    assert facts.chunks == (0, 1) and facts.chunk_length == LENGTH and facts.scored_from == 0
    assert facts.corpus.sha256 == sha256(small.text)
    assert facts.arithmetic.compute_dtype == "float32"
    # Two layers, two heads of 64, keys and values.
    assert facts.kv_bytes_per_token_16bit == 2 * 2 * 64 * 2 * 2
    assert facts.kv_bytes_per_token["8"] == 2 * 2 * 64 * 2 * (1 + 4 / 64)
    assert facts.kv_bytes_context is None


def test_facts_of_a_setting_say_how_it_is_computed(small: Small) -> None:
    prepared = prepare(small.job("8,8~dequantized,k8v4", control=True))
    facts = {str(row.setting): setting_facts(prepared, row) for row in prepared.planned}
    assert facts["8"].kv_method == "stock" and facts["k8v4"].kv_method == "affine"
    assert facts["8"].same_as is None and facts["8~dequantized"].same_as == "8"
    assert facts["8"].runnable_by_mlx_lm and not facts["k8v4"].runnable_by_mlx_lm
    assert facts["8"].warnings == ()
    assert facts["k8v4"].warnings == (
        "mlx-lm cannot run this setting: its cache holds one width for K and V",
    )
    assert {(f.kv_layers_quantized, f.kv_layers_total) for f in facts.values()} == {(2, 2)}


def no_kernel(*_: object, **__: object) -> NoReturn:
    """What MLX raises where its CUDA backend is asked for grouped queries over codes."""
    raise RuntimeError("[quantized_matmul] No implementation for problem shape: 1x3x64x4")


@pytest.mark.parametrize(("setting", "share"), [("8", 1.0), ("k8v4", 1.0), ("k16v4", 0.5)])
def test_facts_of_a_setting_say_what_its_dequantized_sides_take(
    small: Small, setting: str, share: float
) -> None:
    prepared = prepare(small.job(setting))
    (row,) = prepared.planned
    found = setting_facts(prepared, row).dequantized_bytes_per_token
    assert found == share * run_facts(prepared, start_backend()).kv_bytes_per_token_16bit


def test_a_device_without_the_kernel_does_not_make_a_setting_unrunnable(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlx_lm.models.base.quantized_scaled_dot_product_attention", no_kernel)
    # Forced, mlx-lm's own kernel is tried, cannot run, and our cache of codes takes its place.
    prepared = prepare(small.job("8,k8v4", kernel="mlx-lm"))
    rows = {str(row.setting): row for row in prepared.planned}
    assert (rows["8"].mlx_lm, rows["k8v4"].mlx_lm) == ("elsewhere", "nowhere")
    assert rows["8"].arithmetic == "codes"
    facts = setting_facts(prepared, rows["8"])
    assert facts.runnable_by_mlx_lm and "has no kernel" in facts.warnings[0]


def test_any_other_failure_of_the_kernel_is_not_hidden(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("mlx_lm.models.base.quantized_scaled_dot_product_attention", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        prepare(small.job("8"))


def test_what_is_stored_is_what_a_run_holds(small: Small) -> None:
    run = find_run(planned(small.score("8,4", control=True)).run)
    stored = stored_facts(prepare(small.job("8,4", control=True)), start_backend())
    assert run.facts == stored
    assert stored.controls == {"8": "8~dequantized", "4": "4~dequantized"}
    assert set(stored.settings) == {"8", "4", "8~dequantized", "4~dequantized"}


def test_the_arithmetic_is_one_line(small: Small) -> None:
    prepared = prepare(small.job("8"))
    backend = start_backend()
    line = arithmetic_line(prepared, backend)
    assert line.startswith(f"{backend.kind}, float32")
    assert "weights dequantized" not in line and "\n" not in line
    if backend.kind == "cpu":
        in_numpy, rest = line.split("BLAS: ")[1].split(" in NumPy; ")
        assert in_numpy == (backend.numpy_blas or "unknown")
        assert backend.blas in rest and rest.endswith(" for what MLX multiplies")
        assert ("attention and linear layers in NumPy" in line) == (backend.arithmetic == "numpy")
        tuned = dataclasses.replace(backend, blas="MKL", mlx_blas="MKL 2026.2")
        own = arithmetic_line(prepare(small.job("8", kernel="mlx-lm")), tuned)
        assert "NumPy" not in own, "mlx-lm's own arithmetic is asked for"
        assert own.endswith("BLAS: MKL 2026.2")
        none = dataclasses.replace(backend, blas="none found", numpy_blas=None, mlx_blas="b.so.3")
        assert arithmetic_line(prepared, none).endswith(
            "BLAS: unknown in NumPy; none found: b.so.3 for what MLX multiplies"
        )


def test_quantized_weights_are_said_to_be_dequantized(tmp_path: Path, small: Small) -> None:
    from tiny_models import write_tiny_model

    model = write_tiny_model(tmp_path / "tiny-4bit", "llama", bits=4, head_dim=64)
    prepared = prepare(dataclasses.replace(small, model=model).job("8"))
    backend = start_backend()
    assert ("weights dequantized" in arithmetic_line(prepared, backend)) == (backend.kind == "cpu")
    assert run_facts(prepared, backend).weight_bits == 4
