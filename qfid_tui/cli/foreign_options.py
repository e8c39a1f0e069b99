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
}


def hint_for(unknown: Sequence[str]) -> str | None:
    """Return what to write instead of the first unknown option that another program has.

    Args:
        unknown: The words that no option of ours takes.
    """
    for word in unknown:
        if found := _OURS.get(word.partition("=")[0]):
            return found
    return None
