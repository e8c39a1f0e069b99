"""The job, the settings and their notation."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.common.errors import InputError
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.kv import BITS, GROUP_SIZES, KVSetting, parse_settings, side_bytes

widths = st.sampled_from((*BITS, 16))
kv_settings = st.builds(
    KVSetting,
    k_bits=st.sampled_from(BITS),
    v_bits=widths,
    group_size=st.sampled_from(GROUP_SIZES),
    start=st.integers(0, 10**6),
    path=st.sampled_from(("deployed", "dequantized")),
) | st.builds(KVSetting, k_bits=st.just(16), v_bits=st.sampled_from(BITS))

jobs = st.builds(
    Job,
    model=st.text(),
    settings=st.lists(kv_settings, min_size=1, max_size=5, unique=True).map(tuple),
    corpus=st.builds(CorpusSpec, st.text()),
    revision=st.none() | st.text(),
    protocol=st.sampled_from(("mqf", "llama.cpp")),
    chunk_length=st.integers(10**6 + 2, 10**7),
    chunks=st.sampled_from(("first", "spread")),
    max_chunks=st.none() | st.integers(1),
    kernel=st.sampled_from(("auto", "mlx-lm")),
    control=st.booleans(),
    noise_floor=st.just(0) | st.integers(2, 64),
    batch=st.none() | st.integers(1, 64),
    allow_custom_code=st.booleans(),
    force=st.booleans(),
)


def job(**changes: Any) -> Job:
    return Job(**{"model": "org/name", "settings": parse_settings("8"), **changes})


@given(kv_settings)
def test_every_setting_is_read_back_from_its_notation(setting: KVSetting) -> None:
    assert KVSetting.parse(str(setting)) == setting


@given(st.lists(kv_settings, min_size=1, max_size=6))
def test_a_list_keeps_its_order_and_each_setting_once(settings: list[KVSetting]) -> None:
    text = " , ".join(map(str, settings))
    assert parse_settings(text) == tuple(dict.fromkeys(settings))


@pytest.mark.parametrize(
    ("setting", "notation", "file_name"),
    [
        (KVSetting(8, 8), "8", "8-g64"),
        (KVSetting(4, 4, 32), "4:32", "4-g32"),
        (KVSetting(8, 4), "k8v4", "k8v4-g64"),
        (KVSetting(16, 4, 128), "k16v4:128", "k16v4-g128"),
        (KVSetting(4, 4, start=512), "4@512", "4-g64-s512"),
        (KVSetting(4, 4, path="dequantized"), "4~dequantized", "4-g64-dequantized"),
        (
            KVSetting(8, 4, 32, 512, "dequantized"),
            "k8v4:32@512~dequantized",
            "k8v4-g32-s512-dequantized",
        ),
    ],
)
def test_notation_leaves_defaults_out(setting: KVSetting, notation: str, file_name: str) -> None:
    assert (str(setting), setting.file_name) == (notation, file_name)


@given(kv_settings, kv_settings)
def test_file_names_are_distinct_and_safe(one: KVSetting, other: KVSetting) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", one.file_name)
    assert (one == other) == (one.file_name == other.file_name)


def test_what_the_notation_names_wins_over_the_defaults_given() -> None:
    given_defaults: dict[str, Any] = {"group_size": 32, "start": 7, "path": "dequantized"}
    assert KVSetting.parse("4", **given_defaults) == KVSetting(4, 4, 32, 7, "dequantized")
    assert KVSetting.parse("4:64@9~deployed", **given_defaults) == KVSetting(4, 4, 64, 9)
    assert KVSetting.parse("k4v4") == KVSetting(4, 4)
    assert KVSetting.parse("4@0", start=7) == KVSetting(4, 4)


def test_an_explicit_group_of_64_is_the_default() -> None:
    assert parse_settings("8,8:64,k8v8") == (KVSetting(8, 8),)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("7", "`7` bits for the key side is not a width", "widths: 2, 3, 4, 5, 6, 8, or 16"),
        ("1", "`1` bits for the key side is not a width", "widths: 2, 3, 4, 5, 6, 8, or 16"),
        ("k8v7", "`7` bits for the value side is not a width", "widths: 2"),
        ("4:48", "`48` is not a group size", "group sizes: 32, 64, 128"),
        ("k16v16", "`k16v16` quantizes nothing", "fewer than 16 bits"),
        ("16", "`k16v16` quantizes nothing", "fewer than 16 bits"),
        ("4~fast", "`fast` is not a path", "deployed, dequantized"),
        ("4:", "`4:` is not a KV setting", "8, 4:32, k8v4, 4@512"),
        ("four", "`four` is not a KV setting", "8, 4:32, k8v4, 4@512"),
        ("k8", "`k8` is not a KV setting", "8, 4:32, k8v4, 4@512"),
        ("4@-1", "`4@-1` is not a KV setting", "8, 4:32, k8v4, 4@512"),
        ("8 4", "`8 4` is not a KV setting", "8, 4:32, k8v4, 4@512"),
        ("4@9999999999", "`4@9999999999` holds an absurd number", "8, 4:32"),
        (" , ", "no KV setting was given", "8, 4:32, k8v4, 4@512"),
    ],
)
def test_a_setting_that_cannot_be_says_why_and_what_can(text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_settings(text)
    assert message in caught.value.message and hint in caught.value.hint
    assert not caught.value.message.endswith(".") and "\n" not in str(caught.value.message)


@given(st.text())
def test_any_text_is_a_setting_or_an_input_error(text: str) -> None:
    try:
        setting = KVSetting.parse(text)
    except InputError:
        return
    assert KVSetting.parse(str(setting)) == setting


def test_values_the_notation_cannot_spell_are_refused_too() -> None:
    with pytest.raises(InputError, match="start `-1` is negative"):
        KVSetting(8, 8, start=-1)
    with pytest.raises(InputError, match="`nf4` is not a quantizer"):
        KVSetting(8, 8, quantizer="nf4")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("8", 12_240), ("6", 9_360), ("4:32", 7_200), ("4", 6_480), ("2", 3_600), ("k16v4", 14_760)],
)
def test_stored_bytes_of_thirty_layers_with_three_heads_of_64(setting: str, expected: int) -> None:
    assert 30 * KVSetting.parse(setting).bytes_per_token(3, 64, 64) == expected


def test_a_side_costs_codes_and_a_scale_and_bias_per_group() -> None:
    assert side_bytes(16, 64) == 2
    assert side_bytes(4, 32) == 0.5 + 4 / 32
    # Keys of 192 and values of 128 elements, as in expanded latent attention.
    assert KVSetting(8, 4).bytes_per_token(2, 192, 128) == 2 * (192 * 1.0625 + 128 * 0.5625)


def test_mode_follows_the_start() -> None:
    assert (KVSetting(8, 8).mode, KVSetting(8, 8, start=1).mode) == ("stress", "deployment")


@given(jobs)
def test_a_job_survives_json(made: Job) -> None:
    assert Job.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_json_names_settings_in_notation() -> None:
    data = job(settings=parse_settings("8,k8v4:32@9"), corpus=CorpusSpec("builtin")).to_json()
    assert data["settings"] == ["8", "k8v4:32@9"] and data["corpus"] == "builtin"
    assert set(data) == {field.name for field in dataclasses.fields(Job)}


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
        ({"model": "a/b", "settings": []}, "the job has no KV setting"),
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
        ({"settings": ()}, "the job has no KV setting", "8, 4:32"),
        (
            {"settings": (KVSetting(8, 8), KVSetting(8, 8))},
            "setting `8` is named twice",
            "name each setting once",
        ),
        ({"chunk_length": 1}, "chunk length `1` leaves no token", "at least 2"),
        ({"chunk_length": -5}, "chunk length `-5` leaves no token", "at least 2"),
        ({"max_chunks": 0}, "`0` chunks score nothing", "at least 1"),
        ({"noise_floor": 1}, "`1` repeats give no standard deviation", "at least 2"),
        ({"noise_floor": -2}, "`-2` repeats", "at least 2"),
        ({"batch": 0}, "batch `0` holds no chunk", "at least 1"),
        ({"protocol": "gguf"}, "`gguf` is not a protocol", "mqf, llama.cpp"),
        ({"chunks": "last"}, "`last` is not a choice of chunks", "first, spread"),
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
