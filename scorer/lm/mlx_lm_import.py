"""mlx-lm imported without what scoring does not need."""

from __future__ import annotations

import importlib
import importlib.util
import resource
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from scorer.common.loans import GiveBack, Loan, replace_attribute, set_here
from scorer.device.run_state import many_open_files
from scorer.lm.quiet_transformers import quiet_first_import
from scorer.lm.torch_later import torch_later

_keeps_limit: ContextVar[bool] = ContextVar("qfid_keeps_file_limit", default=False)
_one_at_a_time = threading.RLock()


def import_mlx_lm(*, light: bool = False) -> Any:
    """``mlx_lm.utils``, imported once.

    Args:
        light: Keep transformers out, whose import takes a second: mlx-lm's package ``__init__``
            and tokenizer module are replaced by empty ones. Only for a process of our own, since
            other code there could no longer ``from mlx_lm import load``. Where mlx-lm is laid out
            differently the plain import is used. The client of the Hub, a seventh of a second, is
            imported by mlx-lm's first download, and nothing here asks for one.
    """
    with _importing():
        if light and "mlx_lm" not in sys.modules:
            _put_stand_ins()
            try:
                with _without_client_of_the_hub():
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
        with _importing():
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


@contextmanager
def _without_client_of_the_hub() -> Iterator[None]:
    """Let ``from huggingface_hub import snapshot_download`` in the block import nothing more."""
    import huggingface_hub

    def snapshot_download(*arguments: Any, **options: Any) -> Any:
        return huggingface_hub.snapshot_download(*arguments, **options)

    if "snapshot_download" in vars(huggingface_hub):
        yield
        return
    # Without this attribute the package imports the client where its function is asked for.
    vars(huggingface_hub)["snapshot_download"] = snapshot_download
    try:
        yield
    finally:
        vars(huggingface_hub).pop("snapshot_download", None)


@contextmanager
def _importing() -> Iterator[None]:
    """Import mlx-lm or transformers in the block; of the process only its modules change."""
    with _one_at_a_time, quiet_first_import(), kept_file_limit(), torch_later():
        yield


def _take() -> GiveBack:
    set_limit = resource.setrlimit

    def set_others(kind: int, limits: tuple[int, int]) -> None:
        if kind != resource.RLIMIT_NOFILE or not _keeps_limit.get():
            set_limit(kind, limits)

    return replace_attribute(resource, "setrlimit", set_others)


_in_place = Loan(_take)


@contextmanager
def kept_file_limit() -> Iterator[None]:
    """Keep mlx-lm from setting the limits on open files in the block, in this thread.

    At its import it sets them to 2048 and 4096: it lowers a hard limit for good, and where that is
    below 4096 its import fails. The soft limit is raised here instead, as far as the hard one
    allows, until the end of the block.
    """
    with many_open_files, _in_place, set_here(_keeps_limit, True):
        yield
