"""A model's own code runs where the user has just allowed it, and nowhere else."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import Small, cells, failed, finished, planned, stopped

from scorer.models.measuring import measure_folders
from scorer.runs.listing import Run, find_run, list_runs
from scorer.score import score
from scorer.spec.events import Event, Warned
from scorer.spec.job import Job

MODEL = "from mlx_lm.models.llama import Model, ModelArgs\n"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes))


class Coded(Small):
    """A model that runs code of its own, which leaves a witness."""

    @property
    def code(self) -> Path:
        return self.model / "own.py"

    @property
    def consent(self) -> dict[str, str]:
        return {"own.py": sha256(self.code)}

    def witness(self, name: str) -> Path:
        return self.text.parent / name

    def write(self, name: str) -> None:
        """Write code that leaves a witness of this name."""
        self.code.write_text(f"open({str(self.witness(name))!r}, 'w').close()\n{MODEL}")

    def ran(self, name: str) -> bool:
        return self.witness(name).exists()


@pytest.fixture
def own(small: Small, tmp_path: Path) -> Coded:
    model = shutil.copytree(small.model, tmp_path / "input" / "tiny-llama")
    made = Coded(model, Path(shutil.copy(small.text, tmp_path / "input" / "text.txt")))
    edit(model / "config.json", model_file="own.py")
    made.write("first")
    return made


def test_code_that_nobody_allowed_is_named_with_its_hash(own: Coded) -> None:
    failure = failed(own.score("8"))
    assert (failure.error, failure.exit_code) == ("CustomCodeRefused", 2)
    assert "it runs code of its own: `own.py`" in failure.message
    assert "--allow-custom-code" in failure.hint and own.consent["own.py"] in failure.hint
    assert failure.details == {"files": own.consent}
    assert not own.ran("first") and list_runs() == []


@pytest.mark.parametrize("whatever", [False, True])
def test_allowed_code_is_named_and_runs(own: Coded, whatever: bool) -> None:
    events = [*score(own.job("8"), allow_custom_code=whatever or own.consent)]
    assert finished(events).complete and own.ran("first")
    assert "--allow-custom-code" in finished(events).report["run"]["command"]
    warned = next(event for event in events if isinstance(event, Warned))
    assert warned.message == "`tiny-llama` runs code of its own: `own.py`"
    assert own.consent["own.py"] in warned.hint


def test_consent_is_to_one_content(own: Coded) -> None:
    allowed = own.consent
    own.write("second")
    for consent in (allowed, {"other.py": own.consent["own.py"]}):
        failure = failed([*score(own.job("8"), allow_custom_code=consent)])
        assert "`own.py` is not the file that was allowed to run" in failure.message
        assert failure.details == {"files": own.consent}
    assert not own.ran("second")


def test_what_runs_is_what_was_allowed_though_it_is_replaced_meanwhile(
    own: Coded, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scorer.engine import preparation

    plain = preparation.load

    def load(path: Path, *arguments: Any, **more: Any) -> Any:
        own.write("second")
        return plain(path, *arguments, **more)

    monkeypatch.setattr(preparation, "load", load)
    failure = failed([*score(own.job("8"), allow_custom_code=True)])
    assert failure.error == "CustomCodeRefused" and not own.ran("second")


def test_it_is_asked_for_after_every_other_check(own: Coded) -> None:
    shutil.move(own.model / "tokenizer.json", own.text.parent)
    assert "it has no tokenizer" in failed(own.score("8")).message
    shutil.move(own.text.parent / "tokenizer.json", own.model)
    shutil.move(own.model / "model.safetensors", own.text.parent)
    assert "no weights" in failed(own.score("8")).message
    shutil.move(own.text.parent / "model.safetensors", own.model)
    assert "code of its own" in failed(own.score("8")).message


def part(own: Coded) -> tuple[Job, Run]:
    """A run of the model, stopped, with a flag planted in what is stored."""
    job = own.job("8,4", max_chunks=3)
    run = find_run(planned(stopped(job, after=2, allow_custom_code=True)).run)
    stored = json.loads((run.path / "job.json").read_text())
    assert stored["job"]["allow_custom_code"] is False
    stored["job"]["allow_custom_code"] = stored["facts"]["run"]["job"]["allow_custom_code"] = True
    (run.path / "job.json").write_text(json.dumps(stored))
    own.witness("first").unlink()
    return find_run(run.id).job, find_run(run.id)


def resumed(job: Job, run: Run, **more: Any) -> list[Event]:
    return [*score(job, run=run.id, **more)]


def test_what_a_run_stores_allows_nothing(own: Coded) -> None:
    job, run = part(own)
    assert failed(resumed(job, run)).error == "CustomCodeRefused"
    assert not own.ran("first")
    assert finished(resumed(job, run, allow_custom_code=True)).complete and own.ran("first")


def test_a_run_does_not_go_on_with_other_code_and_does_not_run_it(own: Coded) -> None:
    job, run = part(own)
    own.write("second")
    events = resumed(job, run, allow_custom_code=True)
    assert "was scored under other conditions: model files (`" in failed(events).message
    assert failed(events).exit_code == 2 and not own.ran("second") and cells(events) == []
    # Code that only lies beside it may be imported by it.
    own.write("first")
    (own.model / "beside.py").write_text("")
    assert "other conditions" in failed(resumed(job, run, allow_custom_code=True)).message
    assert not own.ran("first")
    accepted = resumed(job, run, accept_changes=True, allow_custom_code=True)
    assert finished(accepted).complete and own.ran("first")


def test_a_planted_run_runs_nothing(own: Coded, tmp_path: Path) -> None:
    """Its files say that it was allowed, of a model that nobody has ever scored."""
    _, run = part(own)
    other = shutil.copytree(own.model, tmp_path / "planted")
    stored = json.loads((run.path / "job.json").read_text())
    stored["job"]["model"] = stored["facts"]["run"]["job"]["model"] = str(other)
    (run.path / "job.json").write_text(json.dumps(stored))
    for consent in (False, True):
        found = find_run(run.id)
        failure = failed(resumed(found.job, found, allow_custom_code=consent))
        assert failure.exit_code == 2 and not own.ran("first")


def tokenizer_code(own: Coded, where: str) -> None:
    """Let transformers read the tokenizer, and name code for it."""
    edit(own.model / "config.json", model_file=None)
    (own.model / "tokenizer.json").unlink()
    (own.model / "vocab.txt").write_text("[UNK]\na\n")
    source = "from transformers import BertTokenizer as Own\n"
    if where == "config.json":
        source = "from transformers import LlamaConfig as Own\n"
        edit(own.model / "config.json", auto_map={"AutoConfig": "own.Own"})
        edit(own.model / "tokenizer_config.json", tokenizer_class="BertTokenizer")
    else:
        auto_map = {"AutoTokenizer": ["own.Own", None]}
        edit(own.model / "tokenizer_config.json", auto_map=auto_map)
    own.code.write_text(f"open({str(own.witness('first'))!r}, 'w').close()\n{source}")


@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
def test_code_that_auto_map_names_is_asked_for_too(own: Coded, where: str) -> None:
    tokenizer_code(own, where)
    failure = failed(own.score("8"))
    assert failure.error == "CustomCodeRefused" and not own.ran("first")
    assert "its tokenizer is code of its own: `own.py`" in failure.message
    assert failure.details == {"files": own.consent}
    # Whatever becomes of this text with that tokenizer: the code runs, and is named.
    events = [*score(own.job("8"), allow_custom_code=own.consent)]
    assert own.ran("first")
    assert any(isinstance(event, Warned) and "`own.py`" in event.message for event in events)


def test_code_that_nothing_runs_is_no_hindrance_and_does_not_run(own: Coded) -> None:
    edit(own.model / "config.json", model_file=None, auto_map={"AutoConfig": "own.Own"})
    edit(own.model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Own", None]})
    for consent in (False, True):
        events = [*score(own.job("8"), allow_custom_code=consent)]
        assert finished(events).complete and not own.ran("first")
        assert not any(isinstance(e, Warned) and "code of its own" in e.message for e in events)


def test_code_of_another_repo_never_runs(own: Coded) -> None:
    tokenizer_code(own, "tokenizer_config.json")
    auto_map = {"AutoTokenizer": ["other/repo--own.Own", None]}
    edit(own.model / "tokenizer_config.json", auto_map=auto_map)
    for consent in (True, own.consent, {"other/repo/own.py": ""}):
        failure = failed([*score(own.job("8"), allow_custom_code=consent)])
        assert "`other/repo/own.py`, which the model would run, is not in" in failure.message
    assert not own.ran("first")


def test_the_child_that_measures_models_needs_consent_too(own: Coded) -> None:
    (said,) = measure_folders([(own.model, False)])
    assert "code of its own" in said and not own.ran("first")
    (said,) = measure_folders([(own.model, {"own.py": "0" * 64})])
    assert "is not the file that was allowed" in said and not own.ran("first")
    assert [*measure_folders([(own.model, own.consent)])] == [""] and own.ran("first")
