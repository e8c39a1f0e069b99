"""``python -m scorer.bench.readme QUANTIZED FULL``: measure the README's figures anew.

QUANTIZED and FULL are SmolLM2-135M-Instruct with 4-bit weights (group 32) and with float32
weights. Every run is one of a child process with a data folder of its own. All sections together
take half an hour on two cores; the machine should have nothing else to do for the section speed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scorer.bench.readme.architectures import architectures_block, measured_architectures
from scorer.bench.readme.figures import figures_block
from scorer.bench.readme.sections import (
    ARCHITECTURES,
    FIGURES,
    SECTIONS,
    SPEED,
    section_of,
    with_section,
)
from scorer.bench.readme.speed import measured_speed, speed_block
from scorer.common.errors import InputError, QfidError


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print or write, section by section.

    Returns:
        0, or the exit code of what went wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m scorer.bench.readme", description=__doc__)
    parser.add_argument("quantized", metavar="QUANTIZED")
    parser.add_argument("full", metavar="FULL")
    parser.add_argument(
        "--peer",
        metavar="PYTHON",
        default=os.environ.get("QFID_PEER_PYTHON"),
        help="a Python that has mlx-quant-fidelity; without one its figures are left out",
    )
    parser.add_argument(
        "--sections",
        metavar="NAMES",
        default=",".join(SECTIONS),
        help="which to measure, comma-separated (default: %(default)s)",
    )
    parser.add_argument(
        "--write", metavar="FILE", type=Path, help="put them into this file, between its marks"
    )
    args = parser.parse_args(arguments)
    try:
        sections = _sections(args.sections)
        if args.write is not None:
            # Before the first is measured: it takes long.
            readme = args.write.read_text("utf-8")
            for section in sections:
                with_section(readme, section, section_of(readme, section))
        for section in sections:
            made = measured(section, args.quantized, args.full, args.peer)
            if args.write is None:
                print(f"{made}\n", flush=True)
            else:
                readme = with_section(args.write.read_text("utf-8"), section, made)
                args.write.write_text(readme, "utf-8")
    except QfidError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    return 0


def _sections(names: str) -> list[str]:
    asked = names.split(",")
    unknown = [name for name in asked if name not in SECTIONS]
    if unknown:
        raise InputError(f"no section `{unknown[0]}`: there are {', '.join(SECTIONS)}")
    return asked


def measured(section: str, quantized: str, full: str, peer: str | None) -> str:
    """Measure a section and write it as Markdown.

    Raises:
        QfidError: It cannot be measured here.
    """
    if section == FIGURES:
        return figures_block(quantized, full, peer)
    if section == SPEED:
        return speed_block(measured_speed(quantized, full, peer))
    assert section == ARCHITECTURES
    return architectures_block(measured_architectures())


if __name__ == "__main__":
    sys.exit(main())
