"""``qfid pull REPO``: download a model into the Hugging Face cache."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "pull",
        description="Download a model into the Hugging Face cache, after checking its small files "
        "for whether it can be scored. Prints the folder it is in. Of a text, prints its name with "
        "the commit, for --corpus.",
    )
    parser.add_argument(
        "repo",
        metavar="REPO",
        help="repo id on the Hugging Face Hub: org/name; or a text of a data set: "
        "hf:org/name:split:column",
    )
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
    from qfid_tui.cli.download import download, download_split
    from qfid_tui.cli.output import print_text
    from scorer.common.errors import InputError
    from scorer.spec.corpora import hub_text

    on_hub = hub_text(args.repo)
    if on_hub is not None:
        if args.revision is not None and on_hub.revision is not None:
            raise InputError(
                "two revisions are named", "give one: behind the @, or with --revision"
            )
        if args.revision is not None:
            on_hub = dataclasses.replace(on_hub, revision=args.revision)
        found = download_split(on_hub, newest=True)
        print_text([f"{found.text.source}\n"])
        return 0
    folder = download(args.repo, args.revision, allow_custom_code=args.allow_custom_code)
    print_text([f"{folder}\n"])
    return 0
