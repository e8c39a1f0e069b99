"""What the bytes of a text are: Parquet, gzip or UTF-8. The content says so, not a file's ending.

An ending that names a format is a claim, which the content is held to.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import PurePath

from scorer.common.error_text import first_line
from scorer.common.errors import InputError

LARGEST = 512 << 20
"""Bytes that compressed content and standard input may come to: a small file may unpack to any
number of them."""

UTF8_HINT = "save the file as UTF-8 text"

_PARQUET, _GZIP, _PDF = b"PAR1", b"\x1f\x8b", b"%PDF-"
_BLOCK = 1 << 20


def unpacked(name: str, data: bytes) -> tuple[str, bytes]:
    """Decompress gzip; other content stays as it is.

    Args:
        name: Name of the file, or ``standard input``.
        data: Its bytes.

    Returns:
        The ending of the name in lower case, without a last ``.gz``, and the bytes.

    Raises:
        InputError: The content is damaged, comes to more than :data:`LARGEST` bytes, or is not
            gzip although its name says so.
    """
    path = PurePath(name.lower())
    named = path.suffix == ".gz"
    ending = PurePath(path.stem).suffix if named else path.suffix
    if not data.startswith(_GZIP):
        if named:
            raise InputError(f"`{name}` is not gzip: it begins with {_first_bytes(data)}")
        return ending, data
    unpacked = _limited(name, gzip.GzipFile(fileobj=io.BytesIO(data)))
    if unpacked.startswith(_GZIP):
        raise InputError(f"`{name}` is gzip within gzip", "unpack it once: `gzip -d`")
    return ending, unpacked


def is_parquet(name: str, ending: str, data: bytes) -> bool:
    """Whether the content is Parquet.

    Args:
        name: Name of the file.
        ending: As of :func:`unpacked`.
        data: The unpacked content.

    Raises:
        InputError: It is not, although its name says so.
    """
    found = data.startswith(_PARQUET)
    if not found and ending == ".parquet":
        raise InputError(f"`{name}` is not a Parquet file: it begins with {_first_bytes(data)}")
    return found


def decoded(name: str, data: bytes) -> str:
    """The text of UTF-8 bytes, without a byte order mark.

    Raises:
        InputError: They are something else; the message names the byte.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"`{name}` is UTF-16, not UTF-8, from byte 0 on", UTF8_HINT)
    if data.startswith(_PDF):
        raise InputError(f"`{name}` is a PDF, not text, from byte 0 on", UTF8_HINT)
    bom = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    if (nul := data.find(b"\0")) >= 0:
        raise InputError(f"`{name}` is binary: byte {nul} is zero", UTF8_HINT)
    try:
        return data[bom:].decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"`{name}` is not UTF-8: byte {bom + error.start} cannot be decoded", UTF8_HINT
        ) from error


def too_large(name: str) -> InputError:
    """The error of content that comes to more than :data:`LARGEST` bytes."""
    return InputError(
        f"`{name}` comes to more than {LARGEST >> 20} MiB of text", "give a part of it"
    )


def reason(error: BaseException) -> str:
    """Why a file could not be read, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error).split(". ")[0].rstrip(".")


def _limited(name: str, file: gzip.GzipFile) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        for block in _blocks(file):
            size += len(block)
            if size > LARGEST:
                raise too_large(name)
            parts.append(block)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"`{name}` is damaged gzip after {size} unpacked bytes: {reason(error)}"
        ) from error
    return b"".join(parts)


def _blocks(file: gzip.GzipFile) -> Iterator[bytes]:
    while block := file.read1(_BLOCK):
        yield block


def _first_bytes(data: bytes) -> str:
    return f"the bytes `{data[:4].hex(' ')}`" if data else "nothing"
