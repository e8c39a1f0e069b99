"""The cases that two versions are compared on, as data."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REAL_MODEL = "local-test/SmolLM2-135M-Instruct-4bit"
"""The real model where none is named, in a prepared Hugging Face cache."""

SETTINGS = "8,6,5,4:32,k8v4,k16v4,3,2,4@128,4~dequantized"
MLX_SETTINGS = "8,3,k8v4,4@128"
# Earlier versions take the first chunks where nothing is said, and spread others over a text.
_SHORT = ("--batch", "1", "--chunks", "first", "--max-chunks")


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        name: What it is called; it begins with its group: ``demo``, ``real`` or ``gpu``.
        arguments: Of ``qfid kv``, the model left out.
        environment: Variables on top of those of the session.
        needs_real_model: The real model is scored on WikiText-2, else the demo on its own text.
        how: ``scored``: in one go. ``resumed``: stopped after the first chunk and resumed, also
            compared with a run in one go. ``handed over``: stopped by the version before and
            resumed by the later one; what the version before has finished, reported by the later.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    needs_real_model: bool = False
    how: str = "scored"

    @property
    def group(self) -> str:
        """The first word of the name."""
        return self.name.partition("-")[0]

    def words(self, model: str) -> list[str]:
        """Everything behind ``qfid``; ``model`` is the real one."""
        return ["kv", model if self.needs_real_model else "demo", *self.arguments]


def _cases() -> list[Case]:
    mlx = {"QFID_CPU_ARITHMETIC": "mlx"}
    gpu = {"QFID_DEVICE": "gpu"}
    plain = {name: "plain" for name in ("QFID_PIPELINE", "QFID_QUANTIZER", "QFID_METRICS")}
    listed = ("--settings", SETTINGS)
    by_mlx = ("--settings", MLX_SETTINGS)
    # Long enough for `4@128`, at half the time.
    shorter = ("--chunk-length", "256")
    return [
        Case("demo-default", (*_SHORT, "2")),
        Case("demo-list", (*listed, *_SHORT, "2")),
        Case("demo-control", (*listed, *_SHORT, "2", "--control")),
        Case("demo-noise", (*listed, *_SHORT, "2", "--noise-floor", "4")),
        Case("demo-llama.cpp", (*listed, *_SHORT, "2", "--protocol", "llama.cpp")),
        Case(
            "demo-batch",
            (*listed, *"--batch 3 --max-chunks 7 --chunks first --chunk-length 160".split()),
        ),
        Case("demo-mlx-lm", (*by_mlx, *_SHORT, "2", "--kernel", "mlx-lm", "--control")),
        Case("demo-mlx", (*by_mlx, *_SHORT, "2"), mlx),
        Case("demo-resumed", (*listed, *_SHORT, "6"), how="resumed"),
        Case("demo-handed-over", (*listed, *_SHORT, "6"), how="handed over"),
        Case("real-list", (*listed, *_SHORT, "2"), needs_real_model=True),
        Case("real-control", (*listed, *_SHORT, "1", "--control"), needs_real_model=True),
        Case(
            "real-noise",
            (*listed, *_SHORT, "1", *shorter, "--noise-floor", "4"),
            needs_real_model=True,
        ),
        Case(
            "real-llama.cpp",
            (*listed, *_SHORT, "1", "--protocol", "llama.cpp"),
            needs_real_model=True,
        ),
        Case("real-mlx-lm", (*by_mlx, *_SHORT, "1", "--kernel", "mlx-lm"), needs_real_model=True),
        Case("real-mlx", (*by_mlx, *_SHORT, "1"), mlx, needs_real_model=True),
        Case(
            "real-resumed",
            ("--settings", "8,4", *_SHORT, "3", *shorter),
            needs_real_model=True,
            how="resumed",
        ),
        *(
            Case(
                f"gpu-{name}{of}",
                (*arguments, *"--batch 4 --chunks first --max-chunks 8".split()),
                more,
                needs,
            )
            for of, needs in (("", False), ("-real", True))
            for name, arguments, more in (
                # Attention over codes, where the device has it, beside the dequantized path.
                ("codes", (*listed, "--path", "deployed", "--control"), gpu),
                # The kernels that quantize and compare in one go, and the same without them.
                ("fused", (*by_mlx, "--path", "dequantized"), gpu),
                ("plain", (*by_mlx, "--path", "dequantized"), gpu | plain),
                ("mlx-lm", (*by_mlx, "--kernel", "mlx-lm"), gpu),
            )
        ),
    ]


CASES = _cases()


def chosen(names: str | None) -> list[Case]:
    """The cases with these names or groups, comma-separated; all but a GPU's where None.

    Raises:
        ValueError: There is no case of a name.
    """
    if names is None:
        return [case for case in CASES if case.group != "gpu"]
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if not any(name in (case.name, case.group) for case in CASES):
            raise ValueError(f"there is no case `{name}`; --list shows them")
    return [case for case in CASES if case.name in wanted or case.group in wanted]


def missing(model: str) -> str | None:
    """Why the cases of a real model cannot be run; None where they can."""
    home = os.environ.get("HF_HOME", str(Path("~", ".cache", "huggingface").expanduser()))
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub"))
    folders = ["datasets--Salesforce--wikitext"]
    if not Path(model).is_dir():
        folders.append(f"models--{model.replace('/', '--')}")
    for folder in folders:
        if not (hub / folder / "snapshots").is_dir():
            return f"`{folder}` is not in the Hugging Face cache"
    return None
