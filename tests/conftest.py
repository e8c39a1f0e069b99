"""One environment for all tests: no network, one CPU arithmetic, no file of the user's touched."""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import os
import signal
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import settings

from scorer.device.blas import preload_blas

if TYPE_CHECKING:
    from tiny_runs import Small

# Nothing of the many thousand objects that collecting the tests makes is garbage: they are not
# looked through for it, neither now nor by each test again (see `pytest_collection_finish`).
gc.disable()


def _unsynced(descriptor: int) -> None:
    """What a test writes need not survive a power loss; a sync waits for the disk."""
    os.fstat(descriptor)


os.fsync = _unsynced
if hasattr(os, "fdatasync"):
    os.fdatasync = _unsynced

# MLX and the tokenizers read these when they are imported, and no test module is yet.
os.environ["MLX_ENABLE_TF32"] = "0"
os.environ["MLX_DISABLE_COMPILE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# What the app shows depends on how many colours the terminal has.
os.environ["COLORTERM"] = "truecolor"
# Nobody watches: a third of the paints a second that Textual makes for a user.
os.environ["TEXTUAL_FPS"] = "20"
# Every core has a worker already: threads that wait for work would take it from the others.
for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")
# The processes that tests start are many: without bytecode each would compile everything again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Expectations are those of the CPU's arithmetic; QFID_DEVICE=gpu runs the tests on a GPU.
os.environ.setdefault("QFID_DEVICE", "cpu")

# `nohup pytest &` ignores SIGINT and SIGHUP, and so would every process that a test starts. A
# signal with a handler has its default effect in them.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP):
    if signal.getsignal(number) == signal.SIG_IGN:
        # Here the signal is still ignored.
        signal.signal(number, lambda *_: None)

# Each run asks for versions of packages, which are parsed each time; none is installed meanwhile.
importlib.metadata.version = functools.cache(importlib.metadata.version)

# Nothing imported above imports MLX: the BLAS has to be loaded before it.
preload_blas()
if os.environ["QFID_DEVICE"] == "cpu":
    import mlx.core

    mlx.core.set_default_device(mlx.core.cpu)

for name, examples in (("qfid", 40), ("qfid-slow", 1000)):
    settings.register_profile(
        name, max_examples=examples, derandomize=True, deadline=None, print_blob=False
    )
settings.load_profile("qfid")

_numbers = count()


def pytest_configure(config: pytest.Config) -> None:
    """Where slow tests are asked for, properties are tried on more examples."""
    expression = str(config.option.markexpr)
    if "slow" in expression.replace("not slow", ""):
        settings.load_profile("qfid-slow")


def pytest_xdist_auto_num_workers() -> int:
    """Two a core: many tests wait for a process they have started, or for a screen."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long runs get more time than `timeout` in pyproject.toml."""
    for item in items:
        if any(item.get_closest_marker(name) for name in ("slow", "peer")):
            item.add_marker(pytest.mark.timeout(7200))


def pytest_collection_finish() -> None:
    """Look for garbage from here on, and seldom: a screen alone makes some 50 000 objects."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


# The same few tokenizers are not compared with mlx-lm's again by every process of every test, and
# the BLAS is not tried again.
_KEPT = {"tokenizers", "blas"}
# Most tests write nothing: their folders, which take longer to make than they run, are the next's.
_untouched: list[Path] = []


def _new_home(homes: Path) -> Path:
    home = homes / str(next(_numbers))
    (home / "qfid" / "cache").mkdir(parents=True)
    for name in _KEPT:
        (homes / name).mkdir(exist_ok=True)
        (home / "qfid" / "cache" / name).symlink_to(homes / name)
    return home


def _names(folder: Path) -> set[str]:
    return set(os.listdir(folder))  # noqa: PTH208


@pytest.fixture(autouse=True)
def own_folders(request: pytest.FixtureRequest, _homes: Path) -> Iterator[None]:
    """Saved runs, caches and the Hugging Face cache of a test are its own, empty at its start."""
    if request.node.get_closest_marker("real"):
        yield
        return
    home = _untouched.pop() if _untouched else _new_home(_homes)
    with mock.patch.dict(
        os.environ, {"QFID_DATA_DIR": str(home / "qfid"), "HF_HOME": str(home / "huggingface")}
    ):
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            os.environ.pop(name, None)
        yield
    if _names(home) == {"qfid"} and _names(home / "qfid") == {"cache"}:
        if _names(home / "qfid" / "cache") == _KEPT:
            _untouched.append(home)


@pytest.fixture(autouse=True)
def text_here(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs in the test's own process tokenize there too; see support/text_here.py."""
    if any(map(request.node.get_closest_marker, ("text_process", "real", "peer"))):
        yield
        return
    from text_here import TextHere

    with mock.patch("scorer.engine.text_process.TextProcess", TextHere):
        yield


@pytest.fixture(scope="session", autouse=True)
def _valid_reports() -> Iterator[None]:
    """Every report that a test makes is checked, see support/valid_reports.py."""
    from valid_reports import checked

    from scorer.report.tree import Report

    with mock.patch.object(Report, "to_json", checked(Report.to_json)):
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_apps() -> Iterator[None]:
    """Apps are waited for while they have something to do, and read a style sheet once for all."""
    from parsed_styles import parsed_once
    from pilot_waits import until_idle
    from textual.css.stylesheet import Stylesheet

    with (
        mock.patch("textual.app.wait_for_idle", until_idle),
        mock.patch("textual.pilot.wait_for_idle", until_idle),
        mock.patch.object(Stylesheet, "_parse_rules", parsed_once(Stylesheet._parse_rules)),
    ):
        yield


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A tiny random llama and a text, made once; tests that change its files copy them first."""
    from tiny_models import SMALL, write_text, write_tiny_model
    from tiny_runs import Small

    folder = tmp_path_factory.mktemp("small")
    model = write_tiny_model(folder / "tiny-llama", "llama", **SMALL)
    return Small(model, write_text(folder))


@pytest.fixture
def snap_compare(snap_compare: Any) -> Any:
    """The plugin's comparison, of a screen at rest."""
    from screen_at_rest import rested

    def compare(app: Any, **options: Any) -> Any:
        options["run_before"] = rested(options.get("run_before"))
        return snap_compare(app, **options)

    return compare
