"""Opens the app: from the command line or with the choices of the last session."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from qfid_tui.app.app import QfidApp

if TYPE_CHECKING:
    import argparse

_THREADS = 8


def run_app(args: argparse.Namespace | None) -> int:
    """Open the app.

    Args:
        args: The command line's, an option that was not given being None; None for none at all.

    Returns:
        Exit code: 0, 1 after an error of the app itself, or 128 and the number of the signal that
        ended it.

    Raises:
        InputError: An option's value is not valid, or there is no terminal.
    """
    from scorer.common.errors import InputError
    from scorer.common.process_limits import require_threads

    hint = "`qfid kv MODEL` scores without one"
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        raise InputError("the app needs a terminal", hint)
    if os.environ.get("TERM") == "dumb":
        raise InputError("the app needs a terminal that it can paint, and TERM is `dumb`", hint)
    # Its own and Textual's, before the terminal is taken.
    require_threads(_THREADS)
    app = QfidApp() if args is None else _chosen_app(args)
    if args is not None:
        from qfid_tui.cli.rank_options import ranks_of

        # The options screen has their number; how they split a model, only the command line.
        app.ranks = ranks_of(args) if args.shard is not None else None
    try:
        code = app.run()
    finally:
        app.kill_children()
    if app.has_failed or app.return_code == 1:
        print(f"qfid: the app has failed; {_saved(app)}", file=sys.stderr)
        return 1
    return (app.return_code or 0) if code is None else code


def _saved(app: QfidApp) -> str:
    """What the run on the screen has saved, and the command that goes on with it."""
    if not app.workbench.is_filled or app.comparison.run is None or not app.comparison.saved:
        return "no scored chunk was waiting to be saved"
    from scorer.report.formats.inline import plural

    run, chunks = app.comparison.run, plural(app.comparison.saved, "scored chunk")
    return f"{chunks} of it saved: `qfid resume {run}` goes on"


def _chosen_app(args: argparse.Namespace) -> QfidApp:
    """The app with the choices of the last session and those of the command line.

    The model is downloaded if asked.
    """
    from qfid_tui.state.allowed_code import AllowedCode
    from qfid_tui.state.choices_from_arguments import with_arguments
    from qfid_tui.state.kept_choices import load_choices

    kept = load_choices()
    choices = with_arguments(kept, args)
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
    return QfidApp(choices, allowed=allowed, kept=kept)
