"""Whether two models are one model in different precisions, tokenizers left aside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.common.errors import InputError
from scorer.common.regular_files import open_regular
from scorer.models.disagreements import name_differs
from scorer.models.precision import precision_of
from scorer.models.repeated_tensors import untied_head
from scorer.models.same_config import config_difference
from scorer.models.same_tensors import tensors_difference
from scorer.models.weight_files import weight_paths
from scorer.models.weight_layout import WeightLayout, read_layout
from scorer.models.weight_tensors import is_tied

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo

_BLOCK = 1 << 20
HINT = "name quantized copies of the reference, or a reference of which this is a copy"


def check_same_but_tokenizer(reference: ModelInfo, candidate: ModelInfo) -> tuple[str, ...]:
    """Check all of :func:`scorer.models.same_model.check_same_model` but the tokenizers.

    Args:
        reference: The model to compare with.
        candidate: The model to be compared.

    Returns:
        Cautions to show, as there.

    Raises:
        InputError: As there.
    """
    if _same_folder(reference.path, candidate.path):
        raise _itself(candidate)
    mine, theirs = read_layout(reference), read_layout(candidate)
    difference = model_difference(reference, candidate, mine, theirs)
    if difference is not None:
        raise InputError(f"`{candidate.name}` is not `{reference.name}`: {difference}", HINT)
    check_loads(candidate, theirs)
    if _same_weights(mine, theirs, reference.path, candidate.path):
        raise _itself(candidate)
    return _cautions(candidate, theirs)


def model_difference(
    reference: ModelInfo, candidate: ModelInfo, mine: WeightLayout, theirs: WeightLayout
) -> str | None:
    """The first difference of two models, but for their tokenizers.

    Args:
        reference: The reference.
        candidate: The candidate.
        mine: Weights of the reference.
        theirs: Weights of the candidate.

    Returns:
        The difference, one line that speaks of the candidate as "its"; None if there is none.

    Raises:
        InputError: A size in a config is absurd, or a weight file cannot be read.
    """
    return (
        quick_difference(reference, candidate, mine.config, theirs.config)
        or _other_head(reference, candidate, mine, theirs)
        or tensors_difference(mine, theirs)
    )


def quick_difference(
    reference: ModelInfo,
    candidate: ModelInfo,
    mine: Mapping[str, Any],
    theirs: Mapping[str, Any],
) -> str | None:
    """The first difference of two models by their configs alone; as :func:`model_difference`."""
    if candidate.architecture != reference.architecture:
        return (
            f"its architecture is `{candidate.architecture}` and the reference's "
            f"`{reference.architecture}`"
        )
    if candidate.custom_code is not None or reference.custom_code is not None:
        if candidate.code != reference.code:
            return "it runs other Python code of its own"
    sizes = (reference.vocab_size, candidate.vocab_size)
    if None not in sizes and sizes[0] != sizes[1]:
        return f"its vocabulary has {sizes[1]} entries and the reference's {sizes[0]}"
    return config_difference(mine, theirs, reference.architecture)


def _other_head(
    reference: ModelInfo, candidate: ModelInfo, mine: WeightLayout, theirs: WeightLayout
) -> str | None:
    """A head of its own in one model where the other uses its token embedding."""
    tied = is_tied(mine.config), is_tied(theirs.config)
    if tied[0] == tied[1]:
        return None
    own = candidate if tied[0] else reference
    names = [path.name for path in weight_paths(own.path)]
    if untied_head(own.path, names) is None:
        return None
    if tied[0]:
        return "it has an output head of its own, and the reference uses its token embedding"
    return "it uses its token embedding as output head, and the reference has one of its own"


def check_loads(candidate: ModelInfo, layout: WeightLayout) -> None:
    """Refuse a candidate that is called quantized and is not, and one that mlx-lm does not load."""
    precision = precision_of(layout)
    stated = layout.stated
    if stated is not None and not precision.is_quantized:
        raise InputError(
            f"`{candidate.name}` is called quantized and is not: {precision.disagreements[0]}",
            "make the copy again with mlx_lm.convert -q, or remove `quantization` from config.json",
        )
    if stated is None and precision.is_quantized:
        raise InputError(
            f"`{candidate.name}`: {precision.disagreements[0]}",
            "make the copy again with mlx_lm.convert -q",
        )


def _cautions(candidate: ModelInfo, layout: WeightLayout) -> tuple[str, ...]:
    precision = precision_of(layout)
    found = []
    if not precision.is_quantized:
        found.append(f"`{candidate.name}` is not quantized: its weights are {precision.line}.")
    differs = name_differs(candidate.name, precision)
    if differs is not None:
        found.append(f"Of `{candidate.name}`: {differs}.")
    found += [f"Of `{candidate.name}`: {each}." for each in precision.disagreements]
    return tuple(found)


def _itself(candidate: ModelInfo) -> InputError:
    return InputError(
        f"`{candidate.name}` is the reference itself", "name a copy in another precision"
    )


def _same_folder(one: Path, other: Path) -> bool:
    paths = [sorted(path.resolve() for path in weight_paths(each)) for each in (one, other)]
    return one.resolve() == other.resolve() or paths[0] == paths[1]


def _same_weights(mine: WeightLayout, theirs: WeightLayout, one: Path, other: Path) -> bool:
    """Whether the weight files have the same content; different ones differ at once."""
    if mine.stored != theirs.stored:
        return False
    paths = [weight_paths(each) for each in (one, other)]
    if [path.stat().st_size for path in paths[0]] != [path.stat().st_size for path in paths[1]]:
        return False
    return all(map(_same_content, *paths))


def _same_content(one: Path, other: Path) -> bool:
    try:
        with open_regular(one) as first, open_regular(other) as second:
            while block := first.read(_BLOCK):
                if block != second.read(len(block)):
                    return False
            return True
    except OSError as error:
        raise InputError(f"the weights cannot be read: {error.strerror or error}", "") from None
