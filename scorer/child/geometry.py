"""The child process that measures the shapes of models from their configs, many in one process."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from scorer.common.errors import QfidError
from scorer.common.process_limits import limit_memory

# What building a module may take beyond what the imports took.
_MOST_BYTES = 4 << 30


def measure_all(events: IO[str], lines: Iterable[bytes]) -> int:
    """Measure models one after the other.

    Args:
        events: Where outcomes go, one JSON object a line, flushed each: ``key`` and ``outcome``
            (see :func:`scorer.models.kept_geometry.outcome_to_json`), or ``error``, one line on
            what is not to be kept: a file that cannot be read, too little memory.
        lines: One JSON object each: ``folder``, and ``allow_custom_code``, see
            :func:`scorer.models.custom_code.consent_from_json`.

    Returns:
        Exit code 0.
    """
    from scorer.lm.mlx_lm_import import import_mlx_lm

    import_mlx_lm(light=True)
    import mlx.core as mx

    if platform.system() == "Linux":
        # On a GPU even constants of a module would be put there. On a Mac some modules name it.
        mx.set_default_device(mx.cpu)
    # A compiled function of a model would start a C++ compiler on a CPU.
    mx.disable_compile()
    limit_memory(_MOST_BYTES)
    for line in lines:
        events.write(json.dumps(_answer(line)) + "\n")
        events.flush()
    return 0


def _answer(line: bytes) -> dict[str, Any]:
    from scorer.lm.measured_geometry import measure_folder
    from scorer.models.custom_code import consent_from_json
    from scorer.models.kept_geometry import outcome_to_json

    try:
        request = json.loads(line)
        consent = consent_from_json(request["allow_custom_code"])
        key, outcome = measure_folder(Path(request["folder"]), allow_custom_code=consent)
    except QfidError as error:
        return {"error": error.message, "hint": error.hint}
    except MemoryError:
        return {"error": "its config.json describes more than memory holds", "hint": ""}
    return {"key": key, "outcome": outcome_to_json(outcome)}
