"""The architectures of the installed mlx-lm, found without importing it.

Importing mlx-lm takes more than a second and initializes MLX, so its source files are read instead.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.foreign_packages import HINT, packages_from_variable
from scorer.common.inert_text import shown
from scorer.models.config import ModelConfig

# As of mlx-lm 0.32.2; used if the tables of the installed version are not found.
_ALIASES = {
    "mistral": "llama",
    "llava": "mistral3",
    "phi-msft": "phixtral",
    "falcon_mamba": "mamba",
    "joyai_llm_flash": "deepseek_v3",
    "kimi_k2": "deepseek_v3",
    "qwen2_5_vl": "qwen2_vl",
    "minimax_m2": "minimax",
    "iquestcoder": "llama",
    "xverse": "llama",
    "gemma4_unified": "gemma4",
    "deepseek_v41_text": "deepseek_v41",
}
_CLASS_ALIASES = {("bailing_hybrid", "BailingMoeV3ForCausalLM"): "bailing_moe_v3"}

_MODULE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HAS_MODEL = re.compile(r"^class Model\b|^from \S+ import [^#\n]*\bModel\b(?! as)", re.MULTILINE)
_OTHER_TASK = re.compile(
    r"For(?:SequenceClassification|TokenClassification|MaskedLM|QuestionAnswering|MultipleChoice"
    r"|ImageClassification|ObjectDetection|SpeechSeq2Seq|AudioClassification|CTC)$|RewardModel$"
)

_METAL_ONLY = frozenset({"bitnet", "muse_spark"})
_OWN_CACHE = frozenset({"deepseek_v41"})
# Positions are rows of a table in these: MLX reads whatever lies beyond its last row.
_POSITION_TABLES = frozenset({"gpt2", "gpt_bigcode"})
_CAUTIONS = {
    "phi3small": "its output layer writes out of bounds on part of a vocabulary, so logits are "
    "computed whole, which takes more memory",
}


def architecture_of(config: dict[str, Any]) -> str:
    """Return the name of the mlx-lm module that runs a model.

    Args:
        config: The content of ``config.json``.

    Raises:
        InputError: The config names no architecture, or one that the installed mlx-lm lacks or
            that cannot be scored here.
    """
    stated = ModelConfig(config)
    model_type = stated.text("model_type")
    if not model_type:
        raise InputError(
            "config.json names no `model_type`", "the folder is not a language model's"
        )
    classes = _classes(config)
    aliases, class_aliases = _alias_tables()
    pairs = ((model_type, each) for each in classes)
    by_class = next((class_aliases[pair] for pair in pairs if pair in class_aliases), None)
    name = by_class or aliases.get(model_type, model_type)
    if not has_architecture(name):
        foreign = packages_from_variable(("mlx_lm",))
        raise InputError(
            f"{_mlx_lm_named(foreign)} has no architecture {shown(model_type)}",
            HINT if foreign else "it runs text models; a newer mlx-lm may know this one",
        )
    for each in classes:
        if _OTHER_TASK.search(each):
            raise InputError(
                f"{shown(each)} is not a text generation model", "it predicts no next token"
            )
    reason = refusal(name)
    if reason:
        raise InputError(f"architecture `{name}` cannot be scored: {reason}", "pick another model")
    return name


def refusal(name: str) -> str | None:
    """Return why an architecture of mlx-lm cannot be scored here, or None."""
    if name == "olmo" and not _importable("hf_olmo"):
        return "mlx-lm ends the whole process on it unless the package ai2-olmo is installed"
    if name in _OWN_CACHE:
        return "its cache has a format of its own and is already quantized"
    if name in _METAL_ONLY and sys.platform != "darwin":
        return "mlx-lm has only Metal kernels for it"
    return None


def caution(name: str) -> str | None:
    """Return a caution about an architecture that can be scored, or None."""
    return _CAUTIONS.get(name)


def has_position_table(name: str) -> bool:
    """Whether an architecture has no positions beyond those its config states."""
    return name in _POSITION_TABLES


def _mlx_lm_named(foreign: Mapping[str, Path]) -> str:
    return "".join(f"mlx-lm in `{folder}`" for folder in foreign.values()) or "mlx-lm"


def _classes(config: dict[str, Any]) -> list[str]:
    classes = config.get("architectures")
    if isinstance(classes, str):
        return [classes]
    return [c for c in classes if isinstance(c, str)] if isinstance(classes, list) else []


def _importable(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


@lru_cache(maxsize=1)
def mlx_lm_folder() -> Path | None:
    """Return the folder of the installed mlx-lm, or None."""
    try:
        spec = importlib.util.find_spec("mlx_lm")
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


@lru_cache(maxsize=512)
def has_architecture(name: str) -> bool:
    """Whether the installed mlx-lm has a model in a module of this name; no alias counts."""
    if _MODULE.fullmatch(name) is None:
        return False
    folder = mlx_lm_folder()
    if folder is None:
        # Without mlx-lm nothing can be scored, and what it would score is unknown.
        return True
    try:
        source = (folder / "models" / f"{name}.py").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return _HAS_MODEL.search(source) is not None


@lru_cache(maxsize=1)
def _alias_tables() -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    folder = mlx_lm_folder()
    try:
        source = (folder / "utils.py").read_text(encoding="utf-8") if folder else ""
    except (OSError, ValueError):
        source = ""
    aliases = _literal(source, "MODEL_REMAPPING")
    classes = _literal(source, "MODEL_ARCHITECTURE_REMAPPING")
    return (
        {k: v for k, v in aliases.items() if isinstance(k, str) and isinstance(v, str)} or _ALIASES,
        {k: v for k, v in classes.items() if isinstance(k, tuple) and isinstance(v, str)}
        or _CLASS_ALIASES,
    )


def _literal(source: str, name: str) -> dict[Any, Any]:
    # Parsing the whole module would take 20 times as long.
    match = re.search(rf"^{name}\b[^=\n]*=\s*(\{{.*?^\}})", source, re.MULTILINE | re.DOTALL)
    if match is None:
        return {}
    try:
        value = ast.literal_eval(match[1])
    except (ValueError, SyntaxError):
        return {}
    return value if isinstance(value, dict) else {}
