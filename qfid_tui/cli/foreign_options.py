"""Options of other programs, and which of ours does the same."""

from __future__ import annotations

from collections.abc import Sequence

_OURS = {
    "-c": "--chunk-length N sets the tokens of a chunk, --max-chunks N how many are scored",
    "--ctx-size": "--chunk-length N sets the tokens of a chunk",
    "-m": "the model is given without an option: `qfid kv MODEL`",
    "--model": "the model is given without an option: `qfid kv MODEL`",
    "-f": "--corpus FILE names the text",
    "--file": "--corpus FILE names the text",
    "-b": "--batch-size N sets the chunks of a pass",
    "-ctk": "--settings k8v4 gives keys and values widths of their own",
    "-ctv": "--settings k8v4 gives keys and values widths of their own",
    "--kv-method": "--settings names settings in full; `qfid notation` lists how",
    "--kv-method-params": "--settings names settings in full; `qfid notation` lists how",
    "--configs": "--settings takes a list: 8:64,4:64; `qfid notation` lists how",
    "--k-bits": "--settings k8v4 gives keys and values widths of their own",
    "--v-bits": "--settings k8v4 gives keys and values widths of their own",
    "--min-tier": "--fail-under good exits with code 4 where a verdict is worse",
    "--max-kld": "--fail-under good exits with code 4 where a verdict is worse",
    "--max-kl": "--fail-under good exits with code 4 where a verdict is worse",
    "--quantized-kv-start": "--quantize-start N keeps the first N tokens at full precision",
    "--json": "--format json prints the report as JSON",
    "--yes": "--pull downloads without asking",
    "--quant-revision": "a copy is pinned behind its name: org/name@revision",
    "--reference-revision": "--revision R pins the reference; or org/name@revision",
    "--quant": "copies are given without an option: `qfid weights REF QUANT`",
    "--q-bits": "--bits 8,4 names precisions made of the reference",
    "--q-group-size": "--group-size N sets the elements that share a scale of the weights",
    "--q-mode": "--bits mxfp4 names a mode: mxfp4, mxfp8 or nvfp4",
    "--max-kv-size": "--context N sets the tokens of a sequence",
    "--ctx": "--context N sets the tokens of a sequence",
}

_KEPT = "a run keeps how it was scored: `qfid kv` or `qfid weights` starts another"

_FIGURES = "`qfid report RUN --figures DIR` draws the charts of a saved run"
_ITEMS = "tasks have items, not chunks of a text; --limit N takes the first N of each"

_OF_COMMAND = {
    "kv": {
        "--figures": _FIGURES,
        "--tasks": "`qfid tasks MODEL --tasks LIST` asks the items of tasks",
        "--bits": "`qfid weights MODEL --bits 4` quantizes weights; for the KV cache --kv-bits",
        "--group-size": "--kv-group-size G is of the KV cache; weights: `qfid weights`",
        "--kv": "--kv-bits names widths of the KV cache; with weights: `qfid weights --kv 8`",
        "--reference": "`qfid weights QUANT --reference R` compares weights",
        "--one-at-a-time": "`qfid weights` takes it: one model has no turns to take",
        "--memory": "`qfid fit` and `qfid weights` take it; `qfid report RUN --memory 16GB` also",
        "--context": "`qfid fit` and `qfid weights` take it; `qfid report RUN --context 32k` also",
    },
    "weights": {
        "--figures": _FIGURES,
        "--kv-bits": "--kv 8,4 scores KV settings alone and on top of each set of weights",
    },
    "fit": {
        "--figures": _FIGURES,
        "--kv-bits": "--kv 8,4 names the KV settings to choose from",
        "--until-settled": "`qfid fit` drops what cannot be the answer; `qfid weights` takes it",
    },
    "tasks": {
        "--corpus": _ITEMS,
        "--roles": _ITEMS,
        "--chunk-length": _ITEMS,
        "--max-chunks": _ITEMS,
        "--until-settled": _ITEMS,
    },
    "resume": {
        "--figures": _FIGURES,
        "--corpus": "a run keeps its text; score another with a new `qfid kv`",
        "--roles": "a run keeps the roles that count; score others with a new `qfid kv`",
        "--kv-bits": "--kv 8 adds a KV setting to the run",
        "--reference": "a run keeps its reference: `qfid weights` starts another",
        "--revision": "a run keeps its model's commit: `qfid weights` or `qfid kv` starts another",
        "--group-size": "it is written behind the bits: --bits 4:32",
        "--kv-group-size": "it is written behind the bits: --kv 4:32",
        "--quantize-start": "it is written behind the setting: --kv 8@256",
        "--path": "it is written behind the setting: --kv 8~dequantized",
        "--dry-run": "`qfid runs` says how much of a run is scored; resume scores the rest",
        "--chunks": _KEPT,
        "--chunk-length": _KEPT,
        "--protocol": _KEPT,
        "--kernel": _KEPT,
        "--control": _KEPT,
        "--noise-floor": _KEPT,
        "--batch-size": _KEPT,
        "--one-at-a-time": _KEPT,
    },
}
"""Options that another of our commands has, and what to write instead."""


def hint_for(unknown: Sequence[str], command: str = "") -> str | None:
    """Return what to write instead of the first unknown option that another program has.

    Args:
        unknown: The words that no option of ours takes.
        command: The command that they were given to, such as ``weights``; "" for none.
    """
    ours = _OURS | _OF_COMMAND.get(command, {})
    for word in unknown:
        if found := ours.get(word.partition("=")[0]):
            return found
    return None
