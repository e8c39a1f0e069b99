"""``qfid pull``: progress on standard error, the folder on standard output, Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from deadline import DEADLINE
from fake_hub_cache import COMMIT, model_files, safetensors
from loopback_hub import LoopbackHub, Repo, serving

from qfid_tui.cli import diagnostics, main
from qfid_tui.cli.download import DownloadDisplay, download
from scorer.common.errors import Interrupted
from scorer.download.progress import DownloadProgress
from scorer.models.hub_cache import hub_folder
from scorer.models.resolve import resolve_model

REPO = "org/model"
WEIGHTS = "model.safetensors"


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with serving() as server:
        files = model_files() | {WEIGHTS: safetensors(elements=1 << 16)}
        server.repos["models", REPO] = Repo(files)
        yield server


def snapshot() -> Path:
    return hub_folder() / "models--org--model" / "snapshots" / COMMIT


def test_progress_goes_to_stderr_and_the_folder_to_stdout(
    hub: LoopbackHub, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", REPO]) == 0
    out, err = capfd.readouterr()
    assert out == f"{snapshot()}\n"
    lines = err.splitlines()
    assert lines[0].startswith("downloading org/model: 0 of 0 MB, ")
    assert lines[-1] == "downloading org/model: 0 of 0 MB, 100 %"
    assert 2 <= len(lines) <= 5
    assert resolve_model(REPO).path == snapshot()


def test_a_terminal_has_one_line_rewritten(
    hub: LoopbackHub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, "on_terminal", lambda: True)
    assert main(["pull", REPO]) == 0
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and err.endswith("100 %\n")
    assert err.count("\r\x1b[K") >= 10


def test_a_revision_by_both_names(hub: LoopbackHub, capfd: pytest.CaptureFixture[str]) -> None:
    for option in ("--revision", "--model-revision"):
        assert main(["pull", REPO, option, COMMIT]) == 0
        assert capfd.readouterr().out == f"{snapshot()}\n"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["org/missing"], "there is no public repo `org/missing`", "check the spelling"),
        ([REPO, "--revision", "dev"], "`org/model` has no revision `dev`", "give a commit"),
        (["a/b/c"], "`a/b/c` is not a repo id", "write a repo as org/name"),
        (["x\x1b[31m"], "`x?[31m` is not a repo id", "write a repo as org/name"),
    ],
)
def test_an_error_is_two_lines_and_code_2(
    hub: LoopbackHub,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    error: str,
    hint: str,
) -> None:
    assert main(["pull", *words]) == 2
    out, err = capfd.readouterr()
    first, second = err.splitlines()
    assert first == f"error: {error}" and second.startswith(f"hint: {hint}") and out == ""


def test_code_of_its_own(hub: LoopbackHub, capfd: pytest.CaptureFixture[str]) -> None:
    files = hub.repos["models", REPO].files
    files |= model_files(model_file="own.py") | {"own.py": b"raise SystemExit(9)"}
    assert main(["pull", REPO]) == 2
    assert "--allow-custom-code" in capfd.readouterr().err
    assert main(["pull", REPO, "--allow-custom-code"]) == 0
    assert (snapshot() / "own.py").exists()


def test_ctrl_c_ends_the_download_with_the_next_bytes(
    hub: LoopbackHub, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = threading.Event()

    def interrupt_once(display: DownloadDisplay, progress: DownloadProgress) -> None:
        # As the weights come in, in a thread of the library's.
        if progress.done > 2000 and not shown.is_set():
            shown.set()
            os.kill(os.getpid(), signal.SIGINT)
            assert _stopped.wait(DEADLINE)

    _stopped = threading.Event()
    handle = signal.signal

    def observed(number: int, handler: object) -> object:
        def noted(*values: object) -> None:
            handler(*values)  # type: ignore[operator]
            _stopped.set()

        return handle(number, noted if callable(handler) else handler)  # type: ignore[arg-type]

    before = signal.getsignal(signal.SIGINT)
    with (
        mock.patch.object(DownloadDisplay, "show", interrupt_once),
        mock.patch.object(signal, "signal", observed),
    ):
        assert main(["pull", REPO]) == 130
    signal.signal(signal.SIGINT, before)
    out, err = capfd.readouterr()
    assert shown.is_set() and out == ""
    assert err.splitlines()[0] == "error: the download was stopped"
    assert not (snapshot() / WEIGHTS).exists()
    assert main(["pull", REPO]) == 0


def test_the_handler_of_signals_is_put_back(hub: LoopbackHub) -> None:
    before = signal.getsignal(signal.SIGINT)
    download(REPO, None)
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_there_are_no_signals(hub: LoopbackHub) -> None:
    found: list[Path] = []
    thread = threading.Thread(target=lambda: found.append(download(REPO, None)))
    thread.start()
    thread.join()
    assert found == [snapshot()]


def test_interrupted_is_130() -> None:
    assert Interrupted("x").exit_code == 130


def test_an_unknown_size_is_shown_as_bytes(capfd: pytest.CaptureFixture[str]) -> None:
    display = DownloadDisplay("org/x\x1b[31m")
    for done in (0, 5, 300_000_000, 300_000_001):
        display.show(DownloadProgress(done, None))
    display.end()
    err = capfd.readouterr().err
    assert err.splitlines() == ["downloading org/x␛[31m: 0 MB", "downloading org/x␛[31m: 300 MB"]


def test_a_text_of_a_data_set_is_fetched_and_named_with_its_commit(
    hub: LoopbackHub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hub.repos["datasets", "org/text"] = Repo({"test.jsonl": b'{"text": "a"}\n'})
    assert main(["pull", "hf:org/text:test:text"]) == 0
    out, err = capfd.readouterr()
    assert out == f"hf:org/text:test:text@{COMMIT}\n" and "downloading org/text" in err
    assert main(["pull", "hf:org/text:dev:text"]) == 2
    assert "has no split `dev`" in capfd.readouterr().err
    assert main(["pull", "hf:org/text:test:text@main", "--revision", "main"]) == 2
    assert "two revisions are named" in capfd.readouterr().err
