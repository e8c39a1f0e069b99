"""The command line: runs a command or opens the app, and turns errors into exit codes.

``qfid --help`` and ``--version`` import very little. The module of a command is imported when it
runs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qfid_tui.cli.diagnostics import say, say_with_hint, show_error
from scorer._version import __version__
from scorer.common.errors import InputError, QfidError

if TYPE_CHECKING:
    import argparse

    from qfid_tui.cli.parser import Parser

COMMANDS = {
    "kv": "score KV-cache settings of a model and print the report",
    "weights": "score quantized weights, alone and with KV-cache settings",
    "fit": "find out what to run in a given memory",
    "tasks": "accuracy and flips of answers on downstream tasks",
    "resume": "score the missing chunks of a saved run",
    "report": "print the report of a saved run again",
    "runs": "list the saved runs",
    "diff": "pair two saved runs that scored the same on other machines",
    "site": "make a static page about many runs",
    "models": "list the cached models, and why some cannot be scored",
    "pull": "download a model",
    "notation": "how settings are written",
    "bench": "time scoring against bare forward passes on this machine",
    "doctor": "examine this machine: what is slow on it and how to fix it",
}
SHARED = ("kv", "weights", "fit", "resume")
"""Commands whose run ranks can share."""
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, or open the app without one.

    Args:
        arguments: The arguments after ``qfid``; None for those of the process.

    Returns:
        Exit code: 0 report, 1 internal error or a setting failed, 2 wrong input, 3 not enough
        memory, 4 ``--fail-under`` not met or ``qfid diff`` beyond ``--within``, 5 neither met nor
        failed for sure, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _reserve_descriptors()
    try:
        code = _dispatch(words)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except QfidError as error:
        show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        from qfid_tui.cli.output import silence_stdout

        silence_stdout()
        return 0
    except Exception as error:
        return _internal_error(error)


def _dispatch(words: list[str]) -> int:
    if not words:
        # Without arguments, argparse is not needed and the app opens sooner.
        return _open_app(None)
    import argparse

    from qfid_tui.cli.parser import Parser

    if words[0] in SHARED and _follows():
        from qfid_tui.process.launched_rank import follow

        return follow()
    if words[0] in COMMANDS:
        module = importlib.import_module(f"qfid_tui.cli.commands.{words[0]}")
        parser = Parser(prog="qfid")
        commands = parser.add_subparsers()
        module.add_parser(commands)
        args, unknown = parser.parse_known_args(words)
        if unknown:
            commands.choices[words[0]].refuse_unknown(unknown)
        code: int = module.run(args)
        return code
    if not words[0].startswith("-"):
        _refuse_misspelled_command(words)
    parser = _app_parser()
    # Options that are not given are None, so that the app can tell them from explicit defaults.
    args, unknown = parser.parse_known_args(
        words, argparse.Namespace(**dict.fromkeys(_names(parser)))
    )
    if unknown:
        parser.refuse_unknown(unknown)
    return _open_app(args)


def _follows() -> bool:
    """Whether a program such as ``mlx.launch`` started this process beside its rank 0."""
    import os

    if "MLX_RANK" not in os.environ:
        return False
    from scorer.spec.ranks import launched_rank

    return bool(launched_rank(os.environ))


def _app_parser() -> Parser:
    import argparse

    from qfid_tui.cli.job_options import add_job_options, add_model_options
    from qfid_tui.cli.parser import Parser
    from qfid_tui.cli.rank_options import add_rank_options

    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name.ljust(width)}  {what}" for name, what in COMMANDS.items())
    parser = Parser(
        prog="qfid",
        usage="qfid [MODEL] [options]\n       qfid COMMAND [options]",
        description="See what quantizing the KV cache or the weights of a language model costs,\n"
        "on real text. Without a command the app opens; its options stand below.\n\n"
        f"commands (`qfid COMMAND --help` tells more):\n{lines}",
        epilog="A local folder named like a command is given as ./kv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"qfid {__version__}")
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="repo id in the local cache, a folder, or demo",
    )
    add_model_options(parser)
    add_job_options(parser)
    add_rank_options(parser)
    return parser


def _names(parser: Parser) -> list[str]:
    return [action.dest for action in parser._actions]


_OTHER_COMMANDS = {
    "compare": "`qfid weights REF QUANT` compares weights, `qfid kv MODEL` KV settings",
    "convert": "`qfid` converts nothing: `qfid weights MODEL --bits 4` measures what it would cost",
}
"""Commands of other programs, and which of ours does the same."""


def _refuse_misspelled_command(words: list[str]) -> None:
    """Refuse a first word that is similar to a command, before the app takes it as a model.

    Raises:
        InputError: The word is similar to a command, which the hint names.
    """
    import difflib
    import shlex
    from pathlib import Path

    model = words[0]
    if model in _OTHER_COMMANDS and not Path(model).exists():
        raise InputError(f"`{model}` is not a command of qfid", _OTHER_COMMANDS[model])
    close = difflib.get_close_matches(model, COMMANDS, n=1, cutoff=0.75)
    if close and not Path(model).exists():
        raise InputError(
            f"`{model}` is neither a command nor a folder",
            f"did you mean `{shlex.join(['qfid', close[0], *words[1:]])}`?",
        )


def _reserve_descriptors() -> None:
    """Let no file take the place of a standard stream that was closed: it would be written to."""
    import os

    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _open_app(args: argparse.Namespace | None) -> int:
    app = importlib.import_module("qfid_tui.app.run_app")
    code: int = app.run_app(args)
    return code


def _internal_error(error: Exception) -> int:
    """Report an unexpected exception and its place in the source on one line; return 1."""
    import os
    import traceback

    from scorer.common.error_text import named_line
    from scorer.common.foreign_packages import foreign_import
    from scorer.common.process_limits import limit_reached

    known = limit_reached(error) or foreign_import(error)
    if known is not None:
        show_error(known)
        return known.exit_code
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    say_with_hint(
        "error",
        f"internal error: {named_line(error)}{where}",
        "please report it; QFID_TRACEBACK=1 shows where it comes from",
    )
    if os.environ.get("QFID_TRACEBACK"):
        traceback.print_exception(error)
    return 1
