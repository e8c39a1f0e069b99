"""Command lines of mlx-lm that run a choice: convert the weights, generate, serve.

Pure standard library. The options are those of mlx-lm 0.32.
"""

from __future__ import annotations

from dataclasses import dataclass

from scorer.report.commands import option, shell_word
from scorer.spec.settings.kv import KVSetting

_DEFAULT_MODE = "affine"


@dataclass(frozen=True, slots=True)
class DeployCommands:
    """The command lines that run a choice, in their order.

    Attributes:
        convert: ``mlx_lm.convert``; None where the weights are used as they are.
        generate: ``mlx_lm.generate``; None where mlx-lm has no options for the KV cache.
        server: ``mlx_lm.server``, likewise.
        notes: What the command lines cannot say or do, a sentence each.
    """

    convert: str | None
    generate: str | None
    server: str | None
    notes: tuple[str, ...] = ()


def convert_command(
    model: str,
    folder: str,
    *,
    bits: int | None = None,
    group_size: int | None = None,
    mode: str = _DEFAULT_MODE,
) -> str:
    """The ``mlx_lm.convert`` line that writes quantized weights.

    Args:
        model: Repo id or path of the reference.
        folder: Where to write; mlx-lm refuses one that exists.
        bits: Bits per weight; None for the mode's own.
        group_size: Weights that share a scale; None for the mode's own.
        mode: ``affine``, ``mxfp4``, ``mxfp8`` or ``nvfp4``.
    """
    words = ["mlx_lm.convert", *option("--hf-path", model), "-q"]
    if mode != _DEFAULT_MODE:
        words += ["--q-mode", mode]
    if bits is not None:
        words += ["--q-bits", str(bits)]
    if group_size is not None:
        words += ["--q-group-size", str(group_size)]
    return " ".join([*words, *option("--mlx-path", folder)])


def converted_folder(model: str, weights: str) -> str:
    """A folder for converted weights: the model's own name, then the setting.

    Args:
        model: Repo id or path of the reference.
        weights: The setting of the weights in notation, ``w4:32``.
    """
    name = model.rstrip("/").rpartition("/")[2] or "model"
    return f"./{name}-{weights.replace(':', '-')}"


def deploy_commands(
    model: str,
    kv: KVSetting | None,
    step: int,
    *,
    parallel: int = 1,
    convert: str | None = None,
) -> DeployCommands:
    """The command lines that run a model with a KV cache and a prefill step.

    Args:
        model: Repo id or path that mlx-lm loads: what ``convert`` writes, or a repo as it is.
        kv: How the KV cache is stored; None for 16 bit.
        step: The prefill step that the memory was counted with.
        parallel: Sequences whose caches were counted.
        convert: From :func:`convert_command`; None where nothing is to be converted.
    """
    refusal = None if kv is None else _without_options(kv)
    if refusal is not None:
        return DeployCommands(convert, None, None, (refusal,))
    words = [*option("--model", model), *_cache(kv), "--prefill-step-size", str(step)]
    generate = " ".join(["mlx_lm.generate", *words, "--prompt …"])
    concurrency = [] if kv else ["--decode-concurrency", str(parallel), "--prompt-concurrency 1"]
    # Caches of past requests are not part of what was counted.
    server = " ".join(["mlx_lm.server", *words, *concurrency, "--prompt-cache-size 0"])
    return DeployCommands(convert, generate, server, _notes(kv, parallel))


def _cache(kv: KVSetting | None) -> list[str]:
    if kv is None:
        return []
    return [
        *("--kv-bits", str(kv.k_bits)),
        *("--kv-group-size", str(kv.group_size)),
        *("--quantized-kv-start", str(kv.start)),
    ]


def _without_options(kv: KVSetting) -> str | None:
    """Why mlx-lm's command lines cannot ask for a setting; None where they can."""
    name = shell_word(kv.key)
    if kv.path != "deployed":
        return f"no runtime computes `{name}`: it is the quantizer alone"
    if not kv.is_stock:
        return f"mlx-lm has no options for `{name}`: it knows MLX's own quantizer only"
    if kv.keys != kv.values:
        return f"mlx-lm has no options for `{name}`: it takes one width for keys and values"
    return None


def _notes(kv: KVSetting | None, parallel: int) -> tuple[str, ...]:
    notes = []
    if parallel > 1:
        notes.append("mlx_lm.generate runs one sequence")
        if kv is not None:
            notes.append(
                "mlx_lm.server runs requests one at a time with a quantized KV cache, so "
                f"{parallel} sequences in parallel are not to be had from it"
            )
    notes.append(
        "mlx_lm.server keeps no KV caches of past requests with --prompt-cache-size 0; each one "
        "it keeps takes a cache more than was counted"
    )
    return tuple(notes)
