"""The schema of ``positions.arrow``: what version 1 holds, and in which words another one differs.

Pure standard library, because listing runs must not import pyarrow.

Version 1 is the columns of :data:`COLUMNS` and the metadata of :data:`METADATA`. A later version
may add columns and metadata under the same number; it raises the number where anything that is
there already gets another meaning. So a file that only holds more can be read, and one of another
number cannot. Neither may be written to: what it holds more would be missing from the new batches.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.runs.arrow_messages import Frame, HeaderType, Table

COLUMNS = {
    "chunk": "int32",
    "position": "int32",
    "token": "int32",
    "kl": "double",
    "nll_ref": "double",
    "nll_quant": "double",
    "top_ref": "int32",
    "top_ref_logprob": "double",
    "top_quant": "int32",
    "top_quant_logprob": "double",
}
"""Column to its Arrow type; none of them holds a null."""
METADATA = {"qfid": "positions", "version": "1"}
BATCH_KEYS = frozenset({"setting", "chunk", "facts", "crc32"})
"""Keys of a batch's metadata."""
NOT_POSITIONS = "it is not a positions file"
NOT_VERSION_1 = "it holds a batch whose checksum is right and whose content is not of version 1"
DAMAGED_SCHEMA = "its schema is damaged"
_NEWER_HINT = "a newer qfid wrote it: use that one, or score anew with `qfid kv`"
_STRANGE_HINT = "look at what it is, or score anew with `qfid kv`"

# Slots of the flatbuffers tables of Schema.fbs.
_MESSAGE_HEADER = 2
_ENDIANNESS, _FIELDS, _SCHEMA_METADATA = 0, 1, 2
_NAME, _NULLABLE, _TYPE_KIND, _TYPE, _DICTIONARY = 0, 1, 2, 3, 4
_INT, _FLOAT = 2, 3
_BIT_WIDTH, _SIGNED, _PRECISION = 0, 1, 0


class UnknownContent(Exception):
    """A file holds something intact that this version does not understand.

    Attributes:
        what: What it is, in words that follow the file's name and a colon.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def refusal(path: Path, unknown: UnknownContent, refused: str) -> InputError:
    """The error to show for a file that this version leaves alone.

    Args:
        path: The file.
        unknown: What is not understood.
        refused: What this version does not do with it.
    """
    if unknown.what in (NOT_POSITIONS, DAMAGED_SCHEMA):
        return InputError(f"`{path}`: {unknown.what}; it is left as it is", _STRANGE_HINT)
    return InputError(f"`{path}`: {unknown.what}; this version {refused}", _NEWER_HINT)


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a schema: its name, its Arrow type, and whether it may hold nulls."""

    name: str
    type: str
    nullable: bool


def difference(fields: Sequence[Field], metadata: Mapping[str, str]) -> str:
    """What a schema holds more than version 1, in words; "" where it is version 1.

    Raises:
        UnknownContent: Positions cannot be read from it.
    """
    if metadata.get("qfid") != METADATA["qfid"] or "version" not in metadata:
        raise UnknownContent(NOT_POSITIONS)
    if metadata["version"] != METADATA["version"]:
        raise UnknownContent(
            f"it is of version {shown(metadata['version'])}, not `{METADATA['version']}`"
        )
    by_name = {field.name: field for field in fields}
    if len(by_name) < len(fields):
        raise UnknownContent("two of its columns have one name")
    for name, kind in COLUMNS.items():
        if name not in by_name:
            raise UnknownContent(f"it lacks the column `{name}`")
        if by_name[name].type != kind:
            raise UnknownContent(
                f"its column `{name}` is {shown(by_name[name].type).strip('`')}, not {kind}"
            )
    for field in fields:
        if field.name not in COLUMNS:
            return f"it has a column more, {shown(field.name)}"
        if field.nullable:
            return f"its column `{field.name}` may hold nulls"
    if list(by_name) != list(COLUMNS):
        return "it has its columns in another order"
    for key in metadata:
        if key not in METADATA:
            return f"it has unknown metadata, {shown(key)}"
    return ""


def difference_of(frame: Frame) -> str:
    """What :func:`difference` says of the schema in the first message of a file.

    Raises:
        UnknownContent: Positions cannot be read from it.
    """
    if frame.kind != HeaderType.SCHEMA or frame.size != len(frame.header):
        raise UnknownContent(NOT_POSITIONS)
    try:
        schema = Table.message(frame).table(_MESSAGE_HEADER)
        if schema.number(_ENDIANNESS, "<h"):
            raise UnknownContent("its numbers are big-endian")
        pairs = schema.pairs(_SCHEMA_METADATA).items()
        metadata = {key: value.decode() for key, (_, value) in pairs}
        fields = [_field(field) for field in schema.tables(_FIELDS)]
    except (struct.error, IndexError, ValueError) as error:
        raise UnknownContent(NOT_POSITIONS) from error
    return difference(fields, metadata)


def _field(table: Table) -> Field:
    name = table.string(_NAME)[1].decode()
    return Field(name, _type(table), bool(table.number(_NULLABLE, "<B")))


def _type(table: Table) -> str:
    """The Arrow name of a column's type, as far as version 1 uses it."""
    if table.slot(_DICTIONARY) is not None:
        return "dictionary-encoded"
    kind = table.number(_TYPE_KIND, "<B")
    if kind == _INT:
        whole = table.table(_TYPE)
        sign = "" if whole.number(_SIGNED, "<B") else "u"
        return f"{sign}int{whole.number(_BIT_WIDTH, '<i')}"
    if kind == _FLOAT:
        precision = table.table(_TYPE).number(_PRECISION, "<h")
        return {0: "halffloat", 1: "float", 2: "double"}.get(precision, "a float")
    return f"of type {kind}"


def unknown_keys(keys: set[str]) -> str:
    """What the metadata of an intact batch holds more or less than version 1, in words."""
    if more := sorted(keys - BATCH_KEYS):
        return f"a batch has unknown metadata, {shown(more[0])}"
    if less := sorted(BATCH_KEYS - keys):
        return f"a batch has no metadata `{less[0]}`"
    return ""
