"""Models that would run code, end the interpreter or read beyond their arrays: one line each."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_corpus import build_corpus
from fake_hub_cache import COMMIT, OTHER_COMMIT, write_repo
from project import ROOT
from scorer_child import scored_by_child
from tiny_runs import Small, failed, finished, planned

from qfid_tui.cli import main
from scorer.common.errors import InputError
from scorer.lm.load import LoadedModel
from scorer.models.architectures import caution
from scorer.score import score
from scorer.spec.events import Event, Loading, Warned
from scorer.text.tokens.tokenizer_file import load_tokenizer_file

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def own(small: Small, tmp_path: Path) -> Small:
    """A model and a text of the test's own, to be changed."""
    model = shutil.copytree(small.model, tmp_path / "input" / "tiny-llama")
    return Small(model, Path(shutil.copy(small.text, tmp_path / "input" / "text.txt")))


def edit(path: Path, change: Callable[[Any], None]) -> None:
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_text(json.dumps(data), "utf-8")


ENDS = {
    "sys.exit": ("import sys; sys.exit(1)", "SystemExit"),
    "a panic of an extension": (
        "class PanicException(BaseException): pass\nraise PanicException('no\\nway')",
        "PanicException: no",
    ),
    "nothing of the kind": ("x = 1", "cannot build it from its config.json: "),
    "no Python": ("def (", "SyntaxError"),
}


@pytest.mark.parametrize("end", ENDS)
def test_code_of_its_own_that_gives_no_model_is_one_line(own: Small, end: str) -> None:
    source, said = ENDS[end]
    (own.model / "modeling.py").write_text(source)
    edit(own.model / "config.json", lambda c: c.update(model_file="modeling.py"))
    events = [*score(own.job("8"), allow_custom_code=True)]
    (warned,) = (event for event in events if isinstance(event, Warned))
    assert warned.message == "`tiny-llama` runs code of its own: `modeling.py`"
    failure = failed(events)
    assert failure.exit_code == 2 and said in failure.message and "\n" not in failure.message


def test_code_of_its_own_that_kills_the_process_costs_the_child_only(
    own: Small, capfd: Capture
) -> None:
    (own.model / "modeling.py").write_text("import os; print('bye'); os.abort()")
    edit(own.model / "config.json", lambda c: c.update(model_file="modeling.py"))
    words = ["--kv-bits", "8", "--corpus", str(own.text), "--chunk-length", "32"]
    assert main(["kv", str(own.model), *words, "--allow-custom-code"]) == 1
    out, err = capfd.readouterr()
    error, hint = err.splitlines()[-2:]
    assert out == "" and error.startswith("error: the scorer was ended by SIGABRT")
    assert "nothing was saved" in hint


def test_an_architecture_that_ends_the_interpreter_is_one_line(own: Small, capfd: Capture) -> None:
    edit(own.model / "config.json", lambda c: c.update(model_type="olmo"))
    assert main(["kv", str(own.model), "--kv-bits", "8", "--corpus", str(own.text)]) == 2
    out, err = capfd.readouterr()
    assert out == "" and len(err.splitlines()) == 2
    assert "`olmo` cannot be scored: mlx-lm ends the whole process on it" in err


def test_were_it_let_through_it_would_still_be_one_line(
    own: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scorer.models.architectures.refusal", lambda name: None)
    keys = {"d_model": 128, "n_layers": 4, "n_heads": 4, "mlp_hidden_size": 384}
    edit(own.model / "config.json", lambda c: c.update(model_type="olmo", **keys))
    failure = failed([*score(own.job("8"))])
    assert failure.exit_code == 2 and "\n" not in failure.message


# Notes every file that is opened and every class that a pickle asks for.
WITNESS = """
import os, sys

def note(event, args):
    if event == "open" and isinstance(args[0], str) and args[0].endswith(
        (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".npz")
    ):
        say(f"opened {args[0]}")
    if event == "pickle.find_class":
        say(f"pickle {args}")

def say(line):
    descriptor = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, (line + "\\n").encode())
    os.close(descriptor)

sys.addaudithook(note)
say("watching")
"""


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_pickles_beside_the_weights_are_never_opened(own: Small, tmp_path: Path) -> None:
    fired = tmp_path / "fired"
    for name in ("pytorch_model.bin", "model.pt", "training_args.bin", "optimizer.pth", "x.pkl"):
        (own.model / name).write_bytes(pickle.dumps(Bomb(fired)))
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITNESS)
    witness = tmp_path / "witness"
    root = str(ROOT)
    events, code, _ = scored_by_child(
        own.job("8"), PYTHONPATH=os.pathsep.join((str(site), root)), WITNESS=str(witness)
    )
    assert code == 0 and finished(events).complete and not fired.exists()
    assert set(witness.read_text().splitlines()) <= {
        "watching",
        # NumPy's own archive of tokens, read without pickles.
        *(line for line in witness.read_text().splitlines() if "/cache/tokens/tokens-" in line),
    }


