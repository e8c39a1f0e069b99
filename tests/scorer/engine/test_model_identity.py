"""What a report says its numbers are of is what was computed, or there is no report."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_hub_cache import write_repo
from tiny_runs import Small, cells, failed, finished, planned, stopped

from scorer.engine.known_content import is_recorded
from scorer.models import file_hashes
from scorer.models.model_content import ModelContent
from scorer.runs.listing import Run, find_run, list_runs
from scorer.runs.run_files import job_json
from scorer.score import score
from scorer.spec.events import ChunkScored, Event, Warned
from scorer.spec.job import Job

WEIGHTS = "model.safetensors"
LONG_AGO = time.time_ns() - 10**13


def made_old(folder: Path) -> None:
    """Let no file be as young as the steps of a file system's times."""
    for path in folder.iterdir():
        os.utime(path, ns=(LONG_AGO, LONG_AGO))


def other_weights(folder: Path) -> None:
    """Other weights of the same size, the same time and in the same file."""
    data = bytearray((folder / WEIGHTS).read_bytes())
    for place in range(len(data) - 400_000, len(data), 4):
        # A bit in the middle of a float32's mantissa.
        data[place + 1] ^= 0x80
    with (folder / WEIGHTS).open("r+b") as file:
        file.write(data)
    os.utime(folder / WEIGHTS, ns=(LONG_AGO, LONG_AGO))


def said(report: dict[str, Any]) -> list[str]:
    """Warnings of a report that are about what was computed."""
    words = ("known", "hashed", "local copy", "conditions")
    return [text for text in report["run"]["warnings"] if any(word in text for word in words)]


@pytest.fixture
def own(small: Small, tmp_path: Path) -> Small:
    """A model and a text of the test's own, to be changed."""
    model = shutil.copytree(small.model, tmp_path / "input" / "tiny-llama")
    made_old(model)
    return Small(model, Path(shutil.copy(small.text, tmp_path / "input" / "text.txt")))


@pytest.fixture
def large(own: Small, monkeypatch: pytest.MonkeyPatch) -> Small:
    """The weights are too large to be hashed before scoring."""
    monkeypatch.setattr(file_hashes, "_HASHED_BYTES", 100_000)
    assert (own.model / WEIGHTS).stat().st_size > 100_000
    return own


def during(job: Job, act: Callable[[], object], **more: Any) -> Iterator[Event]:
    """The events of a run in which something happens once the first chunk is scored."""
    done = False
    for event in score(job, **more):
        yield event
        if isinstance(event, ChunkScored) and not done:
            act()
            done = True


def test_weights_of_equal_size_do_not_end_as_two_models_in_one_report(large: Small) -> None:
    job = large.job("8,4", max_chunks=3)
    run = find_run(planned(stopped(job, after=2)).run)
    other_weights(large.model)
    failure = failed([*score(job, run=run.id)])
    assert failure.exit_code == 2 and "--accept-changes" in failure.hint
    assert "under other conditions: model content (`" in failure.message
    mixed = finished([*score(job, run=run.id, accept_changes=True)]).report
    assert any("model content (`" in warning for warning in mixed["run"]["warnings"])


def test_the_same_weights_in_another_file_go_on(large: Small) -> None:
    job = large.job("8,4", max_chunks=3)
    run = find_run(planned(stopped(job, after=2)).run)
    shutil.copy(large.model / WEIGHTS, large.model / "copy")
    (large.model / "copy").rename(large.model / WEIGHTS)
    report = finished([*score(job, run=run.id)]).report
    assert report["run"]["complete"] and said(report) == []


def unhashed(run: Run) -> None:
    """Leave the run as one that was killed before the files of its model were hashed."""
    facts = run.facts
    values = facts.to_json()
    del values["identity"]["model content"]
    values["run"]["model_files"][WEIGHTS] = facts.files[WEIGHTS].size
    text = job_json(run.job, type(facts).from_json(values), run.created)
    (run.path / "job.json").write_text(text)


