"""What a program notices of its own process: compared before and after something else ran in it."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models import base as mlx_lm_base

from scorer.device.run_state import compiles


def process_state() -> dict[str, Any]:
    """Environment, limits, streams, loggers, filters, switches and functions of libraries."""
    found: dict[str, Any] = {f"variable {name}": value for name, value in os.environ.items()}
    # pytest names the phase of the test here.
    found.pop("variable PYTEST_CURRENT_TEST", None)
    for name in ("RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_DATA"):
        found[name] = resource.getrlimit(getattr(resource, name))
    for name in ("stdin", "stdout", "stderr", "excepthook", "unraisablehook"):
        found[f"sys.{name}"] = getattr(sys, name)
    for name in ("transformers", "huggingface_hub", ""):
        logger = logging.getLogger(name)
        handlers = [(handler, tuple(handler.filters)) for handler in logger.handlers]
        found[f"logger {name}"] = (logger.level, logger.propagate, handlers)
    found["filters"] = (list(warnings.filters), warnings.showwarning)
    found["signals"] = [signal.getsignal(number) for number in signal.valid_signals()]
    found["profiler"] = (sys.getprofile(), sys.gettrace())
    found["compiles"] = compiles()
    found["device"] = mx.default_device()
    found["random numbers"] = (mx.random.state[0].tolist(), np.random.get_state()[1].tolist())
    found["setrlimit"] = resource.setrlimit
    for owner in (mx, mx.fast, nn, nn.layers.activations, mlx_lm_base):
        found |= _functions(owner.__name__, owner)
    for name, module in list(sys.modules.items()):
        if name.startswith("mlx_lm.") or name == "transformers.utils.chat_template_utils":
            found |= _functions(name, module)
    constants = sys.modules.get("huggingface_hub.constants")
    found["offline"] = getattr(constants, "HF_HUB_OFFLINE", None)
    return found


def _functions(where: str, owner: Any) -> dict[str, Any]:
    found = {}
    for name, value in list(vars(owner).items()):
        if name.startswith("__"):
            continue
        found[f"{where}.{name}"] = value if callable(value) else id(value)
        if isinstance(value, type) and issubclass(value, nn.Module | mlx_lm_base.BaseModelArgs):
            for method, function in list(vars(value).items()):
                if callable(function) or isinstance(function, classmethod):
                    found[f"{where}.{name}.{method}"] = function
    return found


@contextmanager
def nothing_changes() -> Iterator[None]:
    """Fail where the block leaves something of the process other than it was.

    What was imported in the block is new, and no change.
    """
    before = process_state()
    try:
        yield
    finally:
        after = process_state()
    for name, value in before.items():
        assert name in after, f"{name} is gone"
        assert after[name] == value or after[name] is value, name
    new = [name for name in after.keys() - before.keys() if name.startswith("variable ")]
    assert not new, new
