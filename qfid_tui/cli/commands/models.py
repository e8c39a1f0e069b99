"""``qfid models``: list the cached models, and why some cannot be scored."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorer.models.listing import Listing

FORMATS = ("text", "md", "json")


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "models",
        description="List the models in the Hugging Face cache, most recently used first, then "
        "those that cannot be scored and why. No weights are read.",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="text (default), md or json"
    )


def run(args: argparse.Namespace) -> int:
    """Print the list and return 0."""
    from qfid_tui.cli.diagnostics import say
    from qfid_tui.cli.output import print_text
    from scorer.models.hub_cache import hub_folder
    from scorer.models.listing import list_models
    from scorer.models.measuring import measured_models

    hub = hub_folder()
    listing = list_models(hub)
    if list(measured_models(listing.scorable)):
        listing = list_models(hub)
    print_text(_parts(listing, args.format, str(hub)))
    if not listing.scorable:
        say(
            f"no model in `{hub}` can be scored; `qfid pull org/name` downloads one, "
            "`demo` is built in"
        )
    return 0


def _parts(listing: Listing, format: str, hub: str) -> Iterable[str]:
    from qfid_tui.words import model_list

    if format == "json":
        import json

        yield json.dumps(model_list.to_json(listing, hub), indent=2) + "\n"
        return
    lines = (
        model_list.to_markdown(listing)
        if format == "md"
        else model_list.to_text(listing, _terminal_width())
    )
    yield from (f"{line}\n" for line in lines)


def _terminal_width() -> int | None:
    """Return the columns of the terminal on standard output, or None."""
    import shutil
    import sys

    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns
