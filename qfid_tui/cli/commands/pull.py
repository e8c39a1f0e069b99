"""``qfid pull REPO``: download a model into the Hugging Face cache."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "pull",
        description="Download a model into the Hugging Face cache, after checking its small files "
        "for whether it can be scored. Prints the folder it is in.",
    )
    parser.add_argument("repo", metavar="REPO", help="repo id on the Hugging Face Hub: org/name")
    parser.add_argument(
        "--revision",
        "--model-revision",
        metavar="R",
        help="commit, branch or tag (default: main)",
    )
    parser.add_argument(
        "--allow-custom-code",
        action="store_true",
        help="allow a model's own Python file, and download it",
    )


def run(args: argparse.Namespace) -> int:
    """Download, print the folder and return 0.

    Raises:
        InputError: It cannot be downloaded or scored.
        Interrupted: The user stopped it.
    """
    from qfid_tui.cli.download import download
    from qfid_tui.cli.output import print_text

    folder = download(args.repo, args.revision, allow_custom_code=args.allow_custom_code)
    print_text([f"{folder}\n"])
    return 0
