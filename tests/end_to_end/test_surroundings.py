"""A user's shell or container that gives less than usual: the command works, or one line says why.

Each is tried as a user would meet it, through the command and its child.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from cli_saved_runs import save_run
from project import ROOT

KV = "kv demo --kv-bits 4 --max-chunks 1 --chunk-length 32 --format json"

# Python imports a module of this name by itself, in the command and in its child.
CUSTOM = """
import os, sys
if os.environ.get("TEST_NO_PASSWD"):
    import pwd
    def unknown(uid):
        raise KeyError("getpwuid(): uid not found")
    pwd.getpwuid = unknown
if os.environ.get("TEST_NO_TEMPORARY"):
    import tempfile
    def nowhere():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")
    tempfile.gettempdir = nowhere
if os.environ.get("TEST_FLOCK"):
    import fcntl
    def no_locks(descriptor, how):
        raise OSError(int(os.environ["TEST_FLOCK"]), os.strerror(int(os.environ["TEST_FLOCK"])))
    fcntl.flock = no_locks
# In the child, or in the command.
if os.environ.get("TEST_THREADS") and ("scorer" in sys.orig_argv) == ("TEST_CHILD" in os.environ):
    import threading
    real, left = threading._start_new_thread, [int(os.environ["TEST_THREADS"])]
    def start(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        return real(*arguments)
    threading._start_new_thread = start
"""


def qfid(
    tmp_path: Path, words: str, shell: str = "", under: Sequence[str] = (), **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of qfid in bash, after other commands of bash; "" takes a variable away.

    ``under`` are the words of a program that runs the bash.
    """
    (tmp_path / "site").mkdir(exist_ok=True)
    (tmp_path / "site" / "sitecustomize.py").write_text(CUSTOM)
    paths = os.pathsep.join((str(ROOT), str(tmp_path / "site")))
    merged = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environ}
    command = f"{shell}exec '{sys.executable}' -P -m qfid_tui.cli {words}"
    done = subprocess.run(
        [*under, "bash", "-c", command],
        env={name: value for name, value in merged.items() if value},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr, done.stderr
    return done


def error_of(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The only error of a command and its hint."""
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(("error:", "hint:"))]
    assert len(lines) == 2, done.stderr
    return "\n".join(lines)


def test_few_files_no_home_and_no_working_directory_at_once(tmp_path: Path) -> None:
    shell = "ulimit -n 64; mkdir x; cd x; rmdir ../x; "
    homeless = {"HOME": "", "TEST_NO_PASSWD": "1", "HF_HOME": ""}
    done = qfid(tmp_path, KV, shell, **homeless)
    assert done.returncode == 0 and json.loads(done.stdout)["setting"] == "4", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("limit", [20, 256, 1024])
def test_a_hard_limit_on_open_files_below_that_of_mlx_lm(tmp_path: Path, limit: int) -> None:
    done = qfid(tmp_path, KV, f"ulimit -n {limit}; ")
    assert done.returncode == 0 and json.loads(done.stdout)["setting"] == "4", done.stderr


def test_without_a_home_folder_the_variable_to_set_is_named(tmp_path: Path) -> None:
    homeless = {"HOME": "", "TEST_NO_PASSWD": "1", "QFID_DATA_DIR": ""}
    said = error_of(qfid(tmp_path, KV, **homeless), 2)
    assert "no home folder" in said and "set QFID_DATA_DIR" in said


@pytest.mark.parametrize("count", [1, 4])
def test_few_threads_are_named_before_anything_starts(tmp_path: Path, count: int) -> None:
    done = qfid(tmp_path, KV, TEST_THREADS=str(count), TEST_CHILD="1")
    said = error_of(done, 2 if count == 4 else 1)
    assert "more threads or processes" in said and "ulimit -u" in said
    assert "loading" not in done.stderr


def test_a_command_that_can_start_no_thread_says_so(tmp_path: Path) -> None:
    said = error_of(qfid(tmp_path, KV, TEST_THREADS="0"), 1)
    assert "cannot be started" in said and "ulimit -u" in said


def test_the_doctor_names_each(tmp_path: Path) -> None:
    done = qfid(
        tmp_path,
        "doctor --format json",
        "ulimit -n 64; mkdir x; cd x; rmdir ../x; ",
        HOME="",
        HF_HOME="",
        TEST_NO_PASSWD="1",
        TEST_FLOCK=str(errno.ENOSYS),
        TEST_THREADS="3",
        TEST_CHILD="1",
    )
    assert done.returncode == 2
    found = json.loads(done.stdout)
    assert "3 more threads" in found["error"]["message"]
    assert found["open_files"] == 64 and found["model_cache"] is None
    said = [finding["what"] for finding in found["findings"]]
    for part in ("working directory", "cached models", "no file locks", "only 64 files"):
        assert any(part in what for what in said), (part, said)
    assert all(finding["fix"] for finding in found["findings"])


def test_the_doctor_names_a_missing_home_folder_and_goes_on(tmp_path: Path) -> None:
    done = qfid(tmp_path, "doctor", HOME="", TEST_NO_PASSWD="1", QFID_DATA_DIR="")
    assert done.returncode == 0, done.stderr
    assert "there is no home folder" in done.stdout and "**saved runs** —" in done.stdout


def test_a_place_for_runs_is_asked_before_the_model_is_loaded(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = qfid(tmp_path, KV, QFID_DATA_DIR=str(data), TEST_FLOCK=str(errno.ENOSYS))
    assert "QFID_DATA_DIR" in error_of(done, 2) and "loading" not in done.stderr
    assert not (data / "runs").exists()


def read_only(folder: Path) -> list[str]:
    """Words before a command for which nothing in a folder can be written."""
    if os.geteuid():
        for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            path.chmod(0o555)
        return []
    # To root a folder without write permission is as writable as any; a mount is not.
    mount = f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}'"
    words = ["unshare", "--mount", "bash", "-c", f'{mount} && exec "$@"', "bash"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be made read-only for this user")
    return words


def test_a_finished_run_is_reported_where_nothing_can_be_written(tmp_path: Path) -> None:
    run = save_run()
    data = run.path.parent.parent
    under = read_only(data)
    try:
        shown = qfid(tmp_path, f"report {run.id}", under=under)
        assert shown.returncode == 0 and shown.stdout.startswith("# KV-fidelity"), shown.stderr
        refused = qfid(tmp_path, KV, under=under)
        assert "cannot be used" in error_of(refused, 2)
        not_resumed = error_of(qfid(tmp_path, f"resume {run.id}", under=under), 2)
        assert "cannot be written" in not_resumed and f"`qfid report {run.id}`" in not_resumed
    finally:
        for path in (data, *(path for path in data.rglob("*") if path.is_dir())):
            path.chmod(0o755)


@pytest.mark.slow
def test_what_is_set_suffices_without_a_home_or_a_temporary_folder(tmp_path: Path) -> None:
    bare = {"HOME": "", "TEST_NO_PASSWD": "1", "TEST_NO_TEMPORARY": "1", "TMPDIR": ""}
    text = "seq -f 'line of text %g' 400 | "
    data = tmp_path / "data"
    done = qfid(tmp_path, f"{KV} --corpus -", shell=text, **bare, QFID_DATA_DIR=str(data))
    assert done.returncode == 0, done.stderr
    assert list((data / "cache" / "temporary").iterdir()) == []
    refused = qfid(tmp_path, f"{KV} --corpus -", shell=text, **bare, QFID_DATA_DIR="/dev/null")
    assert "TMPDIR" in error_of(refused, 2)
    for words in ("models", "runs", "doctor"):
        shown = qfid(tmp_path, words, **bare, QFID_DATA_DIR=str(data))
        assert shown.returncode == 0 and "error:" not in shown.stderr, shown.stderr