def test_a_run_killed_before_the_hashes_are_known_goes_on_with_the_same_files(
    large: Small,
) -> None:
    job = large.job("8,4", max_chunks=3)
    run = find_run(planned(stopped(job, after=2)).run)
    unhashed(run)
    report = finished([*score(job, run=run.id)]).report
    assert report["run"]["complete"] and said(report) == []
    assert len(report["reference"]["model_files"][WEIGHTS]) == 64


def test_and_with_no_others(large: Small) -> None:
    job = large.job("8,4", max_chunks=3)
    run = find_run(planned(stopped(job, after=2)).run)
    unhashed(run)
    shutil.copy(large.model / WEIGHTS, large.model / "copy")
    (large.model / "copy").rename(large.model / WEIGHTS)
    failure = failed([*score(job, run=run.id)])
    assert failure.exit_code == 2
    assert "model content (`replaced before hashed`, now `" in failure.message


def test_its_report_says_that_the_content_is_not_known(large: Small) -> None:
    from scorer.report.from_run import finished_report

    run = find_run(planned(stopped(large.job("8,4", max_chunks=3), after=2)).run)
    unhashed(run)
    report = finished_report(find_run(run.id))
    assert type(report.reference.model_files[WEIGHTS]) is int
    assert any("before the files of the model were hashed" in w for w in report.run.warnings)


def test_an_older_run_goes_on_and_its_report_says_what_is_not_known(own: Small) -> None:
    job = own.job("8,4", max_chunks=3)
    run = find_run(planned(stopped(job, after=2)).run)
    unhashed(run)
    text = json.loads((run.path / "job.json").read_text())
    del text["facts"]["files"]
    (run.path / "job.json").write_text(json.dumps(text))
    events = [*score(job, run=run.id)]
    (warned,) = [event for event in events if isinstance(event, Warned)]
    assert "under which model content it was begun" in warned.message
    (warning,) = said(finished(events).report)
    assert warning.endswith(": model content")


def swapped(folder: Path) -> None:
    other_weights(folder)


def swapped_aside(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("other"))
    other_weights(folder.with_name("other"))
    (folder.with_name("other") / WEIGHTS).rename(folder / WEIGHTS)


def other_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))


def other_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text())))


def folder_deleted(folder: Path) -> None:
    shutil.rmtree(folder)


CHANGES = [swapped, swapped_aside, other_config, other_tokenizer, folder_deleted]


@pytest.mark.parametrize("change", CHANGES)
def test_files_that_change_while_they_are_scored_end_without_a_report(
    large: Small, change: Callable[[Path], None]
) -> None:
    events = [*during(large.job("8,4", max_chunks=3), lambda: change(large.model))]
    failure = failed(events)
    assert (failure.exit_code, failure.error, failure.run) == (1, "ModelChanged", None)
    assert "while it was scored" in failure.message
    (info,) = list_runs()
    assert find_run(info.id).report() is None
    # What the run says of them is what was computed.
    hashes = find_run(info.id).facts.identity["model content"]
    if change is swapped:
        assert hashes != ModelContent(large.model).digest()


