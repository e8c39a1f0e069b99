"""A run is recorded, read back and played in the scorer's place."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from app_pilot import demo_choices, piloted, running, until
from cli_saved_runs import opening, play, recording, save_run, script
from deadline import DEADLINE

from qfid_tui.process.recording import Recorder, read_recording, write_recording
from qfid_tui.process.scorer_process import COMMAND, ScorerProcess, scorer_command
from scorer.common.errors import InputError, QfidError
from scorer.spec.events import Finished, parse_line

REPLAY = (sys.executable, "-P", "-m", "qfid_tui.replay")


def replayed(path: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*REPLAY, str(path), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *parts: object) -> Path:
    """What ScorerProcess records of a fake child with such a script."""
    file = tmp_path / "run.jsonl"
    monkeypatch.setenv("QFID_RECORD", str(file))
    play(monkeypatch, script(tmp_path / "s", *parts))  # type: ignore[arg-type]
    with ScorerProcess({"model": "demo"}) as process:
        list(process.events())
        process.close()
    monkeypatch.delenv("QFID_RECORD")
    return file


def test_what_was_recorded_is_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = recording(save_run())
    file = recorded(tmp_path, monkeypatch, "garbage \x1b[2J", events, "!exit 0")
    assert json.loads(file.read_text().splitlines()[0])["request"] == {"model": "demo"}
    found = read_recording(file)
    assert found.exit_code == 0 and found.lines[0][1] == b"garbage \x1b[2J\n"
    assert [at for at, _ in found.lines] == sorted(at for at, _ in found.lines)
    with ScorerProcess({}, command=(*REPLAY, str(file), "--speed", "inf")) as process:
        assert list(process.events()) == events
        assert process.close() == 0


@pytest.mark.parametrize(("word", "code"), [("!exit 3", 3), ("!abort", -signal.SIGABRT)])
def test_it_ends_as_the_recorded_child_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, code: int
) -> None:
    file = recorded(tmp_path, monkeypatch, opening(), word)
    with ScorerProcess({}, command=(*REPLAY, str(file))) as process:
        assert list(process.events()) == opening()
        assert process.close() == code


def test_a_recording_that_was_cut_off_is_played_as_far_as_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    write_recording(file, {}, [(0.0, event.to_json()) for event in opening()])
    text = file.read_text()
    file.write_text(text[: text.rindex("{") + 5])
    with ScorerProcess({}, command=(*REPLAY, str(file))) as process:
        assert list(process.events()) == opening()
        assert (process.close(), process.log) == (1, [])


def test_a_second_recording_leaves_the_first_alone(tmp_path: Path) -> None:
    for _ in range(3):
        Recorder(tmp_path / "a.jsonl", {}).end(0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a-2.jsonl",
        "a-3.jsonl",
        "a.jsonl",
    ]


def test_a_recording_that_cannot_be_written_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFID_RECORD", str(tmp_path / "no" / "such"))
    with pytest.raises(QfidError, match="cannot be written: No such file"):
        ScorerProcess({}, command=("true",))
    monkeypatch.setenv("QFID_RECORD", str(tmp_path / "a.jsonl"))
    with pytest.raises(QfidError, match="cannot be started"):
        ScorerProcess({}, command=(str(tmp_path / "nothing"),))


def test_a_full_disk_ends_the_recording_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, script(tmp_path / "s", opening(), "!exit 0"))
    monkeypatch.setenv("QFID_RECORD", str(tmp_path / "run.jsonl"))

    def refuse(self: Recorder, line: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Recorder, "line", refuse)
    with ScorerProcess({}) as process:
        assert list(process.events()) == opening()
        process.close()
        assert process.log == ["the recording stops here: No space left on device"]


@pytest.mark.parametrize("text", ["", "{}\n", '{"recording": 1}\nx\n{"at": 0, "exit": 0}\n'])
def test_what_is_no_recording_is_one_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(InputError):
        read_recording(file)
    with replayed(file) as process:
        out, err = process.communicate(b"{}\n")
    assert process.returncode == 2 and out == b""
    assert err.startswith(b"error: ") and b"Traceback" not in err


def test_it_ends_with_its_input_and_at_an_interrupt(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    hello = opening()[0].to_json()
    write_recording(file, {}, [(0.0, hello), (1e6, hello)])
    for interrupted in (False, True):
        with replayed(file) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"{}\n")
            process.stdin.flush()
            assert parse_line(process.stdout.readline()) == opening()[0]
            if interrupted:
                process.send_signal(signal.SIGINT)
            else:
                process.stdin.close()
            assert process.wait(DEADLINE) == (130 if interrupted else 1)


def test_the_probe_says_the_recorded_device(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    write_recording(file, {}, [(5.0, event.to_json()) for event in opening()])
    with replayed(file, "--probe") as process:
        out, _ = process.communicate()
    assert parse_line(out) == opening()[0] and process.returncode == 0


def test_the_environment_names_the_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scorer_command() == COMMAND
    monkeypatch.setenv("QFID_SCORER", "python 'a b' -c")
    assert scorer_command() == ("python", "a b", "-c")
    monkeypatch.setenv("QFID_SCORER", "'open")
    with pytest.raises(InputError, match="QFID_SCORER is not a command"):
        scorer_command()


@piloted
async def test_the_app_plays_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = save_run("8,4", job={"chunks": "spread"})
    events = recording(run)
    file = tmp_path / "run.jsonl"
    write_recording(file, {}, [(0.01 * i, event.to_json()) for i, event in enumerate(events)])
    words = (*REPLAY, str(file), "--speed", "10")
    monkeypatch.setenv("QFID_SCORER", " ".join(words))
    async with running(demo_choices(chunk_length=16, corpus="wikitext2")) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
        last = events[-1]
        assert isinstance(last, Finished) and app.comparison.report is not None
        assert app.comparison.report.to_json() == last.report
