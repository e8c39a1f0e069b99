"""``python -m scorer.bench.verdicts STEP --out DIR``: does the verdict say whether tasks fall?

The steps, each of which goes on where it stood: ``text`` makes the items, ``train`` the models,
``score`` scores every model under every setting, ``report`` says what came out. Several processes
can train and score different models of the same folder. ``all`` is train and score, model by model.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scorer.bench.verdicts.scoring import SETTINGS, score_model
from scorer.bench.verdicts.windows import HeldOut, make_held_out, make_training
from scorer.common.atomic_files import write_atomic
from scorer.common.errors import InputError, QfidError
from scorer.spec.settings.registry import parse_settings

_STEPS = ("text", "train", "score", "all", "report")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one step.

    Returns:
        0, or the exit code of what went wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m scorer.bench.verdicts", description=__doc__)
    parser.add_argument("step", choices=_STEPS)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--models", metavar="NAMES", help="comma-separated (default: all)")
    parser.add_argument("--settings", default=SETTINGS, help="default: %(default)s")
    for name, default, text in (
        ("--items", 2000, "held-out items of each task, at least"),
        ("--chunks", 96, "chunks that a verdict is of"),
        ("--windows", 131_072, "windows to train on"),
        ("--batch", 32, "windows of a training step"),
        ("--score-batch", 32, "windows of a pass where answers are read"),
    ):
        parser.add_argument(
            name, type=_count, default=default, metavar="N", help=f"{text} (default: %(default)s)"
        )
    parser.add_argument("--steps", type=_count, metavar="N", help="training steps, at most")
    parser.add_argument("--processes", type=_count, metavar="N", help="that make training text")
    parser.add_argument("--seconds", type=_time, metavar="S", help="training time of each model")
    parser.add_argument(
        "--scale", type=_time, default=1.0, metavar="X", help="times each model's own time"
    )
    parser.add_argument(
        "--dtype",
        choices=("bfloat16", "float16", "float32"),
        default="bfloat16",
        help="of training (default: %(default)s)",
    )
    args = parser.parse_args(arguments)
    try:
        _do(args)
    except QfidError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return InputError.exit_code
    except subprocess.CalledProcessError as error:
        # The step has said why.
        return error.returncode
    return 0


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not 1 or more")
    return number


def _time(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"`{text}` is no time above 0")
    return number


def _do(args: argparse.Namespace) -> None:
    out: Path = args.out
    if args.step == "report" and not any((out / "scores").glob("*/asked.json")):
        raise InputError(f"`{out}` holds no model that is scored")
    parse_settings(args.settings)
    held_out = make_held_out(out / "text", args.items, args.chunks)
    if args.step == "text":
        make_training(out / "text" / "train.npz", args.windows, args.processes)
    elif args.step == "train":
        for name in _names(args):
            _train(args, name, held_out)
    elif args.step == "score":
        trained = [name for name in _names(args) if _is_trained(out, name)]
        if not trained:
            raise InputError(f"`{out}` holds no trained model of: {', '.join(_names(args))}")
        for name in _names(args):
            if name in trained:
                _score(args, name, held_out)
            else:
                print(f"{name} is not trained", file=sys.stderr)
    elif args.step == "all":
        # MLX reads its environment once: training and scoring want different ones.
        for name in _names(args):
            for step in ("train", "score"):
                subprocess.run(
                    [sys.executable, "-m", __package__, step, *_passed_on(args), "--models", name],
                    check=True,
                )
    else:
        _report(args, held_out)


def _names(args: argparse.Namespace) -> list[str]:
    if args.models:
        return str(args.models).split(",")
    from scorer.bench.verdicts.names import STUDIED

    return list(STUDIED)


def _is_trained(out: Path, name: str) -> bool:
    return (out / "models" / name / "model.safetensors").exists()


def _passed_on(args: argparse.Namespace) -> list[str]:
    given = []
    for name, value in vars(args).items():
        if name not in ("step", "models") and value is not None:
            given += [f"--{name.replace('_', '-')}", str(value)]
    return given


def _train(args: argparse.Namespace, name: str, held_out: HeldOut) -> None:
    from scorer.bench.verdicts.models import PLANS
    from scorer.bench.verdicts.training import Recipe, train

    folder = args.out / "models" / name
    if name not in PLANS:
        raise InputError(f"`{name}` is no model of the study; there are {', '.join(PLANS)}")
    if _is_trained(args.out, name):
        return
    plan = PLANS[name]
    seconds = (plan.seconds if args.seconds is None else args.seconds) * args.scale
    recipe = Recipe(args.batch, seconds, args.steps, args.dtype)
    train(plan, args.out / "text" / "train.npz", folder, recipe, held_out)


def _score(args: argparse.Namespace, name: str, held_out: HeldOut) -> None:
    # The products of a reference are those of the product's own runs.
    os.environ.setdefault("MLX_ENABLE_TF32", "0")
    score_model(
        args.out / "models" / name,
        held_out,
        args.settings,
        args.out / "scores" / name,
        args.score_batch,
    )
    print(f"{name}: scored", flush=True)


def _report(args: argparse.Namespace, held_out: HeldOut) -> None:
    from scorer.bench.verdicts.cells import read_study
    from scorer.bench.verdicts.figures import figures_of
    from scorer.bench.verdicts.report import cells_csv, to_json, to_markdown

    study = read_study(args.out, held_out.items)
    figures = figures_of(study)
    text = "\n".join(to_markdown(study, figures))
    write_atomic(args.out / "report.md", text)
    write_atomic(args.out / "report.json", json.dumps(to_json(study, figures), indent=1))
    write_atomic(args.out / "cells.csv", cells_csv(study))
    print(text)


if __name__ == "__main__":
    sys.exit(main())
