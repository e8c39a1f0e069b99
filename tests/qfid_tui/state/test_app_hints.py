"""No hint of the scorer reaches the app with an option of the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import scorer
from qfid_tui.state.app_hints import error_text, in_app
from scorer.common.errors import InputError

# What the app is started with, or what another program takes.
_STAYS = ("--shard", "--revision", "--accept-changes", "--allow-custom-code", "--adapter-path")
_CALLS = re.compile(r".*(Error|NotCached|NotFit|Failed|Refused|_Offline|InputError)$")


def texts(node: ast.expr) -> Iterator[str]:
    """Every string inside an expression; 7 takes the place of values."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values
        )
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from texts(child)


def hints() -> Iterator[str]:
    """The strings of raised errors, of hints in variables and of returned texts."""
    for path in sorted(Path(scorer.__file__).parent.rglob("*.py")):
        rooms = {parent.name for parent in path.parents}
        # The app does not write the format of another program, nor speak to callers in Python.
        others = ("commands.py", "deploy_commands.py", "mqf_json.py", "python_hints.py")
        if rooms & {"bench", "demo"} or path.name in others:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if _CALLS.match(name):
                    for argument in node.args:
                        yield from texts(argument)
            elif isinstance(node, ast.Return | ast.Assign) and node.value is not None:
                yield from texts(node.value)


def test_every_hint_with_an_option_has_words_for_the_app() -> None:
    written = [text for text in hints() if " --" in f" {text}" and " " in text]
    assert any("--chunk-length" in text for text in written)
    left = [
        said
        for said in map(in_app, written)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", said)
        if option not in _STAYS and not re.search(r"container|ulimit|mlx_lm", said)
    ]
    assert left == []


def test_every_hint_with_a_command_that_a_key_does_has_words_for_the_app() -> None:
    written = [text for text in hints() if re.search(r"`qfid (kv|resume|report|models)\b", text)]
    assert len(written) > 9
    left = {
        said
        for said in map(in_app, written)
        if re.search(r"`qfid (kv|resume|report|models)\b", said)
    }
    # Of two commands one is not yet a key; the app neither reads its input nor mixes versions.
    assert {
        said for said in left if not re.search(r"standard input|own|these|mixes", said)
    } == set()


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        (
            "--chunk-length 512 would fit; --force scores it as it is",
            "chunk length 512 (o) would fit",
        ),
        (
            "everything scored is saved; free memory, or score with --batch 1 or shorter chunks",
            "everything scored is saved; free memory, or score with shorter chunks (o)",
        ),
        ("settings that fit: `8:32`; for instance `qfid kv m`", "settings that fit: `8:32`"),
        ("score it with `qfid resume abc`", "t lists abc, to go on with it"),
        ("score them again with `qfid resume abc`", "t lists abc, to go on with it"),
        (
            "pick another; `qfid models` lists the cached ones",
            "pick another; m lists the cached ones",
        ),
        (
            "look at what it is, or score anew with `qfid kv`",
            "look at what it is, or another option (o) scores anew",
        ),
        ("score it anew with `qfid kv`", "another option (o) scores anew"),
        ("free some space", "free some space"),
    ],
)
def test_hints(hint: str, said: str) -> None:
    assert in_app(hint) == said


def test_own_keys_are_named() -> None:
    error = InputError("too long", "give --chunk-length 16 or less")
    assert error_text(error, {"o": "F2"}) == "too long; give chunk length 16 (F2) or less"
