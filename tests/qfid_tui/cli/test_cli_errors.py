"""Wrong input, missing models, errors of ours: one or two lines, an exit code, no traceback."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_saved_runs import opening, play, report_of, request_of, save_run, script

from qfid_tui.cli import diagnostics
from qfid_tui.cli.command_line import COMMANDS, main
from scorer.common.errors import InputError, ModelNotCached
from scorer.spec.events import Finished

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path = tmp_path / "never"
    play(monkeypatch, path)
    yield
    assert not path.with_suffix(".request").exists()


def run_main(*words: str) -> int:
    """The exit code, whichever way it comes."""
    try:
        return main(list(words))
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code


@pytest.mark.usefixtures("no_child")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kv"], "the following arguments are required: MODEL"),
        (["kv", "demo", "--kv-bits", "7"], "`7` bits for the key side"),
        (["kv", "demo", "--kv-bits", "8,x"], "`x` is not a number of bits"),
        (["kv", "demo", "--kv-bits", "8,,4"], "`` is not a number of bits"),
        (["kv", "demo", "--kv-bits", "k8v4"], "`k8v4` is not a number of bits"),
        (["kv", "demo", "--kv-bits", "16"], "`k16v16` quantizes nothing"),
        (["kv", "demo", "--settings", "8;4"], "`8;4` is not a setting"),
        (["kv", "demo", "--settings", ","], "no setting was given"),
        (["kv", "demo", "--kv-bits", "8", "--settings", "4"], "not allowed with argument"),
        (["kv", "demo", "--kv-group-size", "48"], "`48` is not a group size"),
        (["kv", "demo", "--kv-group-size", "x"], "invalid int value: 'x'"),
        (["kv", "demo", "--quantize-start", "-1"], "start `-1` is negative"),
        (["kv", "demo", "--quantize-start", "511"], "start 511 leaves no position"),
        (["kv", "demo", "--chunk-length", "1"], "chunk length `1` leaves no token"),
        (["kv", "demo", "--max-chunks", "0"], "`0` chunks score nothing"),
        (["kv", "demo", "--max-chunks", "-3"], "`-3` chunks score nothing"),
        (["kv", "demo", "--noise-floor", "1"], "`1` repeats give no standard deviation"),
        (["kv", "demo", "--batch-size", "0"], "batch `0` holds no chunk"),
        (["kv", "demo", "--path", "both"], "`both` is not a path"),
        (["kv", "demo", "--kernel", "cuda"], "`cuda` is not a kernel"),
        (["kv", "demo", "--protocol", "gguf"], "`gguf` is not a protocol"),
        (["kv", "demo", "--chunks", "last"], "`last` is not a choice of chunks"),
        (["kv", "demo", "--format", "xml"], "invalid choice: 'xml'"),
        (["kv", "demo", "--fail-under", "bad"], "invalid choice: 'bad'"),
        (["kv", "demo", "--corpus", "-x"], "argument --corpus: expected one argument"),
        (["kv", "demo", "--kv-bit", "8"], "unrecognized arguments: --kv-bit 8"),
        (["kv", "demo", "--max", "8"], "unrecognized arguments: --max 8"),
        (["kv", "demo", "more"], "unrecognized arguments: more"),
        (["kv", "demo", "--\x1b[2J"], "unrecognized arguments: --␛[2J"),
        (["kv", "demo", "--revision", "main"], "has no revision"),
        (["kv", ""], "no model was named"),
        (["kv", "./nowhere"], "there is no folder `./nowhere`"),
        (["kv", "-x"], "the following arguments are required: MODEL"),
        (["kv", "a b c"], "is neither a folder nor a repo id"),
        (["kv", "no/such", "--kv-bits", "8"], "`no/such` is not in the local cache"),
        (["report"], "no run is saved yet"),
        (["kv", "demo", "--output", "x.docx"], "no format of a report has the ending `.docx`"),
        (["kv", "demo", "--format", "parquet"], "parquet is no text to print"),
        (["runs", "--delete", "2031"], "there is no run `2031`"),
        (["kvv", "demo", "--kv-bits", "8"], "`kvv` is neither a command nor a folder"),
        (["resume", "--format", "yaml"], "invalid choice"),
        (["modles"], "`modles` is neither a command nor a folder"),
        (["--corpus"], "argument --corpus: expected one argument"),
        (["demo", "kv"], "unrecognized arguments: kv"),
    ],
)
def test_wrong_input_ends_with_2_in_two_lines_at_most(
    words: list[str], said: str, capfd: Capture
) -> None:
    assert run_main(*words) == 2
    out, err = capfd.readouterr()
    assert out == ""
    first, *rest = err.splitlines()
    assert first.startswith("error: ") and said in first
    assert len(rest) <= 1 and all(line.startswith("hint: ") for line in rest)
    assert "\x1b" not in err


def test_a_slip_in_an_option_points_to_the_commands_own_help(capfd: Capture) -> None:
    run_main("kv", "demo", "--kv-bit", "8")
    assert capfd.readouterr().err.endswith("hint: `qfid kv --help` lists the options\n")


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        (["kv", "demo", "-c", "512"], "--chunk-length N"),
        (["kv", "demo", "--kv-method=affine"], "--settings"),
        (["kv", "demo", "--configs", "8:64"], "--settings"),
        (["kv", "demo", "--min-tier", "good"], "--fail-under good"),
        (["kv", "demo", "--max-kld", "0.01"], "--fail-under good"),
        (["demo", "--max-kld", "0.01"], "--fail-under good"),
    ],
)
def test_an_option_of_another_program_is_answered_with_ours(
    words: list[str], ours: str, capfd: Capture
) -> None:
    assert run_main(*words) == 2
    hint = capfd.readouterr().err.splitlines()[1]
    assert hint.startswith("hint: ") and ours in hint


def test_a_number_of_chunks_names_the_option_for_it(capfd: Capture) -> None:
    assert run_main("kv", "demo", "--chunks", "4") == 2
    assert capfd.readouterr().err.endswith("hint: --max-chunks 4 scores so many\n")


def test_a_misspelled_command_is_given_back_whole(capfd: Capture) -> None:
    assert run_main("kvv", "demo", "--kv-bits", "8") == 2
    assert capfd.readouterr().err.endswith("hint: did you mean `qfid kv demo --kv-bits 8`?\n")


def test_a_missing_model_names_the_line_that_fetches_it(capfd: Capture) -> None:
    assert run_main("kv", "no/such", "--revision", "v1") == 2
    assert capfd.readouterr().err.endswith("hint: qfid pull no/such --revision v1\n")


def test_a_folder_named_like_a_command_is_a_model_when_written_as_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kv").mkdir()
    assert run_main("kv", "./kv") == 2
    assert capfd.readouterr().err.startswith("error: `./kv`: ")


def test_a_local_folder_is_handed_on_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from scorer.demo import demo_model_path

    shutil.copytree(demo_model_path(), tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    run = save_run()
    path = script(tmp_path / "s", opening(run), Finished(report_of(run)))
    play(monkeypatch, path)
    assert main(["kv", "./mine", "--corpus", "builtin"]) == 0
    assert request_of(path)["model"] == str(tmp_path / "mine")


class Hub:
    """Stands in for the Hub: ``a/b`` can be fetched once it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, str | None, bool]] = []
        monkeypatch.setattr("scorer.models.resolve.resolve_model", self.resolve_model)
        monkeypatch.setattr("qfid_tui.cli.download.download", self.download)

    def resolve_model(
        self, model: str, revision: str | None = None, *, allow_custom_code: bool = False
    ) -> object:
        if not self.asked:
            raise ModelNotCached(f"`{model}` is not here", f"qfid pull {model}", model, revision)
        return type("Info", (), {"revision": "c" * 40, "path": Path("/cache"), "name": model})

    def download(self, repo: str, revision: str | None, *, allow_custom_code: bool = False) -> Path:
        self.asked.append((repo, revision, allow_custom_code))
        return Path("/cache")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    run = save_run()
    path = script(tmp_path / "s", opening(run), Finished(report_of(run)))
    play(monkeypatch, path)
    return path


