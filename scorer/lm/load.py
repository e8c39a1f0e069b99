"""One model made ready to score on this device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from scorer.common.errors import CustomCodeRefused, InputError
from scorer.common.process_limits import require_weight_files
from scorer.device.backend import Backend
from scorer.device.threads import worker_count
from scorer.lm.dense_weights import densify
from scorer.lm.load_errors import load_failure
from scorer.lm.mlx_lm_import import import_mlx_lm
from scorer.lm.model_arguments import Arguments
from scorer.lm.skeleton import custom_classes
from scorer.models.config import read_object
from scorer.models.custom_code import Consent, model_code

_TOKEN_EMBEDDINGS = frozenset(
    "embed embed_in embed_tokens embedding embeddings tok_embeddings token_embeddings"
    " word_embeddings wte".split()
)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready for forward passes.

    Attributes:
        module: mlx-lm's model.
        config: Its config.json.
        dtype: Dtype of its floating-point parameters as they are computed with.
        vocab_rows: Rows of the embedding: token ids must be below it; MLX checks nothing.
        dequantized: Whether quantized weights were turned into dense ones.
        arguments: What it took of its config; they record what is read of them.
        weight_bytes: Bytes of its weights as they are deployed: before they were made dense.
        bits_per_weight: Bits that those keep per weight; None where that was not looked at.
    """

    module: nn.Module
    config: dict[str, Any]
    dtype: mx.Dtype
    vocab_rows: int | None
    dequantized: bool
    arguments: tuple[Arguments, ...] = ()
    weight_bytes: int = 0
    bits_per_weight: float | None = None

    @property
    def dtype_name(self) -> str:
        """The compute dtype by name, such as ``float32``."""
        return str(self.dtype).rsplit(".", maxsplit=1)[-1]


def load(
    path: Path,
    backend: Backend,
    *,
    allow_custom_code: Consent = False,
    split: Callable[[nn.Module], None] | None = None,
) -> LoadedModel:
    """Load a model folder for scoring.

    On the CPU weights are dequantized and cast to float32 once: MLX's quantized CPU matmul
    accumulates in the scales' dtype and is two orders of magnitude slower.

    Args:
        path: Folder with config.json and safetensors.
        backend: The device, from :func:`scorer.device.backend.start_backend`.
        allow_custom_code: Whether the Python file that ``config.json`` names may run.
        split: Keeps a part of the model, before weights that are lazy are read; None for all.

    Raises:
        CustomCodeRefused: It may not.
        InputError: mlx-lm cannot build or fill the model; says which file or key. Or the weights
            lie in more files than may be open at once.
    """
    lazy = backend.kind != "cpu"
    module, config, arguments = read_module(path, lazy=lazy, allow_custom_code=allow_custom_code)
    threads = worker_count(backend.kind)
    return prepared_for(module, config, backend, arguments, split, threads=threads)


def read_module(
    path: Path, *, lazy: bool, allow_custom_code: Consent = False
) -> tuple[nn.Module, dict[str, Any], tuple[Arguments, ...]]:
    """Build mlx-lm's model of a folder and fill it with the weights as they are stored.

    Args:
        path: Folder with config.json and safetensors.
        lazy: Read no weight before it is needed.
        allow_custom_code: Whether the Python file that ``config.json`` names may run.

    Returns:
        The model, its config.json, and what it took of that.

    Raises:
        CustomCodeRefused: As :func:`load`.
        InputError: As :func:`load`.
    """
    require_weight_files(sum(1 for _ in path.glob("model*.safetensors")))
    utils = import_mlx_lm()
    from scorer.lm.build_patches import exact_weight_paths
    from scorer.lm.building import model_is_built

    code: dict[str, Any] = {}
    name = model_code(read_object(path / "config.json"))
    if name is not None:
        # Built by a function of ours, from the content that was allowed.
        code = {
            "model_config": {"model_file": None},
            "get_model_classes": lambda config: custom_classes(path, name, allow_custom_code),
        }
    try:
        with model_is_built() as arguments, exact_weight_paths():
            module, config = utils.load_model(path, lazy=lazy, **code)
    except (KeyboardInterrupt, MemoryError, CustomCodeRefused):
        raise
    except BaseException as error:
        # BaseException: an architecture module of mlx-lm ends the interpreter when a package of
        # its own is missing.
        reason, hint = load_failure(error)
        raise InputError(f"`{path.name}` does not load: {reason}", hint) from error
    return module, config, tuple(arguments)


def prepared_for(
    module: nn.Module,
    config: dict[str, Any],
    backend: Backend,
    arguments: tuple[Arguments, ...],
    split: Callable[[nn.Module], None] | None = None,
    *,
    threads: int = 1,
) -> LoadedModel:
    """A module with its weights, which may be lazy, made ready for the device.

    Args:
        module: mlx-lm's model, as it is deployed.
        config: Its config.json.
        backend: The device.
        arguments: What it took of its config.
        split: As of :func:`load`.
        threads: Cores that may dequantize at once; with more than one, called in no other thread.

    Raises:
        InputError: It has no floating-point parameters.
    """
    module.eval()
    stored = stored_bytes(module)
    bits = bits_per_weight(module)
    dequantized = False
    if backend.kind == "cpu":
        dequantized = densify(module, threads)
    if split is not None:
        split(module)
    mx.eval(module.parameters())
    return LoadedModel(
        module, config, _dtype(module), vocab_rows(module), dequantized, arguments, stored, bits
    )


def stored_bytes(module: nn.Module) -> int:
    """Bytes of the parameters of a module as it is now."""
    return sum(parameter.nbytes for _, parameter in tree_flatten(module.parameters()))


def bits_per_weight(module: nn.Module) -> float:
    """Bits that a module keeps per weight, as ``mlx_lm.convert`` prints them.

    Source: mlx-lm 0.32.2, ``utils.compute_bits_per_weight``.
    """
    from mlx_lm.utils import compute_bits_per_weight

    return float(compute_bits_per_weight(module))


def _dtype(module: nn.Module) -> mx.Dtype:
    """The commonest floating dtype of the parameters, weighted by size."""
    sizes: dict[mx.Dtype, int] = {}
    for _, parameter in tree_flatten(module.parameters()):
        if mx.issubdtype(parameter.dtype, mx.floating):
            sizes[parameter.dtype] = sizes.get(parameter.dtype, 0) + parameter.size
    if not sizes:
        raise InputError("the model has no floating-point parameters")
    return max(sizes, key=lambda dtype: sizes[dtype])


def vocab_rows(module: nn.Module) -> int | None:
    """Rows of the token embedding; None where :func:`token_embedding` finds none."""
    weight = token_embedding(module)
    return None if weight is None else int(weight.shape[0])


def token_embedding(module: nn.Module) -> mx.array | None:
    """Weight of the token embedding, found by name.

    A model may hold other embeddings: of positions, of n-grams, of tokens per layer.

    Returns:
        (rows, H) in the compute dtype, or (rows, H · bits / 32) uint32 where it is quantized; None
        where no name is known.
    """
    for path, child in module.named_modules():
        if path.rpartition(".")[2] in _TOKEN_EMBEDDINGS and "weight" in child:
            weight: mx.array = child["weight"]
            return weight
    return None
