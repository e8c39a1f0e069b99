"""Values for what a config leaves out, so that the cost of its cache is known all the same.

mlx-lm refuses a config that lacks, say, ``rms_norm_eps``. Such a model cannot be scored, but what
its cache takes does not depend on it.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

# Names of values that the shape of a cache can depend on. Those of state-space layers are others'.
_OF_THE_CACHE = re.compile(
    r"heads|num_.*layers|n_layers?$|layer_types|layers_block|kv_|_kv|head_dim|window|rank|hidden_"
)
_OF_A_STATE = ("mamba_", "ssm_")
_VALUES = {"bool": False, "int": 1, "float": 1.0, "str": "silu"}
_KIND = re.compile(r"(?:<class '|typing\.|Optional\[)*(bool|int|float|str)\b")


def with_stand_ins(arguments_class: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Return a config with a value for each number that it lacks and no cache depends on.

    Args:
        arguments_class: mlx-lm's class of arguments.
        config: The whole of ``config.json``.
    """
    given = dict(config)
    for name, parameter in inspect.signature(arguments_class).parameters.items():
        if name in config or _is_of_the_cache(name):
            continue
        annotation = str(parameter.annotation)
        if (kind := _KIND.match(annotation)) and parameter.default in (parameter.empty, None):
            given[name] = _VALUES[kind[1]]
        elif parameter.default is parameter.empty:
            given[name] = []
    return given


def _is_of_the_cache(name: str) -> bool:
    return bool(_OF_THE_CACHE.search(name)) and not name.startswith(_OF_A_STATE)
