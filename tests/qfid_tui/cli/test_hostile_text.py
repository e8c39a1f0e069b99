"""Strings from outside on the command line: shown as signs, on lines of their own, cut when absurd.

What they are: terminal escapes, markup, right-to-left marks, NUL, newlines, half surrogates,
formulas, and names of a hundred thousand characters.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli_saved_runs import opening, play, report_of, save_run, script
from fuzz_inputs import ACTS
from page_markup import checked

from qfid_tui.cli import main
from qfid_tui.cli.report_formats import FORMATS
from scorer.common.folders import runs_folder
from scorer.runs.identity import identity_hash
from scorer.runs.listing import Run, find_run
from scorer.spec.events import Failed, Finished, Loading, SettingFailedEvent, Warned

Capture = pytest.CaptureFixture[str]

HOSTILE = {
    "escapes": "\x1b[2J\x1b]0;owned\x07\x9b31m\x1bPq\x1b\\",
    "markup": "[/red][@click=app.quit]x[/]<script>&lt;|`**_",
    "right to left": "abc\u202egnp.exe\u2066\u200f",
    "lines": "one\ntwo\r\nthree\u2028four\x85five\x0bsix",
    "half a pair": "x\ud800y",
    "formula": "=HYPERLINK(1)",
    "long": "a" * 100_000,
    "marks": "e" + "\u0301" * 500,
}
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


def assert_inert(shown: str) -> None:
    for line in shown.removesuffix("\n").split("\n"):
        assert not ACTS.search(line), ascii(line[:200])
        assert len(line) < 12_000


def refused(words: list[str], capfd: Capture) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
    out, err = capfd.readouterr()
    assert code == 2 and out == ""
    assert 1 <= len(err.splitlines()) <= 2 and err.startswith("error: ")
    assert_inert(err)


@hostile
@pytest.mark.parametrize(
    "words",
    [
        ["kv", "{}"],
        ["kv", "./{}"],
        ["kv", "org/{}"],
        ["kv", "demo", "--settings", "{}"],
        ["kv", "demo", "--kv-bits", "{}"],
        ["kv", "demo", "--revision", "{}"],
        ["kv", "demo", "--output", "nowhere/{}"],
        ["kv", "demo", "--{}"],
        ["report", "{}"],
        ["report", "./{}"],
        ["resume", "{}"],
        ["pull", "{}"],
        ["pull", "org/name", "--revision", "{}"],
        ["models", "{}"],
        ["runs", "--format", "{}"],
    ],
    ids=" ".join,
)
def test_what_is_typed_comes_back_inert(words: list[str], text: str, capfd: Capture) -> None:
    refused([word.replace("{}", text) for word in words], capfd)


def hostile_run(text: str) -> Run:
    """A finished run, every foreign string of which is the text."""
    run = save_run()
    path = run.path / "job.json"
    data = json.loads(path.read_text())
    facts = data["facts"]
    facts["identity"] |= {"model": text}
    data["identity"] = identity_hash(facts["identity"])
    for job in (data["job"], facts["run"]["job"]):
        job |= {"model": text, "corpus": text, "revision": text}
    about = facts["run"]
    about |= {"model_id": text, "model_revision": text, "architecture": text}
    about |= {"model_files": {f"{text}.safetensors": text}, "warnings": [text]}
    about["corpus"] |= {"name": text, "split": text, "tokenizer_id": text, "sha256": text}
    about["device"]["name"] = text
    about["arithmetic"] = dict.fromkeys(about["arithmetic"], text)
    about["versions"] = dict.fromkeys(about["versions"], text)
    for setting in facts["settings"].values():
        setting |= {"arithmetic": text, "warnings": [text], "kv_layers_skipped": {text: 1}}
    path.write_text(json.dumps(data))
    (run.path / "report.json").unlink()
    found = find_run(run.id)
    found.mark_failed("4", text, text, text)
    return found


@hostile
def test_commands_of_a_stored_report_are_not_believed(text: str, capfd: Capture) -> None:
    run = save_run()
    report = report_of(run)
    report["run"]["command"] = report["recommendation"]["command"] = f"```{text}"
    (run.path / "report.json").write_text(json.dumps(report))
    for format in ("md", "card"):
        assert main(["report", run.id, "--format", format]) == 0
        lines = capfd.readouterr().out.split("\n")
        assert not any(map(ACTS.search, lines))
        fences = [line for line in lines if re.fullmatch("`+(sh)?", line)]
        assert len(fences) == (4 if format == "md" else 2)
        assert all(a == f"{b}sh" for a, b in zip(fences[::2], fences[1::2], strict=True))
        # The command begins with three backticks, so a fence of three would end there.
        assert all(len(fence) > 3 for fence in fences[1::2])


@hostile
def test_a_saved_run_is_printed_inert_in_every_form(text: str, capfd: Capture) -> None:
    run = hostile_run(text)
    # Parquet is not printed, and mqf-json holds one setting.
    for format in sorted({*FORMATS} - {"parquet", "mqf-json"}):
        assert main(["report", run.id, "--format", format]) == 0
        out, err = capfd.readouterr()
        for line in (out + err).split("\n"):
            assert not ACTS.search(line), (format, ascii(line[:200]))
        if format == "json":
            json.loads(out)
        if format == "html":
            checked(out)
        if format == "csv":
            rows = list(csv.reader(io.StringIO(out), strict=True))
            assert len({len(row) for row in rows}) == 1
            cells = [cell for row in rows for cell in row]
            assert not any(re.match(r"\s*[=@+]|-(?![\d.])", cell) for cell in cells)
    for format in ("text", "json"):
        assert main(["runs", "--format", format]) == 0
        out, err = capfd.readouterr()
        assert not ACTS.search((out + err).replace("\n", ""))
        assert len(out.splitlines()) == 2 or format == "json"


@hostile
@pytest.mark.parametrize("terminal", [False, True])
def test_what_the_scorer_says_is_shown_inert(
    text: str, terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setattr("qfid_tui.cli.diagnostics.on_terminal", lambda: terminal)
    run = save_run()
    *before, planned = opening(run)
    plan = dataclasses.replace(planned, model=text, arithmetic=text)  # type: ignore[call-arg]
    said: list[Any] = [
        *before,
        Loading(text, text),
        Loading("model", text),
        Warned(text, text),
        plan,
        SettingFailedEvent("4", text, text, text),
    ]
    ends = (Failed(text, text, text, 2), Finished(report_of(run)))
    for number, end in enumerate(ends):
        play(monkeypatch, script(tmp_path / str(number), said, end))
        main(["kv", "demo"])
        _, err = capfd.readouterr()
        # Our own signs for rewriting a line are the only ones that act.
        assert_inert(re.sub("\r?\x1b\\[(J|1A)|\r", "", err))


@hostile
def test_the_last_words_of_a_scorer_that_died_are_inert(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    words = re.sub(r"[\n\r\ud800\x85\u2028\x0b]", "", text)
    play(monkeypatch, script(tmp_path / "s", opening(save_run()), f"!say {words}", "!exit 3"))
    assert main(["kv", "demo"]) == 1
    _, err = capfd.readouterr()
    assert_inert(err)
    assert "without a report; its last line: " in err


@hostile
def test_a_folder_among_the_runs_is_listed_inert(text: str, capfd: Capture) -> None:
    name = text.replace("/", "-").replace("\0", "")[:80].encode("utf-8", "replace").decode()
    (runs_folder() / name).mkdir(parents=True)
    assert main(["runs"]) == 0
    out, err = capfd.readouterr()
    assert_inert(out + err)
    assert len(out.splitlines()) == 2
