"""Whether two folders hold one model in two precisions, asked before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorer.common.errors import InputError
from scorer.models.kept_comparisons import kept_tokenizer_difference
from scorer.models.model_difference import HINT, check_same_but_tokenizer

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo


def check_same_model(reference: ModelInfo, candidate: ModelInfo) -> tuple[str, ...]:
    """Check that a candidate is a copy of the reference in another precision.

    Vocabulary, architecture, the values of the config that change numbers, names and unquantized
    shapes of the weights, and the tokenizer are compared. Chat templates may differ.

    Args:
        reference: The model to compare with.
        candidate: The model to be compared.

    Returns:
        Cautions to show, one sentence each: a candidate that is not quantized, a name that says
        another precision than the weights have, a config that differs from them.

    Raises:
        InputError: They differ, the message says in what; or the candidate is the reference
            itself, or is called quantized and is not, or mlx-lm does not load it, or a file
            cannot be read.
    """
    cautions = check_same_but_tokenizer(reference, candidate)
    difference = kept_tokenizer_difference(reference.path, candidate.path)
    if difference is not None:
        raise InputError(f"`{candidate.name}` is not `{reference.name}`: {difference}", HINT)
    return cautions
