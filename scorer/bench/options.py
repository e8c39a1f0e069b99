"""The options of ``qfid bench`` and ``python -m scorer.bench``. Imports no mlx."""

from __future__ import annotations

import argparse

SHAPES = ("llama-1b", "llama-1b-4bit", "smollm-135m", "wide-vocabulary", "tiny")
"""Random-weight models, see :mod:`scorer.bench.shapes`."""
REPORTED_CHUNKS = 15_000
"""Chunks of the run that ``--report`` makes up."""
DEFAULT_SETTINGS = "8,6,4,3,2"
"""KV settings where nobody names any."""


def add_options(parser: argparse.ArgumentParser) -> argparse._ActionsContainer:
    """Add the options of a benchmark to a parser.

    Returns:
        The group of those that say what is measured, of which exactly one is given.
    """
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("model", metavar="MODEL", nargs="?", help="repo id, a folder, or demo")
    which.add_argument(
        "--shape",
        choices=SHAPES,
        metavar="SHAPE",
        help=f"a model with random weights, without a download: {', '.join(SHAPES)}",
    )
    which.add_argument(
        "--report",
        type=int,
        nargs="?",
        const=REPORTED_CHUNKS,
        metavar="CHUNKS",
        help="the report of a made-up run of so many chunks (%(const)s if left out), saved in a "
        "temporary folder: its time against reading the run once, and its memory",
    )
    parser.add_argument(
        "--kv-bits",
        metavar="BITS",
        help=f"settings, comma-separated (default: {DEFAULT_SETTINGS}; none with --weights)",
    )
    parser.add_argument(
        "--weights",
        metavar="BITS",
        help="precisions to make of the model's weights, such as 8,4:32: measure the scoring of "
        "all of them, together and in turns, and of each with each KV setting",
    )
    parser.add_argument(
        "--path",
        choices=("dequantized", "deployed"),
        default="dequantized",
        help="the quantizer alone (default), or the computation of mlx-lm",
    )
    for name, default, text in (
        ("--max-chunks", 4, "chunks to score"),
        ("--repeats", 3, "alternating runs of both; the fastest counts"),
        ("--chunk-length", 512, "tokens per chunk"),
    ):
        parser.add_argument(
            name, type=int, metavar="N", default=default, help=f"{text} (default: %(default)s)"
        )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="chunks per forward pass (default: the device's)"
    )
    parser.add_argument(
        "--ranks",
        metavar="LIST",
        help="score with so many processes each, such as 1,2, and print the efficiency: "
        "rate of n ÷ (n · rate of 1)",
    )
    parser.add_argument(
        "--start",
        action="store_true",
        help="measure the seconds from the start of the scorer's process to its first scored "
        "batch instead, without compiled kernels on disk and with them",
    )
    parser.add_argument("--format", choices=("md", "json"), default="md", help="md (default), json")
    return which
