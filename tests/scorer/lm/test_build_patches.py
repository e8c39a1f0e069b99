"""What is replaced while a model is built acts in one thread, and is put back."""

from __future__ import annotations

import contextlib
import datetime
import logging
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.utils
import pytest
from deadline import DEADLINE
from mlx_lm.models.base import BaseModelArgs
from tiny_models import write_tiny_model
from transformers.utils import chat_template_utils

from scorer.lm.build_patches import arguments_recorded, exact_weight_paths, passed_over
from scorer.lm.load import load
from scorer.lm.mlx_lm_import import kept_file_limit
from scorer.lm.mlx_lm_tokenizer import _fixed_date
from scorer.lm.patches import patched
from scorer.lm.quiet_transformers import quiet_transformers


@contextlib.contextmanager
def in_another_thread(block: Callable[[], contextlib.AbstractContextManager[Any]]) -> Iterator[Any]:
    """Hold a block open in another thread."""
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with block():
            inside.set()
            assert leave.wait(DEADLINE)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(other)
        try:
            assert inside.wait(DEADLINE)
            yield
        finally:
            leave.set()
            done.result(DEADLINE)


class Doubled(nn.Linear):
    pass


def called(kind: type[nn.Module]) -> bool:
    """Whether a layer computes: not where it returns its input."""
    x = mx.ones((1, 4))
    return bool((kind(4, 4, bias=False)(x) != x).any().item())  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [nn.Linear, Doubled])
def test_modules_are_passed_over_in_one_thread(kind: type[nn.Module]) -> None:
    before = [vars(each).get("__call__") for each in (nn.Linear, Doubled)]
    with passed_over(kind):
        assert not called(kind)
        with passed_over(kind):
            assert not called(kind)
    with in_another_thread(lambda: passed_over(kind)):
        assert called(kind)
    # Taken first and given back last, or the other way round.
    with contextlib.ExitStack() as stack, patched():
        stack.enter_context(passed_over(kind))
        assert not called(kind)
    with passed_over(kind), patched():
        assert not called(kind)
    assert [vars(each).get("__call__") for each in (nn.Linear, Doubled)] == before


def test_weight_files_are_those_of_the_folder_in_one_thread(tmp_path: Path) -> None:
    folder = tmp_path / "g[1]"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    pattern, before = str(folder / "model*.safetensors"), mlx_lm.utils.glob
    with in_another_thread(exact_weight_paths):
        assert mlx_lm.utils.glob.glob(pattern) == []
        with exact_weight_paths():
            assert mlx_lm.utils.glob.glob(pattern) == [str(folder / "model.safetensors")]
    assert mlx_lm.utils.glob is before


def test_a_thread_that_records_nothing_makes_plain_arguments() -> None:
    from mlx_lm.models.llama import ModelArgs

    config = {
        "model_type": "llama",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "intermediate_size": 8,
        "num_attention_heads": 1,
        "rms_norm_eps": 1e-5,
        "vocab_size": 8,
    }
    before = BaseModelArgs.__dict__["from_dict"]
    with in_another_thread(arguments_recorded):
        assert type(ModelArgs.from_dict(config)) is ModelArgs
        with arguments_recorded() as found:
            ModelArgs.from_dict(config)
        assert len(found) == 1
    assert BaseModelArgs.__dict__["from_dict"] is before


def test_another_thread_sets_its_own_limits() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    real = resource.setrlimit
    try:
        with in_another_thread(kept_file_limit):
            resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
            with kept_file_limit():
                resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
    finally:
        real(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.setrlimit is real


def test_the_date_is_fixed_in_one_thread() -> None:
    before = chat_template_utils.datetime
    with in_another_thread(_fixed_date):
        assert chat_template_utils.datetime.now().year >= 2026
        with _fixed_date():
            assert chat_template_utils.datetime.now() == datetime.datetime(2024, 7, 26)
        assert chat_template_utils.datetime.now().year >= 2026
    assert chat_template_utils.datetime is before


def test_transformers_is_quiet_in_one_thread() -> None:
    records: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    library, handler = logging.getLogger("transformers"), Kept()
    library.addHandler(handler)
    try:
        with in_another_thread(quiet_transformers):
            library.warning("heard")
            with quiet_transformers():
                library.warning("hidden")
                library.error("an error")
            library.warning("heard too")
    finally:
        library.removeHandler(handler)
    assert records == ["heard", "an error", "heard too"] and handler.filters == []


@pytest.mark.parametrize("bits", [None, 4])
def test_loading_a_model_draws_no_random_numbers(bits: int | None, tmp_path: Path) -> None:
    from scorer.device.backend import start_backend

    model = write_tiny_model(tmp_path / "tiny", "llama", head_dim=64, bits=bits)
    mx.random.seed(7)
    expected = mx.random.uniform(shape=(4,)).tolist()
    mx.random.seed(7)
    load(model, start_backend())
    assert mx.random.uniform(shape=(4,)).tolist() == expected
