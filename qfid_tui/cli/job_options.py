"""The options that make a job, for ``qfid kv`` and for the app.

Adding them imports nothing; the job checks the values.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfid_tui.state.texts import TextAtLength
    from scorer.spec.deployment import DeploymentSpec
    from scorer.spec.job import ChunkChoice, Job
    from scorer.spec.settings.base import Setting

DEFAULT_BITS = "8,4"


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the model and its download."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--revision",
        "--model-revision",
        metavar="R",
        help="commit, branch or tag of the repo (default: the cached one)",
    )
    group.add_argument(
        "--allow-custom-code",
        action="store_true",
        help="allow the model's own Python files to run, as they are now",
    )
    group.add_argument(
        "--pull", action="store_true", help="download the model if it is not cached, without asking"
    )


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add all other options of a job about the KV cache."""
    group = parser.add_argument_group("settings of the KV cache")
    which = group.add_mutually_exclusive_group()
    which.add_argument(
        "--kv-bits",
        metavar="BITS",
        help=f"widths, comma-separated: 2, 3, 4, 5, 6, 8 (default: {DEFAULT_BITS})",
    )
    which.add_argument(
        "--settings",
        metavar="LIST",
        help="settings in full: 8,4:32,k8v4,4@512 (`qfid notation` lists what can be written)",
    )
    add_cache_options(group)
    add_text_options(parser)


def add_computation_options(group: argparse._ArgumentGroup) -> None:
    """Add the options that hold for every KV setting, whatever is scored."""
    group.add_argument(
        "--kv-group-size",
        type=int,
        metavar="G",
        help="elements that share a scale: 32, 64 or 128 (default: 64, or 32 where 64 does not "
        "divide the model's heads)",
    )
    group.add_argument(
        "--quantize-start",
        type=int,
        default=0,
        metavar="N",
        help="keep the first N tokens at full precision, then convert (default: 0, stress)",
    )
    group.add_argument(
        "--path",
        default="deployed",
        metavar="PATH",
        help="deployed (as mlx-lm computes, default) or dequantized (the quantizer alone)",
    )
    group.add_argument(
        "--kernel",
        default="auto",
        metavar="KERNEL",
        help="auto (default) or mlx-lm: its cache class and attention where they can run",
    )


def add_cache_options(group: argparse._ArgumentGroup) -> None:
    """Add the options that hold for every KV setting where a text is scored."""
    add_computation_options(group)
    group.add_argument(
        "--control",
        action="store_true",
        help="also score the dequantized path of deployed settings",
    )


def add_text_options(
    parser: argparse.ArgumentParser, *, several: bool = True, stops: bool = True
) -> None:
    """Add the options about text and chunks, and about how they are computed.

    Args:
        parser: Where the options are added.
        several: Whether the command takes several texts and lengths.
        stops: Whether the command can stop once every setting is settled.
    """
    group = parser.add_argument_group("text")
    corpora = (
        "wikitext2 (default), builtin (default for demo), code, languages, a file of text, JSON "
        "lines or Parquet, - for standard input, or hf:org/name:split:column"
    )
    group.add_argument(
        "--corpus",
        metavar="TEXT",
        action="append",
        help=corpora
        + "; several, with commas between or by the option again, are a run each" * several,
    )
    group.add_argument(
        "--roles",
        metavar="LIST",
        help="of a chat text, score only what these roles said: assistant, tool_call, user, "
        "system, tool (default: every token)",
    )
    group.add_argument(
        "--chunk-length",
        default="512",
        metavar="N",
        help="tokens per chunk (default: %(default)s)"
        + "; several, with commas between, are a run each" * several,
    )
    group.add_argument(
        "--protocol",
        default="mqf",
        metavar="NAME",
        help="mqf (default) or llama.cpp: which positions of which windows are scored",
    )
    group = parser.add_argument_group("how many chunks")
    group.add_argument(
        "--max-chunks",
        type=int,
        metavar="N",
        help="number of chunks to score (default: all); where a saved run of the same job has "
        "fewer, only those that it lacks are scored",
    )
    group.add_argument(
        "--chunks",
        metavar="WHICH",
        help="which ones, if not all: spread over the text, first, or random:SEED (default: "
        "spread; first with --protocol llama.cpp and --format mqf-json)",
    )
    if stops:
        add_stopping_option(group)
    group = parser.add_argument_group("how they are computed")
    group.add_argument(
        "--noise-floor",
        type=int,
        default=0,
        metavar="K",
        help="repeat K times, at least 4, with the last bit of the input changed; K times the work",
    )
    group.add_argument(
        "--batch-size",
        "--batch",
        type=int,
        dest="batch",
        metavar="N",
        help="chunks per forward pass (default: as memory allows)",
    )
    group.add_argument("--force", action="store_true", help="score even if memory seems too small")


