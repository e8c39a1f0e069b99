"""Texts, tokenizers and templates that take all time or memory end in one line."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deadline import DEADLINE
from hostile_files import NORMALIZER, TEMPLATES, edit_json, write_parquet_bomb
from tiny_runs import Small, failed, finished

from scorer.common.errors import Interrupted
from scorer.common.folders import cache_folder
from scorer.engine import text_process
from scorer.engine.text_process import TextProcess
from scorer.lm.tokenizer import comparison_key
from scorer.score import score
from scorer.spec.events import Event, Loading
from scorer.spec.job import CorpusSpec
from scorer.text.tokenized import TokenizedSource

pytestmark = pytest.mark.text_process

MEMORY = "takes more than"
TIME = "took more than"


@pytest.fixture
def own(small: Small, tmp_path: Path) -> Small:
    """A model and a text of the test's own, to be changed."""
    model = shutil.copytree(small.model, tmp_path / "input" / "tiny-llama")
    return Small(model, Path(shutil.copy(small.text, tmp_path / "input" / "text.txt")))


@pytest.fixture
def chat(own: Small) -> CorpusSpec:
    row = {"messages": [{"role": "user", "content": "hello"}]}
    path = own.text.with_name("chat.jsonl")
    path.write_text(json.dumps(row))
    return CorpusSpec(str(path))


def edit_tokenizer(own: Small, **values: Any) -> None:
    """Change tokenizer.json, and take it as compared with mlx-lm's: that imports transformers."""
    edit_json(own.model / "tokenizer.json", lambda t: t.update(values))
    kept = cache_folder() / "tokenizers" / f"{comparison_key(own.model)}.json"
    kept.write_text("{}")


def limit(monkeypatch: pytest.MonkeyPatch, *, seconds: float = 60.0, mib: int = 4096) -> None:
    monkeypatch.setattr(text_process, "_LEAST_SECONDS", seconds)
    monkeypatch.setattr(text_process, "_LEAST_MEMORY", mib << 20)


def assert_one_line(job: Any, code: int, *parts: str) -> None:
    failure = failed([*score(job)])
    assert failure.exit_code == code and "\n" not in failure.message and failure.hint
    assert all(part in failure.message for part in parts), failure.message


def test_a_normalizer_that_grows(own: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    edit_tokenizer(own, normalizer=NORMALIZER)
    limit(monkeypatch, mib=64)
    assert_one_line(own.job("8"), 3, MEMORY, "GiB", "tokenizer of `tiny-llama`")
    limit(monkeypatch, seconds=0.5)
    assert_one_line(own.job("8"), 2, TIME, " s", "tokenizer of `tiny-llama`")


def test_a_normalizer_that_grows_somewhat(own: Small) -> None:
    some = {**NORMALIZER, "normalizers": NORMALIZER["normalizers"][:12]}  # type: ignore[index]
    edit_tokenizer(own, normalizer=some)
    assert_one_line(own.job("8"), 2, "the tokenizer of `tiny-llama` makes", "tokens of")


def test_a_template_that_grows(
    own: Small, chat: CorpusSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own.model / "chat_template.jinja").write_text(TEMPLATES["grows"])
    edit_tokenizer(own)
    limit(monkeypatch, mib=1024)
    assert_one_line(own.job("8", corpus=chat), 3, MEMORY, "chat.jsonl", "chat template")


def test_a_template_that_never_ends(
    own: Small, chat: CorpusSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own.model / "chat_template.jinja").write_text(TEMPLATES["never ends"])
    # Importing transformers is part of it.
    edit_tokenizer(own)
    limit(monkeypatch, seconds=2.5)
    assert_one_line(own.job("8", corpus=chat), 2, TIME, "`tiny-llama`")


def test_a_parquet_file_that_unpacks_to_more_than_memory_holds(
    own: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = write_parquet_bomb(own.text.with_name("bomb.parquet"), megabytes=200)
    assert bomb.stat().st_size < 1 << 20
    limit(monkeypatch, mib=128)
    assert_one_line(own.job("8", corpus=CorpusSpec(str(bomb))), 3, "`bomb.parquet` takes more")


def test_a_process_that_is_killed_names_what_it_did(
    own: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_tokenizer(own, normalizer=NORMALIZER)
    started = []

    def begin(self: TextProcess, *args: Any, **options: Any) -> None:
        began(self, *args, **options)
        started.append(self._process)

    began = TextProcess.begin
    monkeypatch.setattr(TextProcess, "begin", begin)
    events = []
    for event in score(own.job("8")):
        events.append(event)
        if started:
            started[0].kill()
    failure = failed(events)
    assert "ended its process by SIGKILL" in failure.message and failure.exit_code == 2
    assert "the tokenizer of `tiny-llama`" in failure.message


def test_a_run_that_is_stopped_does_not_wait_for_the_text(own: Small) -> None:
    edit_tokenizer(own, normalizer=NORMALIZER)
    events: list[Event] = []
    for event in score(own.job("8"), stop=lambda: any(isinstance(e, Loading) for e in events)):
        events.append(event)
    assert failed(events).error == Interrupted.__name__


PROGRAM = """
import sys
from scorer import measure_kv_fidelity
from scorer.spec.events import Loading

def told(event):
    if isinstance(event, Loading):
        print("tokenizing", flush=True)

try:
    measure_kv_fidelity(sys.argv[1], kv_bits=8, corpus=sys.argv[2], on_event=told)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_ends_a_call_whose_tokenizer_never_ends(own: Small) -> None:
    edit_tokenizer(own, normalizer=NORMALIZER)
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(own.model), str(own.text)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    with contextlib.closing(program.stdout) as said:
        assert said.readline() == "tokenizing\n"
        os.killpg(program.pid, signal.SIGINT)
        assert "interrupted\n" in said.readlines()
    assert program.wait(DEADLINE) == 0
    end = time.monotonic() + DEADLINE
    # What it had started is gone, too.
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(program.pid, 0)
        raise AssertionError("its process still runs")


def test_tokens_come_through_as_they_are() -> None:
    tokens = TokenizedSource(
        name="rows.jsonl",
        split=None,
        revision=None,
        sha256="0" * 64,
        chat=False,
        titles=("line 1", "é"),
        ids=np.array([5, 2**31 - 1, 0], np.int32),
        document_starts=np.array([0, 2], np.int64),
        added_bos=1,
        tokenizer_sha256="1" * 64,
        tokenizer_versions={"tokenizers": "1.0"},
        cautions=("a caution",),
    )
    head, data = tokens.to_parts()
    read = TokenizedSource.from_parts(json.loads(json.dumps(head)), data)
    for name in TokenizedSource.__dataclass_fields__:
        one, other = getattr(tokens, name), getattr(read, name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype and other.flags.writeable
            assert one.tolist() == other.tolist()
        else:
            assert one == other


def test_a_text_is_read_once_and_from_standard_input_too(own: Small, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_bytes(own.text.read_bytes())
    here = finished(own.score("8")).report["settings"][0]["kl"]
    events = [*score(own.job("8", corpus=CorpusSpec("-")), text_file=kept)]
    assert finished(events).report["settings"][0]["kl"] == here
