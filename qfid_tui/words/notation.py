"""How a setting is written, on one page: for ``qfid notation`` and the help of the app."""

from __future__ import annotations

NOTATION = (
    ("8", "keys and values in 8 bits; a scale and a bias for every 64 elements"),
    ("4:32", "4 bits, a scale and a bias for every 32 elements: the group"),
    ("k8v4", "keys in 8 bits, values in 4; `k8v4:32` with a group"),
    ("k16v4", "keys at full precision, values in 4 bits"),
    ("4@512", "the first 512 tokens run at full precision; then the whole cache is quantized"),
    ("4~dequantized", "quantize, dequantize, then attend: the error of the quantizer alone"),
    (
        "4~deployed",
        "attend over the codes, as mlx-lm does; what is meant where nothing else is said",
    ),
    ("w4", "the weights in 4 bits, made of the reference in memory; the KV cache stays as it is"),
    ("w4:32", "the same with a scale and a bias for every 32 weights; 64 where nothing is said"),
    ("wmxfp4", "the weights in a format of floats: `wmxfp4`, `wmxfp8` or `wnvfp4`"),
    ("w=org/name", "the weights of a repo in the local cache; `w=org/name@rev` pins a revision"),
    (
        "w=./folder",
        "those of a folder; `../` and `/` begin one too; `%20` stands for a space, `%2B` for a +, "
        "`%2C` for a comma",
    ),
    ("w=./x.gguf", "those of a GGUF file, dequantized"),
    ("w4+8", "weights in 4 bits and a KV cache in 8; any weights with any KV setting"),
)
"""Notation and what it means."""

RULES = (
    "Widths are 2, 3, 4, 5, 6 and 8 bits, 16 for a side at full precision; groups are 32, 64 and "
    "128 and divide the head dimension.",
    "The parts stand in this order: width, :group, @start, ~path. `k8v4:32@512` has three of them.",
    "What begins with `w` is about the weights: 2, 3, 4, 5, 6 or 8 bits, groups of 32, 64 or 128. "
    "Behind a `+` stands a setting of the KV cache.",
    "A list is separated by commas, without blanks: `8,4:32,k8v4`.",
)
"""What holds for all of them, a sentence or two each."""


TITLE = "How a setting is written"


def notation_text(width: int = 80) -> str:
    """Return the page as plain text.

    Args:
        width: Characters of a line.
    """
    import textwrap

    first = max(len(written) for written, _ in NOTATION) + 4
    lines = [TITLE, ""]
    for written, meaning in NOTATION:
        head = f"  {written}".ljust(first)
        lines += textwrap.wrap(meaning, width, initial_indent=head, subsequent_indent=" " * first)
    for rule in RULES:
        lines += ["", *textwrap.wrap(rule, width)]
    return "\n".join(lines) + "\n"
