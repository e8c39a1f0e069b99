"""The command line's options, applied to the choices."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from qfid_tui.state.choices import Choices
from qfid_tui.state.paths import absolute
from qfid_tui.state.text_names import CORPORA
from scorer.common.errors import InputError
from scorer.spec.job import SETTLED_ORDER, STANDARD_INPUT, default_chunks
from scorer.spec.settings.registry import parse_settings


def with_arguments(choices: Choices, args: argparse.Namespace) -> Choices:
    """Replace the choices that the command line gives.

    Args:
        choices: The choices of the last session.
        args: The parsed options; an option that was not given is None.

    Raises:
        InputError: The value of an option is not valid.
    """
    given = {
        "revision": args.revision,
        "group_size": args.kv_group_size,
        "start": args.quantize_start,
        "path": args.path,
        "kernel": args.kernel,
        "protocol": args.protocol,
        "chunk_length": args.chunk_length,
        "chunks": args.chunks,
        "max_chunks": args.max_chunks,
        "until_settled": args.until_settled or None,
        "noise_floor": args.noise_floor,
        "batch": args.batch,
        "ranks": absolute(args.hostfile) if args.hostfile else args.ranks,
        "control": args.control or None,
        "force": args.force or None,
    }
    if args.model is not None:
        name = _model_name(args.model)
        choices = choices if choices.model == name else choices.for_model(name)
        choices = dataclasses.replace(choices, revision=None)
    if args.corpus == STANDARD_INPUT:
        raise InputError(
            "the app reads keys from standard input, not a text",
            "`qfid kv` with --corpus - reads it",
        )
    if args.corpus is not None:
        corpus = args.corpus if args.corpus in CORPORA else absolute(args.corpus)
        choices = dataclasses.replace(choices, corpus=corpus)
    changes = {name: value for name, value in given.items() if value is not None}
    most = args.max_chunks or choices.max_chunks
    if args.until_settled and args.chunks is None:
        changes |= {"chunks": SETTLED_ORDER, "max_chunks": args.max_chunks}
    elif args.protocol is not None and args.chunks is None:
        stops = choices.until_settled
        changes["chunks"] = default_chunks(args.protocol, most, until_settled=stops)
    elif args.chunks is not None and not args.until_settled:
        changes["until_settled"] = False
    choices = dataclasses.replace(choices, **changes)
    if args.settings is not None or args.kv_bits is not None:
        choices = _ticking_only(choices, args)
    # An error is printed now, on standard error, and not when the job is made.
    choices.check()
    return choices


def _ticking_only(choices: Choices, args: argparse.Namespace) -> Choices:
    """Tick the settings that the command line names and no others."""
    settings = parse_settings(
        args.settings if args.settings is not None else args.kv_bits,
        group_size=choices.asked_group,
        start=choices.start,
        path=choices.path,  # type: ignore[arg-type]  # checked in KVSetting
    )
    # Widths on the command line are those of keys and values, whatever the last session chose.
    return dataclasses.replace(choices, key_bits=None).ticking_only(settings)


def _model_name(model: str) -> str:
    """A repo id unchanged; a folder by its absolute path."""
    from scorer.models.hub_cache import is_repo_id

    try:
        path = Path(model).expanduser()
        is_folder = path.is_dir() and ((path / "config.json").exists() or not is_repo_id(model))
    except (OSError, RuntimeError, ValueError):
        return model
    return absolute(model) if is_folder else model