def test_the_revision_that_was_checked_is_the_one_that_is_loaded(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull in another window moves ``main`` to a commit that would run code."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    hub, ran = tmp_path / "hub", tmp_path / "ran"
    files = {path.name: path.read_bytes() for path in small.model.iterdir()}
    snapshot = write_repo(hub, "org/tiny", files)
    config = json.loads(files["config.json"]) | {"model_file": "own.py"}
    hostile = {
        **files,
        "config.json": json.dumps(config).encode(),
        "own.py": f"open({str(ran)!r}, 'w')".encode(),
    }
    other = snapshot.with_name(OTHER_COMMIT)
    other.mkdir()
    for name, content in hostile.items():
        (other / name).write_bytes(content)
    events: list[Event] = []
    for event in score(small.job("8", model="org/tiny")):
        events.append(event)
        if isinstance(event, Loading):
            (snapshot.parent.parent / "refs" / "main").write_text(OTHER_COMMIT)
    report = finished(events).report
    assert report["reference"]["model_revision"] == COMMIT
    assert planned(events).model == "org/tiny" and not ran.exists()
    refused = failed([*score(small.job("8", model="org/tiny"))])
    assert "it runs code of its own: `own.py`" in refused.message and not ran.exists()


@pytest.fixture(params=["at once", "in windows"])
def windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts longer than a window are encoded piece by piece, another path to the same ids."""
    if request.param == "in windows":
        monkeypatch.setattr("scorer.text.tokens.tokenizer.WINDOW", 256)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("id", [9999, 2**31, 2**32 - 1])
def test_token_ids_beyond_any_vocabulary_never_reach_mlx(own: Small, id: int) -> None:
    edit(own.model / "tokenizer.json", lambda t: t["model"]["vocab"].update(e=id))
    failure = failed([*score(own.job("8"))])
    assert failure.exit_code == 2 and f"`{id}`" in failure.message


@pytest.mark.usefixtures("windows")
def test_an_added_first_token_beyond_the_vocabulary_neither(own: Small) -> None:
    """A BOS that wraps around to a negative id would read in front of the embedding."""
    template = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [2**32 - 1], "tokens": ["<s>"]}},
    }
    edit(own.model / "tokenizer.json", lambda t: t.update(post_processor=template))
    failure = failed([*score(own.job("8"))])
    assert failure.exit_code == 2 and f"`{2**32 - 1}`" in failure.message


def test_negative_ids_of_a_tokenizer_that_is_code_are_refused(
    own: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_tokenizer_file(own.model)
    ids = np.array([-1] * 64, np.int32)
    monkeypatch.setattr(type(tokenizer), "encode", lambda self, text, **_: ids)
    with pytest.raises(InputError, match="gives the token id `-1`"):
        build_corpus(own.job().corpus, tokenizer, chunk_length=32, tokenizer_id="own")


def test_where_no_embedding_is_known_the_output_layer_bounds_the_ids(
    own: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(own.model / "tokenizer.json", lambda t: t["model"]["vocab"].update(e=9999))
    monkeypatch.setattr("scorer.engine.preparation.load", unnamed_embedding)
    monkeypatch.setattr("scorer.models.info.vocab_size", lambda config: None)
    monkeypatch.setattr("scorer.lm.measured_geometry.vocab_rows", lambda module: 1 << 20)
    failure = failed([*score(own.job("8"))])
    assert failure.exit_code == 2 and "holds token 9999" in failure.message
    assert "output layer has" in failure.message


def unnamed_embedding(*args: Any, **more: Any) -> LoadedModel:
    import dataclasses

    from scorer.lm.load import load

    return dataclasses.replace(load(*args, **more), vocab_rows=None)


PANICS = {
    "a sequence that is not there": {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "B", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        }
    },
    "an empty pattern": {
        "normalizer": {"type": "Replace", "pattern": {"String": ""}, "content": "x"}
    },
}


@pytest.mark.parametrize("panic", PANICS)
def test_a_tokenizer_that_makes_its_library_panic_is_one_line(own: Small, panic: str) -> None:
    edit(own.model / "tokenizer.json", lambda t: t.update(PANICS[panic]))
    failure = failed([*score(own.job("8"))])
    assert failure.exit_code == 2 and failure.message.startswith("the tokenizer ")
    assert "\n" not in failure.message and len(failure.message) < 400


@pytest.mark.text_process
def test_a_map_that_claims_more_than_memory_holds_is_one_line(own: Small) -> None:
    claim = {"type": "Precompiled", "precompiled_charsmap": "/////w=="}
    edit(own.model / "tokenizer.json", lambda t: t.update(normalizer=claim))
    failure = failed([*score(own.job("8"))])
    assert failure.exit_code in (2, 3) and "the tokenizer" in failure.message
    assert "`tiny-llama`" in failure.message and "\n" not in failure.message


def test_what_writes_out_of_bounds_is_run_whole_and_said(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "its output layer writes out of bounds" in (caution("phi3small") or "")
    monkeypatch.setattr("scorer.models.architectures._CAUTIONS", {"llama": "beware"})
    events = small.score("8")
    (warned,) = (event for event in events if isinstance(event, Warned))
    assert warned.message == "`tiny-llama` is a `llama`: beware" and finished(events).complete
