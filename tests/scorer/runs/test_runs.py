"""Saved runs: made, listed, found, grown, finished, deleted."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from positions_files import positions, same
from project import ROOT
from saved_runs import FACTS, IDENTITY, folder_of_runs, job

from scorer.common.errors import InputError
from scorer.common.folders import runs_folder
from scorer.runs import listing as runs
from scorer.runs import stored_counts
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.facts import FailureFacts, StoredFacts
from scorer.runs.grid import CellKey
from scorer.runs.listing import (
    Run,
    find_run,
    identity_hash,
    list_runs,
    new_run,
    newest_unfinished,
    twins,
    unfinished_twin,
)
from scorer.runs.run_lock import holder
from scorer.spec.job import CorpusSpec


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return folder_of_runs(tmp_path, monkeypatch)


def fill(run: Run, *cells: tuple[str, int]) -> None:
    with run.open_writer() as writer:
        for setting, chunk in cells:
            writer.append(CellKey(setting, chunk), positions(chunk), ChunkFacts(seconds=1.5))


def test_the_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert runs_folder() == tmp_path / "data" / "runs"
    assert runs.cache_folder() == tmp_path / "data" / "cache"
    monkeypatch.delenv("QFID_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert runs_folder().is_relative_to(tmp_path) and runs_folder().parts[-2:] == ("qfid", "runs")
    assert runs.cache_folder().is_relative_to(tmp_path)


def test_a_new_run_is_written_and_read_back(folder: Path) -> None:
    made = new_run(job(corpus=CorpusSpec("builtin")), FACTS)
    assert made.id.startswith("20261124-020501-SmolLM2-135M-4bit-")
    assert made.path.parent == folder
    data = json.loads((made.path / "job.json").read_text())
    assert list(data) == ["schema", "job", "facts", "created", "identity"]
    assert data["identity"] == identity_hash(IDENTITY)
    again = find_run(made.id)
    assert again.job == made.job == job(corpus=CorpusSpec("builtin"))
    assert again.facts == FACTS and again.created == "2026-11-24T02:05:01+00:00"
    assert again.scored() == {} and again.read() == {} and again.report() is None
    assert [entry.name for entry in folder.iterdir()] == [made.id]


@pytest.mark.parametrize(
    "model",
    ["../../etc", "a/..", "/", "", "x" * 500, ".hidden", "a/b\0c", "模型", "a b\n[/red]", "--rf"],
)
def test_no_model_name_leads_out_of_the_folder(folder: Path, model: str) -> None:
    made = new_run(job(model=model), FACTS)
    assert made.path.parent == folder and made.path.is_dir()
    assert made.id[0].isdigit() and len(made.id) <= 64
    assert made.id.replace("-", "").replace(".", "").replace("_", "").isalnum()
    assert find_run(made.id).job.model == model


def test_facts_without_an_identity_are_a_mistake_of_the_caller(folder: Path) -> None:
    identities: tuple[Any, ...] = ({}, {"a": []}, {"a": float("nan")})
    for identity in identities:
        with pytest.raises(ValueError):
            new_run(job(), StoredFacts(identity=identity))
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_run_that_begins_is_never_seen_as_unfinished(monkeypatch: pytest.MonkeyPatch) -> None:
    named = runs._named

    def at_work(fresh: Path, stem: str) -> Path:
        assert holder(fresh) is not None
        return named(fresh, stem)

    monkeypatch.setattr(runs, "_named", at_work)
    run = new_run(job(), FACTS, locked=True)
    assert [info.state for info in list_runs()] == ["running"]
    assert unfinished_twin(IDENTITY) is None
    with run.open_writer():
        assert [info.state for info in list_runs()] == ["running"]
        with pytest.raises(InputError, match="is being written"):
            run.open_writer()
    assert [info.state for info in list_runs()] == ["unfinished"]
    with run.open_writer():
        pass


def test_positions_are_appended_and_read_in_order_of_chunks() -> None:
    run = new_run(job(), FACTS)
    fill(run, ("8", 1), ("4", 0))
    fill(run, ("8", 0))
    assert run.scored() == {"8": {0, 1}, "4": {0}}
    found = run.read()
    assert [p.chunk[0] for p, _ in found["8"]] == [0, 1]
    assert same(found["8"][1][0], positions(1)) and found["4"][0][1] == ChunkFacts(seconds=1.5)


def test_a_run_is_finished_once_a_complete_report_covers_its_settings() -> None:
    run = new_run(job(), FACTS)
    assert not run.finished
    run.save_report({"schema": 1, "x": [1]}, "# partly\n", complete=False)
    assert not run.finished and run.report() == {"schema": 1, "x": [1]}
    run.save_report({"schema": 1}, "# ü\n")
    assert run.finished and find_run(run.id).finished
    assert (run.path / "report.md").read_text(encoding="utf-8") == "# ü\n"
    run.grow(job("6,8"))
    assert not run.finished and not find_run(run.id).finished
    assert [str(s) for s in find_run(run.id).job.settings] == ["8", "4", "6"]
    run.save_report({"schema": 1}, "")
    assert run.finished
    (run.path / "report.json").unlink()
    assert not run.finished


def test_growing_takes_new_facts_and_refuses_another_subject() -> None:
    run = new_run(job(), FACTS)
    facts = StoredFacts(identity={**IDENTITY, "batch": 8}, chunks=(0, 1), mixed=("x",))
    run.grow(job("3", kernel="mlx-lm"), facts)
    again = find_run(run.id)
    assert again.facts == run.facts == facts and again.identity == identity_hash(facts.identity)
    assert again.job.kernel == "mlx-lm" and again.created == run.created
    before = (run.path / "job.json").read_bytes()
    for other in (job(model="x"), job(chunk_length=256), job(protocol="llama.cpp")):
        with pytest.raises(InputError, match=run.id):
            run.grow(other)
    assert (run.path / "job.json").read_bytes() == before


def test_failures_are_kept_until_cleared() -> None:
    run = new_run(job(), FACTS)
    run.mark_failed("4", "SettingFailed", "NaN in chunk 3", "try 8")
    run.save_report({}, "")
    again = find_run(run.id)
    assert again.finished
    assert again.failures() == {"4": FailureFacts("SettingFailed", "NaN in chunk 3", "try 8")}
    assert list_runs()[0].failed == ("4",)
    again.clear_failed("4")
    again.clear_failed("8")
    assert run.failures() == {} and not run.finished


@pytest.mark.parametrize("text", ["", "[]", "{", '{"failures": 3}', '{"failures": {"4": {}}}'])
def test_a_harmed_state_file_only_makes_the_run_unfinished(text: str) -> None:
    run = new_run(job(), FACTS)
    run.save_report({}, "")
    (run.path / "state.json").write_text(text)
    assert run.failures() == {} and not run.finished
    assert list_runs()[0].state == "unfinished"
    (run.path / "report.json").write_text(text[:2])
    assert run.report() is None
    run.save_report({}, "")
    assert run.finished


def test_the_list_shows_what_is_known_newest_first() -> None:
    first = new_run(job("8,4@9"), FACTS)
    second = new_run(job("8", model="demo"), StoredFacts(identity=IDENTITY))
    fill(first, ("8", 0), ("8", 1), ("4@9", 0), ("4~dequantized", 0))
    with (first.path / "positions.arrow").open("ab") as file:
        file.write(b"\xff\xff\xff\xff torn")
    new, old = list_runs()
    assert (new.id, new.model, new.chunks_planned) == (second.id, "demo", None)
    assert old.settings == ("8", "4@9") and old.corpus == "wikitext2"
    assert (old.chunks_done, old.chunks_planned, old.state) == (3, 4, "unfinished")
    assert old.created == "2026-11-24T02:05:01+00:00"
    first.save_report({}, "")
    assert list_runs()[1].state == "finished" and list_runs()[1].chunks_done == 3


def test_a_report_of_what_was_just_read_counts_nothing_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = new_run(job(), FACTS)
    fill(run, ("8", 0), ("8", 1), ("4", 0))
    run.read()
    with monkeypatch.context() as patch:
        patch.setattr(stored_counts.arrow_messages, "frames", lambda *_: 1 / 0)
        run.save_report({}, "")
        assert list_runs()[0].chunks_done == 3
    # What was read before the last chunk came is not believed.
    fill(run, ("4", 1))
    run.save_report({}, "")
    assert list_runs()[0].chunks_done == 4


def test_runs_of_one_second_are_told_apart_by_their_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fine:
        count = 0

        @classmethod
        def now(cls, zone: Any) -> datetime:
            cls.count += 1
            return datetime(2026, 11, 24, 2, 5, 12, cls.count, tzinfo=zone)

    monkeypatch.setattr(runs, "datetime", Fine)
    made = [new_run(job(), FACTS).id for _ in range(8)]
    assert [info.id for info in list_runs()] == made[::-1]
    assert [run.id for run in twins(IDENTITY)] == made[::-1]


def test_an_id_that_is_taken_is_not_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "datetime", type("", (), {"now": lambda zone: NOON}))
    tokens = iter(["a", "0000", "b", "0000", "1111"])
    monkeypatch.setattr(runs.secrets, "token_hex", lambda n: next(tokens))
    monkeypatch.setattr("scorer.common.atomic_files.secrets", SAFE)
    ids = [new_run(job(), FACTS).id[-4:] for _ in range(2)]
    assert ids == ["0000", "1111"]


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class SAFE:
    @staticmethod
    def token_hex(count: int) -> str:
        return "0" * count


def test_a_missing_folder_is_an_empty_list_and_says_so(folder: Path) -> None:
    assert list_runs() == [] and newest_unfinished() is None
    with pytest.raises(InputError, match="no run `x`") as caught:
        find_run("x")
    assert str(folder) in caught.value.hint


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(InputError, match="data") as caught:
        new_run(job(), FACTS)
    assert "QFID_DATA_DIR" in caught.value.hint


def test_finding_by_beginning_and_path(folder: Path, tmp_path: Path) -> None:
    one, two = new_run(job(), FACTS), new_run(job(model="demo"), FACTS)
    assert find_run(one.id[:15]).id == one.id
    assert find_run(f" {two.id} ").id == two.id
    assert find_run(str(two.path)).id == two.id
    assert find_run(f"{folder}/x/../{one.id}/").id == one.id
    with pytest.raises(InputError, match="begins 2 runs") as caught:
        find_run("2026")
    assert one.id in caught.value.hint and two.id in caught.value.hint
    with pytest.raises(InputError, match="no run `nope`") as caught:
        find_run("nope")
    assert two.id in caught.value.hint
    outside = tmp_path / "outside"
    one.path.rename(outside)
    (folder / "2027-link").symlink_to(outside)
    for text in ("", "..", ".", "../outside", str(outside), f"{folder}/../../outside", "a\0/b"):
        with pytest.raises(InputError):
            find_run(text)
    for text in ("2027-link", str(folder / "2027-link")):
        with pytest.raises(InputError):
            find_run(text)


def test_entries_that_are_no_runs(folder: Path, tmp_path: Path) -> None:
    good = new_run(job(), FACTS)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "file.txt").write_text("")
    (folder / ".new-1234").mkdir()
    found = {info.id: info for info in list_runs()}
    assert set(found) == {good.id, "empty", "link"}
    assert "missing" in found["empty"].reason and "symbolic link" in found["link"].reason
    assert newest_unfinished().id == good.id  # type: ignore[union-attr]
    with pytest.raises(InputError, match="missing"):
        find_run("empty")


def test_twins_and_what_can_be_resumed() -> None:
    done, other, twin = (
        new_run(job(), FACTS),
        new_run(job(model="demo"), StoredFacts(identity={**IDENTITY, "batch": 5})),
        new_run(job(), FACTS),
    )
    done.save_report({}, "")
    shuffled = dict(reversed(IDENTITY.items()))
    assert [run.id for run in twins(shuffled)] == [twin.id, done.id]
    assert unfinished_twin(shuffled).id == twin.id  # type: ignore[union-attr]
    assert newest_unfinished().id == twin.id  # type: ignore[union-attr]
    assert newest_unfinished("demo").id == other.id  # type: ignore[union-attr]
    assert newest_unfinished("none") is None
    with twin.open_writer():
        assert unfinished_twin(IDENTITY) is None
        assert newest_unfinished().id == other.id  # type: ignore[union-attr]
        assert [info.state for info in list_runs()] == ["running", "unfinished", "finished"]
    assert unfinished_twin({**IDENTITY, "batch": 6}) is None
    # A field that the runs were saved without does not tell them apart.
    assert unfinished_twin({**IDENTITY, "later field": "x"}).id == twin.id  # type: ignore[union-attr]


def test_a_deleted_run_is_gone_and_a_running_one_stays(folder: Path) -> None:
    run = new_run(job(), FACTS)
    with run.open_writer(), pytest.raises(InputError, match="being written by process"):
        run.delete()
    run.delete()
    assert list(folder.iterdir()) == []
    with pytest.raises(InputError):
        run.delete()
    (folder / ".deleted-half").mkdir()
    new_run(job(), FACTS)
    assert not (folder / ".deleted-half").exists()


HEAVY = """
import sys
import scorer.runs.listing
scorer.runs.listing.list_runs()
heavy = {"mlx", "numpy", "pyarrow", "textual", "platformdirs"}
print(sorted(heavy & set(sys.modules)))
"""


def test_listing_runs_imports_nothing_heavy() -> None:
    fill(new_run(job(), FACTS), ("8", 0))
    told = subprocess.run(
        [sys.executable, "-c", HEAVY], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout == "[]\n"


def test_names_are_listed_without_reading_and_runs_are_read_as_far_as_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = (new_run(job(model=name), FACTS) for name in ("org/one-4bit", "other/one-8bit"))
    named = old.path.rename(old.path.with_name("a name of mine")).name
    with monkeypatch.context() as patch:
        patch.setattr(runs, "Run", None)
        assert runs.run_index().names == [named, new.id]
        mine = runs.run_index("org/one-4bit").names
        assert mine == [named], "a folder with another name may be of it"
        assert runs.run_index("third/one-8bit").names == [named, new.id]
        looks = runs.newest_first(runs.run_index())
    assert next(looks).info == list_runs()[0]
    new.delete()
    assert [*looks] == [], "it is gone since"
