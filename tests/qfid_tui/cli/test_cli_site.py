"""``qfid site``: a page of many runs that cannot be led astray by what they hold."""

from __future__ import annotations

import json
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from cli_saved_runs import save_run
from project import ROOT

from qfid_tui.cli import main

OLD = Path(ROOT) / "tests" / "golden" / "saved_run"


class Page(HTMLParser):
    """Tags that are open, attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


TAGS = set("html head meta title style body h1 h2 h3 p code div table tr th td ul li".split())


def page_of(folder: Path) -> Page:
    return Page((folder / "index.html").read_text("utf-8"))


def test_all_saved_runs_stand_on_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs = [save_run(), save_run("8", chunks=2)]
    broken, empty = save_run(), save_run(finished=False)
    (broken.path / "job.json").write_text("{")
    assert main(["site", str(tmp_path / "new" / "site")]) == 0
    page = page_of(tmp_path / "new" / "site")
    assert f"{runs[0].id} and 1 more" in page.words and "4 common chunks" in page.words
    said = capfd.readouterr().err
    for run in (broken, empty):
        assert f"left out: run `{run.id}`" in said and f"{run.id}: " in page.words
    assert "page of 2 runs written to" in said and "2 left out" in said
    assert page.tags <= TAGS and page.attributes <= {"class", "lang", "charset", "name", "content"}


def test_reports_from_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "there" / "old-run").mkdir(parents=True)
    shutil.copy(OLD / "report.json", tmp_path / "there" / "old-run")
    run = save_run()
    text = json.dumps(run.report())
    (tmp_path / "mine.json").write_text(text)
    shutil.rmtree(run.path)
    words = ["site", str(tmp_path / "out"), str(tmp_path / "there"), str(tmp_path / "mine.json")]
    assert main(words) == 0
    page = page_of(tmp_path / "out")
    assert "2 runs, side by side" in page.words and "mine" in page.words
    # Its version did not record what its figures depend on.
    assert "Not ranked" in page.words and "old-run" in page.words


def test_a_saved_run_says_what_its_older_report_does_not(tmp_path: Path) -> None:
    run = save_run()
    values = run.report()
    assert values is not None
    del values["run"]["conditions"]
    (run.path / "report.json").write_text(json.dumps(values))
    assert main(["site", str(tmp_path)]) == 0
    words = page_of(tmp_path).words
    assert values["settings"][0]["comparability_key"] in words and "Not ranked" not in words


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "</td><img src=x>", '"><a href="'])
def test_foreign_text_makes_no_markup(tmp_path: Path, text: str) -> None:
    run = save_run()
    values = run.report()
    assert values is not None
    values["reference"]["model_id"] = values["run"]["corpus"]["name"] = text
    values["run"]["device"]["name"] = values["settings"][0]["verdict_shown"] = text
    values["settings"][1]["comparability_key"] = values["settings"][1]["path"] = text
    values["run"]["conditions"]["device"] = text
    file = tmp_path / "x.json"
    file.write_text(json.dumps(values))
    assert main(["site", str(tmp_path), str(file)]) == 0
    page = page_of(tmp_path)
    assert page.tags <= TAGS and page.attributes <= {"class", "lang", "charset", "name", "content"}
    assert text in page.words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{tmp}/out", "{tmp}/nothing"], "there is no file or folder"),
        (["{tmp}/out", "{tmp}"], "there is no report to show"),
        (["{tmp}/out"], "there is no report to show"),
        (["{tmp}/out", "{tmp}/wrong.json"], "left out"),
        ([""], "DIR names no folder"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    words: list[str], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.json").write_text("[]")
    assert main(["site", *(word.format(tmp=tmp_path) for word in words)]) == 2
    assert said in capfd.readouterr().err
    assert not (tmp_path / "out" / "index.html").exists()


@pytest.mark.slow
def test_a_thousand_runs_take_less_than_two_seconds(tmp_path: Path) -> None:
    report = save_run().report()
    assert report is not None
    for number in range(1000):
        report["run"]["conditions"]["corpus"] = f"{number % 50}"
        folder = tmp_path / "runs" / f"{number:04}"
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(report))
    took = []
    for _ in range(3):
        start = time.process_time()
        assert main(["site", str(tmp_path), str(tmp_path / "runs")]) == 0
        took.append(time.process_time() - start)
    assert min(took) < 2
