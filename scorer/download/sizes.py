"""How large the files of a repo may be that are fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.download.partial import RemoteFile
from scorer.models.weight_files import INDEX, is_weight_file

_MIB = 1 << 20
# As much of them as is read.
_MOST_OF = dict.fromkeys(("config.json", "tokenizer_config.json", INDEX), 16 * _MIB)
# The largest tokenizers that are published have 35 MB.
_MOST = 256 * _MIB
MOST_OF_A_TEXT = 64 * _MIB
"""Bytes of a dataset file; that of WikiText-2 has 0.7 MB."""
# What bars count besides: parts that are sent again after a connection broke.
_AGAIN = 2
_BESIDE = 16 * _MIB


def check_sizes(repo: str, files: Mapping[str, RemoteFile]) -> None:
    """Refuse files whose size is not known, or is none of such a file.

    Args:
        repo: Repo id.
        files: Those that would be fetched. Weights may have any size that the disk has room for.

    Raises:
        InputError: There is such a file.
    """
    for name, file in sorted(files.items()):
        most = _MOST_OF.get(name, _MOST)
        if file.size is None or file.size < 0:
            raise InputError(
                f"the Hub does not say how large {shown(name)} of `{repo}` is",
                "try again later, or pick another model",
            )
        if file.size > most and not is_weight_file(name):
            raise InputError(
                f"{shown(name)} of `{repo}` has {file.size / _MIB:.0f} MiB; at most "
                f"{most / _MIB:.0f} are fetched of such a file",
                "pick another model",
            )


def refuse_more(repo: str, most: int) -> Callable[[int], None]:
    """Return a function that is told how many bytes have come and refuses too many.

    Args:
        repo: Repo id.
        most: Bytes that were announced.
    """

    def check(received: int) -> None:
        if received > _AGAIN * most + _BESIDE:
            raise InputError(
                f"`{repo}` sends more than the {most / _MIB:.1f} MiB that were announced",
                "try again later, or pick another model",
            )

    return check
