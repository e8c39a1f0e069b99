"""A model's module built from ``config.json`` alone: its parameters are lazy, none is computed."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import mlx.nn as nn

from scorer.common.error_text import named_line
from scorer.common.errors import InputError
from scorer.lm.mlx_lm_import import import_mlx_lm
from scorer.lm.stand_ins import with_stand_ins
from scorer.models.config import untagged
from scorer.models.config_geometry import guessed_geometry, vocab_size
from scorer.models.custom_code import Consent, allowed_content, model_code

# The largest models take a tenth of a second and of a GiB.
_SECONDS = 10.0
_BYTES = 2 << 30
_CALLS_PER_CHECK = 2000


def build_skeleton(
    folder: Path, config: dict[str, Any], *, allow_custom_code: Consent, stand_ins: bool = False
) -> nn.Module:
    """Build mlx-lm's module of a config, as ``mlx_lm.utils.load_model`` does before the weights.

    Args:
        folder: The model's folder; only a Python file of its own is read from it.
        config: The whole of ``config.json``.
        allow_custom_code: Whether the Python file that the config names may run.
        stand_ins: Take any value for what the config lacks and no cache depends on.

    Raises:
        CustomCodeRefused: It may not.
        InputError: A size in the config is larger than any model's, building takes too much time
            or memory, or it fails; one line. Its cause is what went wrong first.
    """
    # Sizes that no model has are refused before anything is built of them.
    guessed_geometry(config)
    vocab_size(config)
    utils = import_mlx_lm()
    from scorer.lm.building import model_is_built

    try:
        with model_is_built(), building_limits():
            model_class, arguments_class = _classes(folder, config, utils, allow_custom_code)
            # Some classes change what they are given.
            given = untagged(config)
            if stand_ins:
                given = with_stand_ins(arguments_class, given)
            module: nn.Module = model_class(arguments_class.from_dict(given))
            module.eval()
    except (KeyboardInterrupt, InputError):
        raise
    except BaseException as error:
        # BaseException: an architecture module of mlx-lm ends the interpreter when a package of
        # its own is missing.
        # mlx-lm raises ValueError where an architecture misses a package.
        raise InputError(
            f"mlx-lm cannot build it from its config.json: {named_line(error)}",
            "the file is damaged, or made for another version of mlx-lm",
        ) from (error.__cause__ or error)
    return module


def _classes(
    folder: Path, config: dict[str, Any], utils: Any, allow_custom_code: Consent
) -> tuple[Any, Any]:
    name = model_code(config)
    if name is None:
        classes: tuple[Any, Any] = utils._get_classes(config)
        return classes
    return custom_classes(folder, name, allow_custom_code)


def custom_classes(folder: Path, name: str, allow_custom_code: Consent) -> tuple[Any, Any]:
    """Classes of model and arguments that a Python file of a model's folder defines.

    As ``mlx_lm.utils.load_model`` gets them, but what runs is the content that was allowed, also
    where the file is replaced at this moment.

    Args:
        folder: The model's folder.
        name: Name of the file.
        allow_custom_code: Whether it may run.

    Raises:
        CustomCodeRefused: It may not.
        Exception: What the code raises.
    """
    content = allowed_content(folder, name, allow_custom_code)
    path = str(folder / name)
    module = types.ModuleType("custom_model")
    module.__file__ = path
    exec(compile(content, path, "exec", dont_inherit=True), module.__dict__)
    return module.Model, module.ModelArgs


@contextlib.contextmanager
def building_limits(seconds: float = _SECONDS, most_bytes: int = _BYTES) -> Iterator[None]:
    """End Python code of this thread that takes too much of the processor or of memory.

    Args:
        seconds: Of processor time.
        most_bytes: By which the process may exceed the most it has held so far.

    Raises:
        InputError: It took more.
    """
    end, held = time.thread_time() + seconds, most_held()
    calls = 0

    def check(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % _CALLS_PER_CHECK:
            return
        took = f"{seconds:.0f} s" if time.thread_time() > end else ""
        if most_held() - held > most_bytes:
            took = f"{most_bytes / 2**30:.0f} GiB"
        if took:
            raise InputError(
                f"its config.json describes a model that takes over {took} to build",
                "the file is damaged; download the model again",
            )

    before = sys.getprofile()
    sys.setprofile(check)
    try:
        yield
    finally:
        sys.setprofile(before)


def most_held() -> int:
    """Bytes of memory this process has held at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
