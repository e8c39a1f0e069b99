"""Whether a GGUF file holds the weights of the reference, asked before anything is loaded."""

from __future__ import annotations

import dataclasses
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.common.install_command import install_command
from scorer.models.gguf.architectures import (
    EMBEDDING,
    HEAD,
    Architecture,
    architecture_named,
)
from scorer.models.gguf.config import has_head, stated_config, unknown_values
from scorer.models.gguf.file import GGUFFile
from scorer.models.gguf.precision import gguf_precision, layout_of
from scorer.models.gguf.rope import rope_difference, rows_are_moved
from scorer.models.same_config import config_difference
from scorer.models.same_tensors import tensors_difference
from scorer.models.sizes import ModelSizes, model_sizes
from scorer.models.weight_layout import WeightLayout, read_layout
from scorer.models.weight_precision import WeightPrecision
from scorer.models.weight_tensors import is_tied

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo

_HINT = "name a GGUF file that was converted of the reference, or the reference of this one"
_EXPERTS = "expert_count"


@dataclass(frozen=True, slots=True)
class GGUFWeights:
    """The weights of a GGUF file that is the reference in another precision.

    Attributes:
        file: The file.
        architecture: Its architecture.
        config: The reference's config, for a skeleton that takes these weights: without
            quantization, and with a head of its own where the file has one.
        moved_rows: Whether rows of queries and keys are in another order than the reference's.
        precision: Its precision.
        cautions: What the reader should know of it, one sentence each.
    """

    file: GGUFFile
    architecture: Architecture
    config: dict[str, Any]
    moved_rows: bool
    precision: WeightPrecision
    cautions: tuple[str, ...] = ()

    def sizes(self, reference: ModelInfo) -> ModelSizes:
        """Sizes of the model once its weights are dequantized for scoring.

        Args:
            reference: The reference.
        """
        own = model_sizes(reference)
        elements = [tensor.elements for tensor in self.file.tensors.values()]
        return dataclasses.replace(
            own,
            stored_bytes=own.element_bytes * sum(elements),
            dense_bytes=4 * sum(elements),
            largest_bytes=4 * max(elements),
        )


def gguf_weights(reference: ModelInfo, gguf: GGUFFile) -> GGUFWeights:
    """Check that a GGUF file is a copy of the reference in another precision.

    Architecture, sizes, rotary positions, names and shapes of the tensors are compared; the tokens
    by :func:`scorer.models.gguf.tokens.check_tokens`.

    Args:
        reference: The model to compare with.
        gguf: The file.

    Raises:
        InputError: They differ, the message says in what; or the architecture is not one that is
            read, or a value in the file is absurd.
    """
    architecture = architecture_named(gguf.architecture, gguf.name)
    mine = read_layout(reference)
    difference = _other_kind(reference, gguf, architecture)
    if difference is None:
        config = stated_config(gguf, architecture, mine.config)
        layout = layout_of(gguf, architecture, config)
        difference = (
            config_difference(mine.config, config, reference.architecture)
            or rope_difference(gguf, architecture, mine.config, config["head_dim"])
            or _other_vocabulary(mine, layout)
            or _other_head(mine, layout)
            or tensors_difference(mine, layout, exact=True)
        )
    if difference is not None:
        raise another_model(gguf, reference, difference)
    precision = gguf_precision(gguf, architecture)
    skeleton = {name: v for name, v in mine.config.items() if not name.startswith("quantization")}
    skeleton["tie_word_embeddings"] = not has_head(gguf)
    moved = rows_are_moved(architecture, mine.config)
    return GGUFWeights(gguf, architecture, skeleton, moved, precision, _cautions(gguf, precision))


def another_model(gguf: GGUFFile, reference: ModelInfo, difference: str) -> InputError:
    """The error for a file that is another model than the reference.

    Args:
        gguf: The file.
        reference: The reference.
        difference: One line that speaks of the file as "its".
    """
    return InputError(f"`{gguf.name}` is not `{reference.name}`: {difference}", _HINT)


def require_gguf_package() -> None:
    """Refuse where the package that dequantizes GGUF is not installed.

    Raises:
        InputError: It is not.
    """
    if importlib.util.find_spec("gguf") is None:
        raise InputError(
            "GGUF weights need the package `gguf`, which is not installed",
            install_command("qfid[gguf]"),
        )


def _other_kind(reference: ModelInfo, gguf: GGUFFile, architecture: Architecture) -> str | None:
    if reference.custom_code is not None:
        return "the reference runs Python code of its own"
    if reference.architecture != architecture.mlx:
        return (
            f"its architecture is `{architecture.name}` and the reference's "
            f"`{reference.architecture}`"
        )
    if gguf.values.get(f"{architecture.name}.{_EXPERTS}"):
        return "it is a mixture of experts"
    return None


def _other_vocabulary(mine: WeightLayout, theirs: WeightLayout) -> str | None:
    rows = [
        tensor.shape[0]
        for layout in (mine, theirs)
        if (tensor := layout.tensors.get(f"{EMBEDDING}.weight")) is not None
    ]
    if len(rows) == 2 and rows[0] != rows[1]:
        return f"its vocabulary has {rows[1]} entries and the reference's {rows[0]}"
    return None


def _other_head(mine: WeightLayout, theirs: WeightLayout) -> str | None:
    """A head that is missing, or that has another shape than the embedding it stands for."""
    own = theirs.tensors.get(f"{HEAD}.weight")
    if is_tied(mine.config):
        embedding = theirs.tensors.get(f"{EMBEDDING}.weight")
        if own is not None and embedding is not None and own.shape != embedding.shape:
            return "its output head has another shape than its token embedding"
    elif own is None:
        return "it uses its token embedding as output head, and the reference has one of its own"
    return None


def _cautions(gguf: GGUFFile, precision: WeightPrecision) -> tuple[str, ...]:
    found = []
    if not precision.is_quantized:
        found.append(f"`{gguf.name}` is not quantized: its weights are {precision.line}.")
    unknown = unknown_values(gguf)
    if unknown:
        others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        found.append(
            f"`{gguf.name}` states {shown(unknown[0])}{others}, which is not compared with the "
            "reference."
        )
    return tuple(found)