def test_pull_downloads_without_asking(whole_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch)
    assert run_main("kv", "a/b", "--revision", "v1", "--pull", "--allow-custom-code") == 0
    assert hub.asked == [("a/b", "v1", True)]
    assert request_of(whole_run)["model"] == "a/b"


@pytest.mark.parametrize(
    ("answer", "code"), [("y\n", 0), ("YES\n", 0), ("\n", 2), ("n\n", 2), ("", 2), ("yup\n", 2)]
)
@pytest.mark.usefixtures("whole_run")
def test_a_user_at_a_terminal_is_asked(
    answer: str, code: int, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    hub = Hub(monkeypatch)
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr(diagnostics, "on_terminal", lambda: True)
    assert run_main("kv", "a/b") == code
    out, err = capfd.readouterr()
    assert "`a/b` is not here. download a/b? [y/N] " in err
    assert "[y/N]" not in out
    assert hub.asked == ([("a/b", None, False)] if code == 0 else [])


@pytest.mark.parametrize(("stdin", "stderr"), [(False, True), (True, False), (None, True)])
@pytest.mark.usefixtures("no_child")
def test_nobody_is_asked_who_cannot_see_and_answer(
    stdin: bool | None, stderr: bool, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    hub = Hub(monkeypatch)
    streams = {True: Terminal("y\n"), False: io.StringIO("y\n"), None: None}
    monkeypatch.setattr("sys.stdin", streams[stdin])
    monkeypatch.setattr(diagnostics, "on_terminal", lambda: stderr)
    assert run_main("kv", "a/b") == 2
    assert "[y/N]" not in capfd.readouterr().err
    assert hub.asked == []


def test_an_error_of_ours_is_two_lines(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    def broken() -> None:
        raise ZeroDivisionError("all\nwrong\x1b[2J")

    monkeypatch.setattr("scorer.runs.listing.run_index", broken)
    assert main(["runs"]) == 1
    first, second = capfd.readouterr().err.splitlines()
    assert first.startswith("error: internal error: ZeroDivisionError: all at test_cli_errors.py:")
    assert second.startswith("hint: please report it")
    monkeypatch.setenv("QFID_TRACEBACK", "1")
    assert main(["runs"]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_ctrl_c_outside_a_run_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scorer.runs.listing.run_index", interrupted)
    assert main(["runs"]) == 130
    assert capfd.readouterr().err == "interrupted\n"


def test_a_folder_of_runs_that_is_a_file_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    (tmp_path / "runs").write_text("")
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path))
    assert main(["runs"]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("words", [[], *([command] for command in sorted(COMMANDS))])
def test_help_fits_a_terminal_of_80_columns(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_main(*words, "--help") == 0
    out, err = capfd.readouterr()
    assert out.startswith(" ".join(["usage: qfid", *words]) + " ")
    assert err == ""
    usage, _, rest = out.partition("\n\n")
    # argparse never breaks a list of choices in the usage.
    assert max(map(len, rest.splitlines())) <= 80, usage


def test_messages_survive_a_closed_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    diagnostics.say("nobody hears this")
    assert not diagnostics.on_terminal()
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    diagnostics.show_error(InputError("nor this", "or that"))
    assert not diagnostics.on_terminal()
