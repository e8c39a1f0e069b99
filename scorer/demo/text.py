"""Text that comes with CPython: docstrings of the standard library and pydoc's topics.

From it the demo model and its corpus were made; nothing is read from here while a model is scored
(see `scorer.demo.corpus`). `python -m scorer.demo.text FILE` writes both sides of the split to a
JSON file, so that training can run on another machine and be repeated on the same text. With
`--corpus` it writes the held-out side alone, as the package holds it.

Modules are parsed, never imported. The split into training and held-out text depends only on a
hash of each name, so it is the same on every platform and Python version. Paragraphs of held-out
documents are removed from the training text.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import hashlib
import inspect
import json
import platform
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HELD_OUT_PERCENT = 18
"""Percentage of the names (top-level modules, single topics) that is held out."""

# The number below 300 whose split holds out the most even mixture of documents.
_SPLIT_SALT = 205

SHORTEST_DOCUMENT = 1_000
"""Characters that a held-out text needs to be a document of the built-in corpus."""

SHORTEST_SHARED_PARAGRAPH = 40
"""Characters from which a repeated paragraph counts as shared text."""

# Missing in some distributions, platforms or newer versions. These are never held out, so that the
# built-in corpus needs only modules that every CPython has.
_NOT_EVERYWHERE = frozenset(
    """
    aifc antigravity asynchat asyncore binhex cgi cgitb chunk crypt curses dbm distutils ensurepip
    formatter idlelib imghdr imp lib2to3 mailcap msilib nntplib nturl2path pipes pydoc_data smtpd
    sndhdr sre_compile sre_constants sre_parse sqlite3 sunau symbol telnetlib test this tkinter
    turtle turtledemo uu venv webbrowser xdrlib zipapp
    """.split()
)


# Topics that only combine other topics.
_COLLECTIONS = frozenset({"topic: compound", "topic: specialnames", "topic: types"})


@dataclass(frozen=True)
class _Source:
    """One source of text: a module file of the standard library, or one of pydoc's topics.

    Attributes:
        name: Dotted module name, or `topic: ` and the topic's key.
        path: The module's file; None for a topic.
    """

    name: str
    path: Path | None = None


def held_out_documents() -> list[tuple[str, str]]:
    """Return the held-out documents of the running Python.

    Returns:
        (title, text) pairs in a fixed order, which mixes modules and topics so that the first
        few documents are a fair sample. Another version of Python has other docstrings.

    Raises:
        FileNotFoundError: The standard library has no source files.
    """
    documents = list(_held_out())
    if not documents:
        raise FileNotFoundError(f"there are no Python sources in {_stdlib()}")
    return documents


def training_text() -> str:
    """Return the text the demo model is trained on: docstrings, topics and comments not held out.

    Every paragraph occurs once. No paragraph of `SHORTEST_SHARED_PARAGRAPH` or more characters
    occurs in a held-out document.
    """
    seen = {key for _, text in _held_out() for key in _paragraph_keys(text)}
    sources = _sources(held_out=False)
    texts = (_distinct(text, seen) for source in sources for text in _training_texts(source))
    return "\n\n".join(text for text in texts if text)


@dataclass(frozen=True)
class Collected:
    """Both sides of the split for one version of Python.

    Attributes:
        python: Version of that Python, as `3.11.7`.
        training: The result of `training_text`.
        documents: The result of `held_out_documents`: held-out (title, text) pairs.
    """

    python: str
    training: str
    documents: list[tuple[str, str]]


def collect() -> Collected:
    """Return both sides of the split for the running Python."""
    return Collected(platform.python_version(), training_text(), held_out_documents())


@functools.cache
def _held_out() -> tuple[tuple[str, str], ...]:
    documents = []
    seen: set[str] = set()
    for source in sorted(_sources(held_out=True), key=lambda source: _digest(source.name)):
        body = _distinct(_docstrings(source), seen)
        if len(body) >= SHORTEST_DOCUMENT:
            documents.append((source.name, f"{source.name}\n\n{body}"))
    return tuple(documents)


def _training_texts(source: _Source) -> Iterator[str]:
    body = _docstrings(source)
    if body:
        yield f"{source.name}\n\n{body}"
    if source.path is not None:
        yield _comments(source.path)


def _sources(*, held_out: bool) -> Iterator[_Source]:
    """Yield the sources on one side of the split, sorted by name: modules, then topics."""
    for top in sorted(_stdlib().iterdir()):
        unit = top.stem.removeprefix("_py")
        if _is_held_out(unit) is held_out and not top.name.startswith("_sysconfigdata"):
            for path in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
                name = _module_name(path)
                if name and name != "pydoc_data.topics":
                    yield _Source(name, path)
    for key in sorted(_topics()):
        if _is_held_out(f"topic: {key}") is held_out:
            yield _Source(f"topic: {key}")


def _is_held_out(unit: str) -> bool:
    """Return whether a top-level module or a topic is held out.

    `unit` has no prefix `_py`: `_pydecimal`, the Python version of `decimal`, is on its side.
    """
    if unit in _NOT_EVERYWHERE or unit in _COLLECTIONS or unit.startswith("_"):
        return False
    return int.from_bytes(_digest(f"{unit}/{_SPLIT_SALT}")[:4], "big") % 100 < HELD_OUT_PERCENT


def _module_name(path: Path) -> str:
    """Return the dotted name of a module file; "" for another file, as `site-packages/x.py`."""
    parts = path.relative_to(_stdlib()).with_suffix("").parts
    if path.suffix != ".py" or not all(part.isidentifier() for part in parts):
        return ""
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _stdlib() -> Path:
    return Path(sysconfig.get_path("stdlib"))


@functools.cache
def _topics() -> dict[str, str]:
    tree = _parse(_stdlib() / "pydoc_data" / "topics.py")
    for node in tree.body if tree else []:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            topics: dict[str, str] = ast.literal_eval(node.value)
            return topics
    return {}


def _docstrings(source: _Source) -> str:
    """Return a topic's text, or a module's docstrings, each below its signature."""
    if source.path is None:
        return _topics()[source.name.removeprefix("topic: ")].strip()
    tree = _parse(source.path)
    return "\n\n".join(_entries(tree, "")) if tree else ""


def _entries(node: ast.AST, scope: str) -> Iterator[str]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        docstring = ast.get_docstring(node)
        if docstring and docstring.strip():
            heading = "" if isinstance(node, ast.Module) else _heading(node, scope) + "\n\n"
            yield heading + docstring.strip()
        if not isinstance(node, ast.Module):
            scope = f"{scope}{node.name}."
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield from _entries(child, scope)


def _heading(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, scope: str) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {scope}{node.name}({bases})" if bases else f"class {scope}{node.name}"
    return f"{scope}{node.name}({ast.unparse(node.args)})"


def _comments(path: Path) -> str:
    """Return the comment lines of a module; adjacent lines form one paragraph."""
    blocks: list[list[str]] = [[]]
    for line in _read(path).splitlines():
        text = line.strip()
        if text.startswith("#"):
            blocks[-1].append(text.lstrip("#! "))
        elif blocks[-1]:
            blocks.append([])
    paragraphs = (inspect.cleandoc("\n".join(block)) for block in blocks)
    return "\n\n".join(text for text in paragraphs if len(text) >= SHORTEST_SHARED_PARAGRAPH)


def _parse(path: Path) -> ast.Module | None:
    source = _read(path)
    # The filters are those of the whole process: this is for scripts, not for a thread of a run.
    with warnings.catch_warnings():
        # Some tests of the standard library have deliberate syntax errors.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source) if source else None
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _read(path: Path) -> str:
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ""


def _distinct(text: str, seen: set[str]) -> str:
    """Return the text without the paragraphs in `seen`, and add its own paragraphs to `seen`."""
    kept = []
    for paragraph in text.split("\n\n"):
        key = _key(paragraph)
        if len(key) >= SHORTEST_SHARED_PARAGRAPH:
            if key in seen:
                continue
            seen.add(key)
        if key:
            kept.append(paragraph.strip("\n"))
    # Docstrings about Unicode may hold lone surrogates, which UTF-8 cannot encode.
    return "\n\n".join(kept).encode("utf-8", "replace").decode("utf-8")


def _paragraph_keys(text: str) -> Iterator[str]:
    return (key for key in map(_key, text.split("\n\n")) if len(key) >= SHORTEST_SHARED_PARAGRAPH)


def _key(paragraph: str) -> str:
    return " ".join(paragraph.split()).casefold()


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(prog="python -m scorer.demo.text", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--corpus", action="store_true", help="only what is held out")
    options = parser.parse_args()
    found = dataclasses.asdict(collect())
    if options.corpus:
        del found["training"]
    lines = json.dumps(found, ensure_ascii=False, indent=0)
    options.file.write_text(lines + "\n", "utf-8")


if __name__ == "__main__":
    main()
