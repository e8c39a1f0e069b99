"""Texts checked before anything is scored: read once, long enough, data sets pinned."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from fake_hub_cache import COMMIT
from loopback_hub import LoopbackHub, Repo, serving
from tiny_runs import Small, finished, planned

from scorer.child.texts import check_all
from scorer.common.errors import InputError, QfidError
from scorer.device.host_memory import HostMemory
from scorer.engine import text_check
from scorer.engine.text_check import checked_texts
from scorer.runs.listing import find_run
from scorer.score import score
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings


def job_of(small: Small, text: str | Path, length: int = 32) -> Job:
    return Job(
        str(small.model),
        parse_settings("8"),
        corpus=CorpusSpec(str(text)),
        chunk_length=length,
        max_chunks=2,
    )


def test_each_text_is_read_once_whatever_the_lengths(small: Small, tmp_path: Path) -> None:
    gone = tmp_path / "gone.md"
    jobs = [
        job_of(small, text, length) for text in (small.text, gone) for length in (16, 32, 10**8)
    ]
    with mock.patch.object(text_check, "TextProcess", wraps=text_check.TextProcess) as process:
        found = checked_texts(jobs)
    assert process.call_count == 2
    assert found[:2] == jobs[:2]
    reasons = [each.message for each in found[2:] if isinstance(each, InputError)]
    assert len(reasons) == 4
    assert "fewer than the 100000000 of a chunk" in reasons[0]
    assert all("there is no file" in reason for reason in reasons[1:])


def test_a_length_that_does_not_fit_is_told_before_anything_is_scored(small: Small) -> None:
    jobs = [job_of(small, small.text, length) for length in (16, 32)]
    whole = HostMemory(1 << 36, 1 << 36)
    assert checked_texts(jobs, device=("cpu", whole)) == jobs
    found = checked_texts(jobs, device=("cpu", HostMemory(1 << 20, 1 << 20)))
    assert [type(each).__name__ for each in found] == ["WillNotFit", "WillNotFit"]
    forced = [dataclasses.replace(job, force=True) for job in jobs]
    assert checked_texts(forced, device=("cpu", HostMemory(1 << 20, 1 << 20))) == forced


def test_the_child_answers_for_each_job(small: Small, tmp_path: Path) -> None:
    jobs = [job_of(small, small.text), job_of(small, tmp_path / "gone.md")]
    values = {"jobs": [job.to_json() for job in jobs], "memory": True}
    request = json.dumps(values).encode() + b"\n"
    out = io.StringIO()
    assert check_all(out, io.BytesIO(request)) == 0
    first, second = json.loads(out.getvalue())["texts"]
    assert first == {"corpus": str(small.text)}
    assert second["exit_code"] == 2 and "there is no file" in second["message"]
    assert check_all(out, io.BytesIO(b"{}\n")) == 2
    out = io.StringIO()
    lost = json.dumps({"jobs": [dataclasses.replace(jobs[0], model="org/none").to_json()]})
    assert check_all(out, io.BytesIO(lost.encode() + b"\n")) == 0
    assert json.loads(out.getvalue())["texts"][0]["error"] == "ModelNotCached"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with serving() as server:
        yield server


def test_a_run_on_a_data_set_is_pinned_and_goes_on_offline(
    small: Small, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = small.text.read_text("utf-8")
    rows = [words[i : i + 200] for i in range(0, len(words), 200)]
    content = "".join(json.dumps({"text": row}) + "\n" for row in rows).encode()
    hub.repos["datasets", "org/text"] = Repo({"test.jsonl": content})
    asked = job_of(small, "hf:org/text:test:text")
    (checked,) = checked_texts([asked])
    assert not isinstance(checked, QfidError)
    pinned = f"hf:org/text:test:text@{COMMIT}"
    assert checked.corpus.source == pinned
    events = list(score(asked))
    report = finished(events).report
    assert report["run"]["corpus"]["dataset_revision"] == COMMIT
    assert report["run"]["corpus"]["name"] == "hf:org/text:test:text"
    assert pinned in report["run"]["command"]
    run = find_run(planned(events).run)
    assert run.job.corpus.source == pinned
    # The newest commit is another one by now: the run keeps its own.
    hub.repos.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    more = dataclasses.replace(asked, settings=parse_settings("4"))
    added = finished(list(score(more, run=run.id))).report
    assert [row["setting"] for row in added["settings"]] == ["8", "4"]
    assert find_run(run.id).job.corpus.source == pinned
