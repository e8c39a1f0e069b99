"""One model made ready to score on this device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map

from scorer.common.errors import CustomCodeRefused, InputError
from scorer.common.process_limits import require_weight_files
from scorer.device.backend import Backend
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
    """

    module: nn.Module
    config: dict[str, Any]
    dtype: mx.Dtype
    vocab_rows: int | None
    dequantized: bool
    arguments: tuple[Arguments, ...] = ()

    @property
    def dtype_name(self) -> str:
        """The compute dtype by name, such as ``float32``."""
        return str(self.dtype).rsplit(".", maxsplit=1)[-1]


def load(path: Path, backend: Backend, *, allow_custom_code: Consent = False) -> LoadedModel:
    """Load a model folder for scoring.

    On the CPU weights are dequantized and cast to float32 once: MLX's quantized CPU matmul
    accumulates in the scales' dtype and is two orders of magnitude slower.

    Args:
        path: Folder with config.json and safetensors.
        backend: The device, from :func:`scorer.device.backend.start_backend`.
        allow_custom_code: Whether the Python file that ``config.json`` names may run.

    Raises:
        CustomCodeRefused: It may not.
        InputError: mlx-lm cannot build or fill the model; says which file or key. Or the weights
            lie in more files than may be open at once.
    """
    require_weight_files(sum(1 for _ in path.glob("model*.safetensors")))
    utils = import_mlx_lm()
    from scorer.lm.build_patches import exact_weight_paths
    from scorer.lm.building import kept_random_numbers, model_is_built

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
            module, config = utils.load_model(path, lazy=backend.kind != "cpu", **code)
    except (KeyboardInterrupt, MemoryError, CustomCodeRefused):
        raise
    except BaseException as error:
        # BaseException: an architecture module of mlx-lm ends the interpreter when a package of
        # its own is missing.
        reason, hint = load_failure(error)
        raise InputError(f"`{path.name}` does not load: {reason}", hint) from error
    module.eval()
    dequantized = False
    if backend.kind == "cpu":
        with kept_random_numbers():
            dequantized = _densify(module, utils)
    mx.eval(module.parameters())
    return LoadedModel(
        module, config, _dtype(module), vocab_rows(module), dequantized, tuple(arguments)
    )


def _densify(module: nn.Module, utils: Any) -> bool:
    """Dequantize weights with float32 scales and cast every parameter to float32."""
    quantized = any("scales" in m for m in module.modules())
    _cast(module)
    if quantized:
        utils.dequantize_model(module)
        _cast(module)
    return quantized


def _cast(module: nn.Module) -> None:
    module.update(
        tree_map(
            lambda p: p.astype(mx.float32) if mx.issubdtype(p.dtype, mx.floating) else p,
            module.parameters(),
        )
    )


def _dtype(module: nn.Module) -> mx.Dtype:
    """The commonest floating dtype of the parameters, weighted by size."""
    from mlx.utils import tree_flatten

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
