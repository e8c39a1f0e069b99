"""The command lines that run a choice, read back by mlx-lm's own parsers."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from typing import Any

import pytest
from mlx_lm.convert import configure_parser
from mlx_lm.generate import setup_arg_parser
from mlx_lm.server import main as serve

from scorer.report.deploy_commands import convert_command, converted_folder, deploy_commands
from scorer.spec.settings.kv import KVSetting


def parsed_by(
    program: str, parse: Callable[[list[str]], argparse.Namespace], line: str | None
) -> argparse.Namespace:
    assert line is not None
    words = shlex.split(line)
    assert words[0] == program
    return parse(words[1:])


def converting(words: list[str]) -> argparse.Namespace:
    found: argparse.Namespace = configure_parser().parse_args(words)
    return found


def generating(words: list[str]) -> argparse.Namespace:
    found: argparse.Namespace = setup_arg_parser().parse_args(words)
    return found


class _Parsed(Exception):
    """Ends ``mlx_lm.server`` once its options are read."""


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], argparse.Namespace]:
    """Reads the options of ``mlx_lm.server``, whose parser is local to its ``main``."""

    def parse(words: list[str]) -> argparse.Namespace:
        found: list[argparse.Namespace] = []
        original = argparse.ArgumentParser.parse_args

        def stopping(self: argparse.ArgumentParser, *arguments: Any) -> argparse.Namespace:
            found.append(original(self, *arguments))
            raise _Parsed

        with monkeypatch.context() as patch:
            patch.setattr(argparse.ArgumentParser, "parse_args", stopping)
            patch.setattr(sys, "argv", ["mlx_lm.server", *words])
            with pytest.raises(_Parsed):
                serve()
        return found[0]

    return parse


@pytest.mark.parametrize("model", ["org/model", "./a folder/it's", "-odd"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"bits": 4, "group_size": 64}, ("affine", 4, 64)),
        ({"bits": 3, "group_size": 32}, ("affine", 3, 32)),
        ({"mode": "mxfp4"}, ("mxfp4", None, None)),
        ({"mode": "mxfp8"}, ("mxfp8", None, None)),
        ({"mode": "nvfp4"}, ("nvfp4", None, None)),
    ],
)
def test_mlx_lm_converts_what_was_chosen(
    model: str, options: dict[str, Any], expected: tuple[str, int | None, int | None]
) -> None:
    line = convert_command(model, converted_folder(model, "w4:32"), **options)
    found = parsed_by("mlx_lm.convert", converting, line)
    assert found.quantize
    assert (found.hf_path, found.mlx_path) == (model, converted_folder(model, "w4:32"))
    assert (found.q_mode, found.q_bits, found.q_group_size) == expected


def test_the_folder_of_converted_weights_is_named_after_model_and_setting() -> None:
    assert converted_folder("org/model", "w4") == "./model-w4"
    assert converted_folder("../models/mine/", "w4:32") == "./mine-w4-32"


@pytest.mark.parametrize("model", ["org/model", "./a folder/it's", "-odd"])
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("8", (8, 64, 0)),
        ("4:32", (4, 32, 0)),
        ("3:128@512", (3, 128, 512)),
        (None, (None, 64, 5000)),
    ],
)
def test_mlx_lm_runs_what_was_chosen_with_the_step_that_was_counted(
    serving: Callable[[list[str]], argparse.Namespace],
    model: str,
    setting: str | None,
    expected: tuple[int | None, int, int],
) -> None:
    kv = None if setting is None else KVSetting.parse(setting)
    found = deploy_commands(model, kv, 256)
    for program, parse, line in (
        ("mlx_lm.generate", generating, found.generate),
        ("mlx_lm.server", serving, found.server),
    ):
        options = parsed_by(program, parse, line)
        assert options.model == model
        assert options.prefill_step_size == 256
        assert (options.kv_bits, options.kv_group_size, options.quantized_kv_start) == expected


def test_the_server_holds_as_many_caches_as_were_counted(
    serving: Callable[[list[str]], argparse.Namespace],
) -> None:
    options = parsed_by("mlx_lm.server", serving, deploy_commands("m", None, 64, parallel=3).server)
    assert (options.decode_concurrency, options.prompt_concurrency) == (3, 1)
    assert options.prompt_cache_size == 0


def test_the_server_keeps_no_cache_where_it_is_told_so() -> None:
    from mlx_lm.models.cache import KVCache, LRUPromptCache

    kept = LRUPromptCache(0)
    kept.insert_cache("model", [1, 2, 3], [KVCache()])
    assert (len(kept), kept.fetch_nearest_cache("model", [1, 2, 3, 4])[0]) == (0, None)


def test_what_mlx_lm_has_no_options_for_is_said_in_words() -> None:
    for setting, said in (
        ("k8v4", "one width for keys and values"),
        ("k16v8", "one width for keys and values"),
        ("8~dequantized", "the quantizer alone"),
    ):
        found = deploy_commands("m", KVSetting.parse(setting), 64, convert="mlx_lm.convert …")
        assert (found.generate, found.server) == (None, None)
        assert found.convert is not None
        assert said in found.notes[0]
        assert setting in found.notes[0]


def test_a_quantized_cache_is_said_to_serve_one_request_at_a_time() -> None:
    alone = deploy_commands("m", KVSetting.parse("8"), 64)
    assert not any("one at a time" in note for note in alone.notes)
    found = deploy_commands("m", KVSetting.parse("8"), 64, parallel=2)
    assert any("one at a time" in note and "2 sequences" in note for note in found.notes)
