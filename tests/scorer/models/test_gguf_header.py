"""Headers of GGUF files: what is read, and that nothing a file says is believed."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_files import Stored, gguf_bytes, stored

from scorer.common.errors import InputError
from scorer.models.gguf.file import open_gguf
from scorer.models.gguf.header import TOKENS, read_floats, read_header
from scorer.models.gguf.tensor_types import TENSOR_TYPES

VALUES: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.rope.freq_base": 1e6,
    "x.flag": True,
    "x.list": [1, 2, 3],
    TOKENS: ["a", "<|end|>", "▁b"],
    "tokenizer.ggml.merges": ["a b"] * 5,
}
MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def usual(**more: Stored) -> bytes:
    tensors = {"token_embd.weight": stored(MATRIX), "output_norm.weight": stored(MATRIX[0], "F16")}
    return gguf_bytes(VALUES, tensors | more)


def test_values_and_tensors_are_read(tmp_path: Path) -> None:
    header = read_header(write(tmp_path / "a.gguf", usual()))
    # Long lists of text other than that of the tokens are not kept.
    assert header.values == VALUES | {"tokenizer.ggml.merges": None}
    first, second = header.tensors
    assert (first.name, first.type.name, first.shape) == ("token_embd.weight", "F32", (3, 4))
    assert read_floats(first, 12) == MATRIX.ravel().tolist()
    assert read_floats(first, 11) is None and read_floats(second, 12) is None
    assert second.bytes == 8 and second.start % 32 == 0
    # Of many lists of numbers only so much is kept.
    long = {f"x.{i}": [i] * 4096 for i in range(300)} | {"x.longer": [1] * 4097}
    kept = read_header(write(tmp_path / "long.gguf", gguf_bytes(long, {}))).values
    assert kept["x.255"] == [255] * 4096 and kept["x.256"] is None and kept["x.longer"] is None
    content = gguf_bytes(VALUES | {"general.alignment": 64}, {"x": stored(MATRIX)}, version=2)
    assert read_header(write(tmp_path / "b.gguf", content)).tensors[0].start % 64 == 0


def test_sizes_are_those_of_the_package() -> None:
    gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")
    for number, kind in TENSOR_TYPES.items():
        other = gguf.GGMLQuantizationType(number)
        assert kind.name == other.name
        assert (kind.block_elements, kind.block_bytes) == gguf.GGML_QUANT_SIZES[other]


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = usual()
    # The last tensor is followed by padding that no one needs.
    needed = len(whole.rstrip(b"\0"))
    path = tmp_path / "a.gguf"
    for length in range(needed):
        with pytest.raises(InputError):
            read_header(write(path, whole[:length]))
    read_header(write(path, whole))


def test_no_damaged_file_does_more_than_be_refused(tmp_path: Path) -> None:
    whole, path = usual(), tmp_path / "a.gguf"
    dice = random.Random(1)
    outcomes = set()
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(dice.choice((1, 1, 8))):
            content[dice.randrange(len(content))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
        try:
            read_header(write(path, bytes(content)))
            outcomes.add("read")
        except InputError as error:
            outcomes.add("refused")
            assert error.message.isprintable()
    assert outcomes == {"read", "refused"}


def changed(name: str, value: bytes, offset: int = 0, *, whole: bytes | None = None) -> bytes:
    """The usual file with other bytes behind a name."""
    content = bytearray(usual() if whole is None else whole)
    at = content.index(name.encode()) + len(name) + offset
    content[at : at + len(value)] = value
    return bytes(content)


def number(value: int) -> bytes:
    return struct.pack("<Q", value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no GGUF file"),
        (b"PK\x03\x04" + bytes(99), "is no GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "pointer of git-lfs"),
        (gguf_bytes({}, {}, version=1), "GGUF of version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "absurd number of tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "absurd number of tensors or values"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 9), "header is longer than the file"),
        # A text, a list of texts, a list of numbers that claim to be longer than the file.
        (changed("general.architecture", number(1 << 40), 4), "longer than the file"),
        (changed(TOKENS, number(1 << 20), 8), "longer than the file"),
        (changed(TOKENS, number(1 << 62), 8), "absurdly long"),
        (changed("x.list", number(1 << 61), 8), "longer than the file"),
        (changed("x.list", struct.pack("<I", 9), 4), "a list holds values of type 9"),
        (changed("x.flag", struct.pack("<I", 77)), "unknown type 77"),
        (changed("token_embd.weight", struct.pack("<I", 5)), "has 5 dimensions"),
        (changed("token_embd.weight", struct.pack("<I", 0)), "has 0 dimensions"),
        (changed("token_embd.weight", number(0), 4), "absurd shape"),
        (changed("token_embd.weight", number(1 << 62), 4), "absurd shape"),
        (changed("token_embd.weight", number(1 << 30), 4), "is cut off"),
        (changed("token_embd.weight", struct.pack("<I", 26), 20), "cannot be dequantized"),
        (changed("token_embd.weight", struct.pack("<I", 2), 20), "no whole blocks of 32"),
        (changed("token_embd.weight", number(1 << 63), 24), "is cut off"),
        (changed("token_embd.weight", number(1), 24), "odd place"),
        (changed("output_norm.weight", number(0), 16), "lies over another"),
        (changed("output_norm.weight", number(1 << 20), -26), "a name in it is absurdly long"),
        (gguf_bytes({"general.alignment": 3}, {}), "its alignment is `3`"),
        (usual().replace(b"x.list", b"x.flag"), "has `x.flag` twice"),
        (
            gguf_bytes({}, {"a\x1b[31mb": stored(MATRIX[:, :3])}).replace(
                struct.pack("<Q", 3), struct.pack("<Q", 1 << 62), 2
            ),
            "`a?[31mb`",
        ),
    ],
)
def test_what_no_file_can_say_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_header(write(tmp_path / "a.gguf", content))
    assert said in refused.value.message


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "folder.gguf").mkdir()
    for name in ("pipe.gguf", "folder.gguf", "gone.gguf"):
        with pytest.raises(InputError):
            open_gguf(tmp_path / name)


def parts(folder: Path, count: int = 3) -> list[Path]:
    """A model that was split: the values of the model stand in the first part."""
    found = []
    for i in range(count):
        values = {"split.no": i, "split.count": count} | (VALUES if not i else {})
        tensors = {f"blk.{i}.attn_norm.weight": stored(MATRIX[i])}
        path = folder / f"big-{i + 1:05}-of-{count:05}.gguf"
        found.append(write(path, gguf_bytes(values, tensors)))
    return found


def test_a_split_model_is_read_whole(tmp_path: Path) -> None:
    paths = parts(tmp_path)
    found = open_gguf(paths[0])
    assert found.parts == tuple(paths) and found.architecture == "llama"
    assert list(found.tensors) == [f"blk.{i}.attn_norm.weight" for i in range(3)]
    assert [tensor.file for tensor in found.tensors.values()] == paths
    assert found.stored_bytes == 3 * 16


def test_a_part_that_is_missing_or_misplaced_is_refused(tmp_path: Path) -> None:
    paths = parts(tmp_path)
    with pytest.raises(InputError, match="part 2 of 3") as refused:
        open_gguf(paths[1])
    assert refused.value.hint == "name the first: big-00001-of-00003.gguf"
    second = paths[1].read_bytes()
    write(paths[1], paths[2].read_bytes())
    with pytest.raises(InputError, match="another part than its name says"):
        open_gguf(paths[0])
    paths[1].unlink()
    with pytest.raises(InputError, match="00002-of-00003"):
        open_gguf(paths[0])
    write(paths[1], second)
    alone = write(tmp_path / "alone.gguf", paths[0].read_bytes())
    with pytest.raises(InputError, match="one of 3 parts, and its name does not say"):
        open_gguf(alone)


def test_a_folder_that_is_called_like_a_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "model.gguf"
    folder.mkdir()
    with pytest.raises(InputError, match="is a folder, and its name is that of a GGUF file") as it:
        open_gguf(folder)
    assert "name the file in it" in it.value.hint
