"""Final hidden states of a pass whose logits are still to be computed: in memory or in a file."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.common.atomic_files import storage_error, write_atomic
from scorer.common.errors import QfidError

_DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
# A damaged file may hold no end of a line.
_HEADER_BYTES = 1000


class PendingStates(Protocol):
    """A handle of final hidden states."""

    def load(self) -> mx.array:
        """The states (B, T, H) in the compute dtype, possibly still being computed."""


@dataclass(frozen=True, slots=True)
class MemoryStates:
    """States in memory.

    Attributes:
        array: (B, T, H) in the compute dtype, possibly still being computed.
    """

    array: mx.array

    def load(self) -> mx.array:
        """The states (B, T, H) in the compute dtype."""
        return self.array


@dataclass(frozen=True, slots=True)
class HostStates:
    """States as they were read.

    Attributes:
        data: (bytes of all elements,) uint8.
        dtype: A key of ``_DTYPES``.
        shape: Of the array.
    """

    data: NDArray[np.uint8]
    dtype: str
    shape: list[int]

    def array(self) -> mx.array:
        """The states, bit for bit, in the shape and dtype they were stored in."""
        return mx.array(self.data).view(_DTYPES[self.dtype]).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class StatesBytes:
    """States that are to be stored in a file, on their way to the host.

    Attributes:
        data: (bytes of all elements,) uint8, possibly still being computed.
        dtype: As of :class:`FileStates`.
        shape: Of the states.
        path: The file; its folder must exist when it is stored.
    """

    data: mx.array
    dtype: str
    shape: list[int]
    path: Path

    @classmethod
    def of(cls, states: mx.array, path: Path) -> StatesBytes:
        """The bytes of states; nothing is computed.

        Args:
            states: (B, T, H) or of any other shape; float32, float16 or bfloat16.
            path: The file.

        Raises:
            QfidError: They have a dtype that cannot be stored.
        """
        dtype = str(states.dtype).rpartition(".")[2]
        if dtype not in _DTYPES:
            raise QfidError(f"states of dtype {dtype} cannot be stored in `{path}`")
        # NumPy has no bfloat16; bytes are the same by any name.
        return cls(states.reshape(-1).view(mx.uint8), dtype, list(states.shape), path)

    def store(self) -> FileStates:
        """Compute them and write the file, which is whole or not there.

        Not synced to the disk: after a crash of the machine nobody reads it.

        Raises:
            QfidError: The bytes cannot be stored.
        """
        data = np.array(self.data, copy=False).data
        crc = _checksum(self.dtype, self.shape, data)
        header = {"dtype": self.dtype, "shape": self.shape, "crc32": crc}
        content = b"".join((json.dumps(header).encode(), b"\n", data))
        write_atomic(self.path, content, sync=False)
        return FileStates(self.path)


@dataclass(frozen=True, slots=True)
class FileStates:
    """States in a file: a line of JSON (dtype, shape, CRC-32), then the elements in C order.

    The CRC-32 is that of dtype, shape and elements.

    The bytes are in the order of the machine: a file is read where it was written.

    Attributes:
        path: The file.
    """

    path: Path

    def read(self) -> HostStates:
        """Read the bytes, without MLX: a thread of its own may do it.

        Raises:
            QfidError: The file is missing, cut short or damaged.
        """
        try:
            with self.path.open("rb") as file:
                dtype, shape, crc = self._header(file.readline(_HEADER_BYTES))
                data = np.fromfile(file, np.uint8)
        except OSError as error:
            raise storage_error(error, self.path) from error
        if _checksum(dtype, shape, data.data) != crc:
            raise self._damaged("its bytes are not those that were stored")
        return HostStates(data, dtype, shape)

    def remove(self) -> None:
        """Delete the file, if it is still there.

        Raises:
            QfidError: It cannot be deleted.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def _header(self, line: bytes) -> tuple[str, list[int], int]:
        try:
            header: dict[str, Any] = json.loads(line)
            dtype, shape = header["dtype"], [int(size) for size in header["shape"]]
            if dtype in _DTYPES:
                return dtype, shape, int(header["crc32"])
        except (ValueError, KeyError, TypeError):
            pass
        raise self._damaged("its first line does not describe states")

    def _damaged(self, why: str) -> QfidError:
        return QfidError(f"`{self.path}` is damaged: {why}", "delete the file and score again")


def _checksum(dtype: str, shape: list[int], data: memoryview) -> int:
    return zlib.crc32(data, zlib.crc32(f"{dtype} {shape}".encode()))
