"""A run does not go on under other conditions than its own, or as another job."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_hub_cache import COMMIT, OTHER_COMMIT, write_repo
from later_positions import rewrite
from tiny_runs import (
    LENGTH,
    Small,
    cells,
    edit_weights,
    failed,
    finished,
    planned,
    resumed,
    stopped,
)

from scorer.device import backend
from scorer.runs.listing import find_run

Change = Callable[[Small, pytest.MonkeyPatch], None]


def other_weights(small: Small, _: pytest.MonkeyPatch) -> None:
    def edit(weights: dict[str, Any]) -> None:
        name = next(name for name in weights if "o_proj" in name)
        weights[name] = weights[name] * 1.001

    edit_weights(small.model, edit)


def other_text(small: Small, _: pytest.MonkeyPatch) -> None:
    # Behind the chunks that are scored: the corpus is another one all the same.
    with small.text.open("a") as file:
        file.write("One more line.\n")


def other_tokenizer(small: Small, _: pytest.MonkeyPatch) -> None:
    path = small.model / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text())), "utf-8")


def backend_with(**changes: Any) -> Change:
    def change(_: Small, patch: pytest.MonkeyPatch) -> None:
        known = backend.start_backend()
        values = {k: v | known.versions if k == "versions" else v for k, v in changes.items()}
        if "versions" in changes:
            values["versions"] = known.versions | changes["versions"]
        patch.setattr(backend, "start_backend", lambda: dataclasses.replace(known, **values))

    return change


def own_copy(small: Small, folder: Path) -> Small:
    model = shutil.copytree(small.model, folder / "tiny-llama")
    return Small(model, Path(shutil.copy(small.text, folder / "text.txt")))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (other_weights, "model files (`"),
        (other_text, "corpus (`"),
        (other_tokenizer, "tokenizer (`"),
        (backend_with(versions={"mlx": "9.9.9"}), "now `9.9.9`)"),
        (backend_with(versions={"mlx-lm": "9.9.9"}), "mlx-lm version (`"),
        (backend_with(blas="OpenBLAS 0"), "now `OpenBLAS 0`)"),
    ],
)
def test_a_run_does_not_go_on_under_other_conditions(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change, named: str
) -> None:
    own = own_copy(small, tmp_path)
    job = own.job("8,4")
    run = find_run(planned(stopped(job, after=2)).run)
    stored = {path.name: path.read_bytes() for path in run.path.iterdir()}
    change(own, monkeypatch)

    events = resumed(job, run.id)
    failure = failed(events)
    assert failure.exit_code == 2 and cells(events) == []
    assert f"run `{run.id}` was scored under other conditions: " in failure.message
    assert named in failure.message and "--accept-changes" in failure.hint
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == stored

    told_to = resumed(job, run.id, accept_changes=True)
    assert cells(told_to) == [("8", 1), ("4", 1)] and finished(told_to).complete
    # What was accepted is what the run is from now on.
    assert finished(resumed(job, run.id)).complete


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"chunks": "spread"}, "chunks in the order `first`, not `spread`"),
        ({"batch": 2}, "batch (`1`, now `2`)"),
        ({"kernel": "mlx-lm"}, "kernel (`auto`, now `mlx-lm`)"),
        ({"protocol": "llama.cpp"}, "protocol (`mqf`, now `llama.cpp`)"),
        ({"chunk_length": LENGTH + 1}, f"chunk length (`{LENGTH}`, now `{LENGTH + 1}`)"),
    ],
)
def test_a_run_does_not_go_on_as_another_job(
    small: Small, changes: dict[str, Any], named: str
) -> None:
    run = planned(stopped(small.job("8,4"), after=1)).run
    failure = failed(resumed(small.job("8,4", **changes), run))
    assert failure.exit_code == 2 and named in failure.message


def test_another_revision_of_a_cached_repo_is_refused(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    files = {path.name: path.read_bytes() for path in small.model.iterdir()}
    repo = dataclasses.replace(small, model=Path("local-test/tiny"))
    write_repo(tmp_path / "hub", "local-test/tiny", files)
    run = planned(stopped(repo.job("8,4"), after=1)).run
    write_again = tmp_path / "hub" / "models--local-test--tiny"
    shutil.copytree(
        write_again / "snapshots" / COMMIT, write_again / "snapshots" / OTHER_COMMIT, symlinks=True
    )
    (write_again / "refs" / "main").write_text(OTHER_COMMIT)
    failure = failed(resumed(repo.job("8,4"), run))
    assert failure.exit_code == 2
    assert f"model revision (`{COMMIT[:39]}" in failure.message
    assert "model files" not in failure.message
    assert finished(resumed(repo.job("8,4", revision=COMMIT), run)).complete


@pytest.mark.parametrize("changes", [{"column": "entropy"}, {"version": "2"}, {"passage": "b"}])
def test_a_run_of_a_later_version_is_refused_before_anything_is_loaded(
    small: Small, changes: dict[str, str]
) -> None:
    run = find_run(planned(stopped(small.job(), after=2)).run)
    data = rewrite(run.positions_path, **changes)
    events = resumed(small.job(), run.id)
    assert [event.kind for event in events] == ["hello", "failed"]
    assert failed(events).exit_code == 2 and str(run.positions_path) in failed(events).message
    assert run.positions_path.read_bytes() == data
