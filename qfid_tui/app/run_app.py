"""Opens the app: from the command line or with the choices of the last session."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qfid_tui.app.app import QfidApp

if TYPE_CHECKING:
    import argparse

    from qfid_tui.state.allowed_code import AllowedCode
    from qfid_tui.state.choices import Choices

_THREADS = 8


def run_app(args: argparse.Namespace | None) -> int:
    """Open the app.

    Args:
        args: The command line's, an option that was not given being None; None for none at all.

    Returns:
        Exit code: 0, or 128 and the number of the signal that ended it.

    Raises:
        InputError: An option's value is not valid, or there is no terminal.
    """
    import sys

    from scorer.common.process_limits import require_threads

    hint = "`qfid kv MODEL` scores without one"
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        from scorer.common.errors import InputError

        raise InputError("the app needs a terminal", hint)
    if os.environ.get("TERM") == "dumb":
        from scorer.common.errors import InputError

        raise InputError("the app needs a terminal that it can paint, and TERM is `dumb`", hint)
    # Its own and Textual's, before the terminal is taken.
    require_threads(_THREADS)
    choices, allowed = (None, None) if args is None else _chosen(args)
    app = QfidApp(choices, allowed=allowed)
    try:
        code = app.run()
    finally:
        app.kill_children()
    return (app.return_code or 0) if code is None else code


def _chosen(args: argparse.Namespace) -> tuple[Choices, AllowedCode]:
    """The choices of the last session with the command line's, and the code that may run.

    The model is downloaded if asked.
    """
    from qfid_tui.state.allowed_code import AllowedCode
    from qfid_tui.state.choices_from_arguments import with_arguments
    from qfid_tui.state.kept_choices import load_choices

    choices = with_arguments(load_choices(), args)
    allowed = AllowedCode()
    if args.model is not None:
        from qfid_tui.cli.cached_model import ensure_model
        from scorer.models.custom_code import hashes

        consent = bool(args.allow_custom_code)
        info = ensure_model(
            args.model, args.revision, allow_custom_code=consent, pull=bool(args.pull)
        )
        if consent and choices.model is not None:
            allowed.allow(choices.model, hashes(info.code))
    return choices, allowed
