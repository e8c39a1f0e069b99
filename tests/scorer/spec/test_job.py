"""The job: what it refuses, and its way through JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from setting_values import kv_settings

from scorer.common.errors import InputError
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_settings
from scorer.spec.thresholds import KV, WEIGHTS

jobs = st.builds(
    Job,
    model=st.text(),
    settings=st.lists(kv_settings, min_size=1, max_size=5, unique=True).map(tuple),
    corpus=st.builds(CorpusSpec, st.text(min_size=12)),
    revision=st.none() | st.text(),
    protocol=st.sampled_from(("mqf", "llama.cpp")),
    chunk_length=st.integers(10**6 + 2, 10**7),
    chunks=st.sampled_from(("first", "spread", "random:0", "random:77")),
    max_chunks=st.none() | st.integers(1),
    kernel=st.sampled_from(("auto", "mlx-lm")),
    control=st.booleans(),
    noise_floor=st.just(0) | st.integers(2, 64),
    batch=st.none() | st.integers(1, 64),
    force=st.booleans(),
    roles=st.lists(st.sampled_from(("assistant", "user", "x-1"))).map(tuple),
)


def job(**changes: Any) -> Job:
    return Job(**{"model": "org/name", "settings": parse_settings("8"), **changes})


@given(jobs)
def test_a_job_survives_json(made: Job) -> None:
    assert Job.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_json_names_settings_in_notation() -> None:
    data = job(settings=parse_settings("8,k8v4:32@9"), corpus=CorpusSpec("builtin")).to_json()
    assert data["settings"] == ["8", "k8v4:32@9"] and data["corpus"] == "builtin"
    assert set(data) == {field.name for field in dataclasses.fields(Job)} - {
        "one_at_a_time",
        "deployment",
        "drop_beaten",
        "roles",
        "until_settled",
    }
    # Earlier versions know no such keys: they are written where they say something.
    assert job(one_at_a_time=True).to_json()["one_at_a_time"] is True
    chat = job(corpus=CorpusSpec("/a/chats.jsonl"), roles=("tool_call", "assistant", "assistant"))
    assert chat.to_json()["roles"] == ["assistant", "tool_call"]


@pytest.mark.parametrize("roles", [("",), ("two words",), ("<b>",), ("x" * 33,), "assistant", (1,)])
def test_roles_are_a_list_of_names(roles: Any) -> None:
    with pytest.raises(InputError, match="role"):
        job(roles=roles)


def test_all_settings_of_a_job_are_judged_by_one_measure() -> None:
    assert job(settings=parse_settings("8,k8v4")).thresholds == KV
    assert job(settings=parse_settings("8,w4+8")).thresholds == WEIGHTS


def test_a_short_json_takes_the_defaults() -> None:
    assert Job.from_json({"model": "org/name", "settings": ["8"]}) == job()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "a job must be a JSON object"),
        (None, "a job must be a JSON object"),
        ({}, "a job needs a `model`"),
        ({"model": "a/b", "settings": "8"}, "a job's `settings` must be a list"),
        ({"model": "a/b", "settings": [8]}, "a job's `settings` must be a list"),
        ({"model": "a/b", "settings": []}, "the job has no setting"),
        ({"settings": ["8"]}, "a job needs a `model`"),
        ({"model": 3, "settings": ["8"]}, "a job's `model` has the wrong type"),
        ({"model": "a/b", "settings": ["8"], "corpus": 3}, "a job's `corpus` must be"),
        ({"model": "a/b", "settings": ["8"], "bits": 3}, "a job has no key `bits`"),
        ({"model": "a/b", "settings": ["8"], "max_chunks": True}, "`max_chunks` has the wrong"),
        ({"model": "a/b", "settings": ["8"], "chunk_length": 5e2}, "`chunk_length` has the wrong"),
        ({"model": "a/b", "settings": ["8"], "control": 1}, "a job's `control` has the wrong"),
        (
            {"model": "a/b", "settings": ["8"], "protocol": "x"},
            "`protocol` must be one of: mqf, llama.cpp",
        ),
        ({"model": "a/b", "settings": ["7"]}, "`7` bits for the key side"),
        ({"model": "a/b", "settings": ["8", "w4+kivi2"]}, "this version does not know `kivi`"),
    ],
)
def test_json_that_is_no_job_says_why(data: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Job.from_json(data)
    assert message in caught.value.message


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    st.dictionaries(
        st.sampled_from([field.name for field in dataclasses.fields(Job)]), anything
    ).map(lambda data: {"model": "a/b", "settings": ["8"]} | data)
)
def test_any_json_is_a_job_or_an_input_error(data: Any) -> None:
    try:
        made = Job.from_json(data)
    except InputError:
        return
    assert Job.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"settings": ()}, "the job has no setting", "8, 4:32"),
        (
            {"settings": (KVSetting(8, 8), KVSetting(8, 8))},
            "setting `8` is named twice",
            "name each setting once",
        ),
        ({"chunk_length": 1}, "chunk length `1` leaves no token", "at least 2"),
        ({"chunk_length": -5}, "chunk length `-5` leaves no token", "at least 2"),
        ({"max_chunks": 0}, "`0` chunks score nothing", "at least 1"),
        ({"noise_floor": 1}, "`1` repeats give no standard deviation", "at least 4"),
        ({"noise_floor": -2}, "`-2` repeats", "at least 4"),
        ({"batch": 0}, "batch `0` holds no chunk", "at least 1"),
        ({"protocol": "gguf"}, "`gguf` is not a protocol", "mqf, llama.cpp"),
        ({"chunks": "last"}, "`last` is not a choice of chunks", "first, spread"),
        ({"chunks": "random:"}, "`random:` is not a choice of chunks", "random:SEED"),
        ({"chunks": "random:-1"}, "`random:-1` is not a choice of chunks", "random:SEED"),
        ({"chunks": "random:²"}, "`random:²` is not a choice of chunks", "random:SEED"),
        ({"chunks": f"random:{10**9}"}, "is not a choice of chunks", "up to 9 digits"),
        (
            {"until_settled": True, "chunks": "spread"},
            "--until-settled looks at chunks in a random order",
            "leave out --chunks, or give --chunks random:SEED",
        ),
        (
            {"until_settled": True, "chunks": "random:1", "one_at_a_time": True},
            "loaded one after the other cannot stop together",
            "leave out --one-at-a-time or --until-settled",
        ),
        ({"until_settled": "yes"}, "until settled `'yes'` is neither True nor False", "True or"),
        ({"control": 1}, "control `1` is neither True nor False", "give True or False"),
        ({"kernel": "fast"}, "`fast` is not a kernel", "auto, mlx-lm"),
        (
            {"settings": parse_settings("8,4@511")},
            "start 511 leaves no position to score in chunks of 512 tokens",
            "--quantize-start must be below 511",
        ),
    ],
)
def test_a_job_that_cannot_be_scored_says_why(
    changes: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(InputError) as caught:
        job(**changes)
    assert message in caught.value.message and hint in caught.value.hint


def test_the_last_start_that_leaves_a_position_is_accepted() -> None:
    assert job(settings=parse_settings("4@510")).settings[0].start == 510
    assert job(chunk_length=2).chunk_length == 2


def test_jobs_and_settings_are_values() -> None:
    assert job() == job() and hash(job()) == hash(job())
    with pytest.raises(dataclasses.FrozenInstanceError):
        job().model = "other"  # type: ignore[misc]
