"""mlx-lm imported without what scoring does not need."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import resource
import sys
import types
from collections.abc import Iterator
from typing import Any


def import_mlx_lm(*, light: bool = False) -> Any:
    """``mlx_lm.utils``, imported once.

    Args:
        light: Keep transformers out, whose import takes a second: mlx-lm's package ``__init__``
            and tokenizer module are replaced by empty ones. Only for a process of our own, since
            other code there could no longer ``from mlx_lm import load``. Where mlx-lm is laid out
            differently the plain import is used.
    """
    with kept_file_limit():
        if light and "mlx_lm" not in sys.modules:
            _put_stand_ins()
            try:
                return importlib.import_module("mlx_lm.utils")
            except (ImportError, AttributeError):
                for name in [n for n in sys.modules if n.split(".")[0] == "mlx_lm"]:
                    del sys.modules[name]
        return importlib.import_module("mlx_lm.utils")


def import_mlx_lm_with_tokenizers() -> Any:
    """``mlx_lm.utils`` whose ``load_tokenizer`` works; imports transformers.

    After a light import the stand-in of mlx-lm's tokenizer module gives way to the real one.
    """
    utils = import_mlx_lm()
    if getattr(sys.modules["mlx_lm.tokenizer_utils"], "load", None) is None:
        with kept_file_limit():
            del sys.modules["mlx_lm.tokenizer_utils"]
            tokenizers = importlib.import_module("mlx_lm.tokenizer_utils")
        utils.TokenizerWrapper = tokenizers.TokenizerWrapper
        utils._load_tokenizer = tokenizers.load
    return utils


def _put_stand_ins() -> None:
    spec = importlib.util.find_spec("mlx_lm")
    if spec is None or spec.submodule_search_locations is None:
        return
    package = types.ModuleType("mlx_lm")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    tokenizers = types.ModuleType("mlx_lm.tokenizer_utils")
    tokenizers.TokenizerWrapper = object  # type: ignore[attr-defined]
    tokenizers.load = None  # type: ignore[attr-defined]
    sys.modules["mlx_lm"] = package
    sys.modules["mlx_lm.tokenizer_utils"] = tokenizers


@contextlib.contextmanager
def kept_file_limit() -> Iterator[None]:
    """Undo mlx-lm's lowering of the soft limit on open files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        yield
    finally:
        after = resource.getrlimit(resource.RLIMIT_NOFILE)
        if after[0] < before[0]:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], after[1]), after[1]))