def add_stopping_option(parser: argparse._ActionsContainer) -> None:
    """Add the option that ends a run before all its chunks are scored."""
    parser.add_argument(
        "--until-settled",
        action="store_true",
        help="stop once every setting is settled as good or as worse, by intervals that allow for "
        "looking early; at most --max-chunks",
    )


def settings_of(args: argparse.Namespace) -> tuple[Setting, ...]:
    """Return the settings that the options name.

    Raises:
        InputError: A setting is not valid.
    """
    from scorer.common.errors import InputError
    from scorer.spec.settings.registry import parse_settings

    text = args.settings
    if text is None:
        text = DEFAULT_BITS if args.kv_bits is None else args.kv_bits
        for part in text.split(","):
            if not part.strip().isdecimal():
                raise InputError(
                    f"`{part.strip()}` is not a number of bits",
                    "--kv-bits takes 2, 3, 4, 5, 6 or 8, comma-separated; "
                    "--settings takes k8v4, 4:32, 4@512",
                )
    return parse_settings(
        text, group_size=args.kv_group_size, start=args.quantize_start, path=args.path
    )


def _default_chunks(args: argparse.Namespace) -> ChunkChoice:
    """Which chunks are scored where nobody says."""
    from qfid_tui.cli.rendered_report import MQF_JSON
    from scorer.spec.job import default_chunks

    until_settled = getattr(args, "until_settled", False)
    # What is written for mlx-quant-fidelity is of the chunks that it takes.
    if args.format == MQF_JSON and not until_settled:
        return "first"
    return default_chunks(args.protocol, args.max_chunks, until_settled=until_settled)


def job_of(
    args: argparse.Namespace,
    settings: tuple[Setting, ...] | None = None,
    deployment: DeploymentSpec | None = None,
    text: TextAtLength | None = None,
) -> Job:
    """Make the job that the options describe.

    Paths are made absolute, so that a run can be resumed from any folder.

    Args:
        args: The options.
        settings: The settings; None for those that the options name.
        deployment: Where the model is to run; None where nobody says.
        text: Which text and length; None for the only one that the options name.

    Raises:
        InputError: An option's value is not valid, or the options name several texts or lengths
            and one is needed.
    """
    from qfid_tui.cli.text_options import only_text
    from scorer.common.errors import InputError
    from scorer.spec.job import CorpusSpec, Job
    from scorer.spec.roles import read_roles

    if (args.chunks or "").isdecimal():
        raise InputError(
            f"`{args.chunks}` is not a choice of chunks",
            f"--max-chunks {args.chunks} scores so many",
        )
    corpus, chunk_length = text or only_text(args)
    job = Job(
        model=args.model,
        settings=settings_of(args) if settings is None else settings,
        corpus=CorpusSpec(corpus),
        revision=args.revision,
        protocol=args.protocol,
        chunk_length=chunk_length,
        chunks=args.chunks or _default_chunks(args),
        max_chunks=args.max_chunks,
        kernel=args.kernel,
        control=args.control,
        noise_floor=args.noise_floor,
        batch=args.batch,
        force=args.force,
        one_at_a_time=getattr(args, "one_at_a_time", False),
        deployment=deployment,
        roles=() if args.roles is None else read_roles(args.roles),
        until_settled=getattr(args, "until_settled", False),
    )
    job.check_new()
    return job