@pytest.mark.parametrize("change", [swapped, swapped_aside, other_config])
def test_files_that_change_before_they_are_read_end_without_a_run(
    large: Small, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    from scorer.engine import preparation

    plain = preparation.load

    def load(path: Path, *arguments: Any, **more: Any) -> Any:
        change(path)
        return plain(path, *arguments, **more)

    monkeypatch.setattr(preparation, "load", load)
    failure = failed(large.score("8"))
    assert failure.exit_code == 1 and "was changed or replaced" in failure.message
    assert list_runs() == []


def test_files_that_change_before_they_are_hashed_give_no_hash(
    large: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read, then replaced, then hashed: the numbers of one and the hash of the other."""
    from scorer.engine import session

    waiting = []
    monkeypatch.setattr(ModelContent, "_hash", lambda self, file: waiting.append((self, file)))
    monkeypatch.setattr(ModelContent, "is_known", property(lambda self: False))
    plain = ModelContent._sha256

    def late() -> None:
        swapped_aside(large.model)
        for content, file in waiting:
            try:
                file.sha256.set_result(plain(content, file))
            except Exception as error:
                file.sha256.set_exception(error)

    monkeypatch.setattr(session.Session, "_record_hashes", lambda *_: None)
    failure = failed([*during(large.job("8", max_chunks=3), late)])
    assert failure.exit_code == 1 and failure.error == "ModelChanged"


def test_a_link_to_the_model_that_leads_elsewhere_meanwhile(own: Small, tmp_path: Path) -> None:
    other = shutil.copytree(own.model, tmp_path / "other")
    other_weights(other)
    link = tmp_path / "link"
    link.symlink_to(own.model)

    def elsewhere() -> None:
        link.unlink()
        link.symlink_to(other)

    failure = failed([*during(Small(link, own.text).job("8", max_chunks=3), elsewhere)])
    assert failure.exit_code == 1 and failure.error == "ModelChanged"


@pytest.mark.parametrize("name", ["g[1]", "g?", "g*", "]g["])
def test_a_path_is_no_pattern(small: Small, tmp_path: Path, name: str) -> None:
    """mlx-lm takes it for one: `g[1]` would be scored with the weights of `g1`."""
    whole = finished(small.score("8")).report
    own = shutil.copytree(small.model, tmp_path / "input" / name)
    for other in ("g1", "gx"):
        other_weights(shutil.copytree(small.model, tmp_path / "input" / other))
    report = finished(Small(own, small.text).score("8")).report
    assert report["kl"] == whole["kl"]
    assert report["reference"]["model_files"] == whole["reference"]["model_files"]


def test_a_blob_that_is_not_what_it_is_named_after_is_said(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    contents = {path.name: path.read_bytes() for path in small.model.iterdir()}
    snapshot = write_repo(tmp_path / "hub", "local-test/tiny", contents)
    repo = Small(Path("local-test/tiny"), small.text)
    assert said(finished(repo.score("8")).report) == []
    blob = (snapshot / WEIGHTS).resolve()
    shutil.copytree(small.model, tmp_path / "other")
    other_weights(tmp_path / "other")
    blob.write_bytes((tmp_path / "other" / WEIGHTS).read_bytes())
    report = finished(repo.score("8")).report
    (warning,) = said(report)
    assert warning.startswith(f"{WEIGHTS} of the local copy is not what revision")
    assert report["reference"]["model_files"][WEIGHTS] != blob.name


def test_a_text_that_is_replaced_meanwhile_is_named_by_what_was_read(own: Small) -> None:
    text = own.text.read_text("utf-8")
    report = finished(
        [*during(own.job("8", max_chunks=3), lambda: own.text.write_text("another text " * 999))]
    ).report
    import hashlib

    assert report["run"]["corpus"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("renamed", [False, True])
def test_a_run_whose_folder_is_gone_ends_at_the_next_chunk(own: Small, renamed: bool) -> None:
    other = finished(own.score("8", max_chunks=1))
    (first,) = list_runs()
    before = {path.name: path.read_bytes() for path in first.path.iterdir()}

    def gone() -> None:
        (run,) = [info for info in list_runs() if info.id != first.id]
        if renamed:
            run.path.rename(run.path.parent / ".away")
        else:
            shutil.rmtree(run.path)

    events = [*during(own.job("8", max_chunks=4), gone)]
    failure = failed(events)
    assert failure.exit_code == 1 and "nothing more is saved of this run" in failure.message
    assert cells(events) == [("8", 0)] and failure.run is None
    assert {path.name: path.read_bytes() for path in first.path.iterdir()} == before
    assert other.complete and len(list_runs()) == 1


def test_whatever_finds_the_folder_gone_says_so(
    own: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_report = Run.save_report

    def late(run: Run, *arguments: Any, **options: Any) -> None:
        # The folder goes right before the report is saved.
        run.path.rename(run.path.parent / ".away")
        save_report(run, *arguments, **options)

    monkeypatch.setattr(Run, "save_report", late)
    failure = failed([*own.score("8", max_chunks=4)])
    assert failure.exit_code == 1 and "nothing more is saved of this run" in failure.message


def test_hashes_that_come_between_two_fields_are_recorded_in_both(small: Small) -> None:
    run = find_run(planned(small.score("8")).run)
    assert is_recorded(run.facts)
    assert run.facts.run is not None
    sizes = replace(run.facts.run, model_files={"model.safetensors": 3})
    assert not is_recorded(replace(run.facts, run=sizes))
