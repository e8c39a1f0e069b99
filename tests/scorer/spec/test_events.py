"""The stream of events: one JSON object a line, read back whole, garbage passed over."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from event_strategies import KINDS, events, json_values, objects
from hypothesis import given
from hypothesis import strategies as st

from scorer.spec.events import (
    PROTOCOL_VERSION,
    ChunkScored,
    Event,
    Hello,
    Planned,
    Warned,
    parse_line,
)


@given(events)
def test_every_event_is_read_back_from_its_line(event: Event) -> None:
    line = event.to_line()
    assert line.endswith("\n") and line.count("\n") == 1 and line.isascii()
    assert parse_line(line) == event
    assert parse_line(line.encode()) == event


def test_kinds_are_distinct_and_first_in_the_object() -> None:
    assert len({kind.kind for kind in KINDS}) == len(KINDS)
    assert next(iter(json.loads(Warned("x").to_line()).items())) == ("event", "warning")


def test_hello_carries_the_version_of_the_stream() -> None:
    hello = Hello("cpu", "Test CPU", 1, 1, "MKL", {})
    assert json.loads(hello.to_line())["protocol"] == PROTOCOL_VERSION == hello.protocol


@given(events, st.dictionaries(st.text(min_size=1).map("x_".__add__), json_values, max_size=3))
def test_fields_of_a_newer_scorer_are_dropped(event: Event, more: dict[str, Any]) -> None:
    assert parse_line(json.dumps(event.to_json() | more)) == event


@given(st.text(), objects)
def test_an_unknown_kind_is_passed_over(kind: str, fields: dict[str, Any]) -> None:
    known = {event.kind for event in KINDS}
    assert parse_line(json.dumps({**fields, "event": f"new_{kind}"})) is None
    assert f"new_{kind}" not in known


@given(events, st.data())
def test_a_required_field_that_is_missing_is_no_event(event: Event, data: st.DataObject) -> None:
    required = [
        f.name
        for f in dataclasses.fields(event)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    values = event.to_json()
    del values[data.draw(st.sampled_from(required))]
    assert parse_line(json.dumps(values)) is None


@given(events, st.data())
def test_a_field_of_another_type_is_no_event(event: Event, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(dataclasses.fields(event)))
    wrong: Any = "text" if "str" != str(field.type)[:3] else ["a", "list"]
    assert parse_line(json.dumps(event.to_json() | {field.name: wrong})) is None


def test_a_whole_number_is_a_float_and_true_is_no_number() -> None:
    values = ChunkScored("8", 0, 511, 1e-3, 1.0, 0.1, 3, 2e3, 2e3, 0.5).to_json()
    assert parse_line(json.dumps(values | {"kl_mean": 0, "seconds": 1})) is not None
    assert parse_line(json.dumps(values | {"positions": True})) is None
    assert parse_line(json.dumps(values | {"positions": 1.5})) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"settings": [["8"]]},
        {"chunks": [0, "1"]},
        {"chunks": [True]},
        {"done": {"8": [1]}},
        {"kv_bytes_per_token": {"8": None}},
        {"batch": 2**63},
        {"kv_bytes_per_token_16bit": -(10**400)},
    ],
)
def test_what_a_list_or_an_object_holds_is_checked_too(wrong: dict[str, Any]) -> None:
    values = Planned(
        "r", "/r", "m", ["8"], [0], {"8": 0}, {"8": 7}, {"8": 1}, 2, 1, "cpu"
    ).to_json()
    assert parse_line(json.dumps(values)) is not None
    assert parse_line(json.dumps(values | wrong)) is None


def test_an_infinite_divergence_is_carried() -> None:
    event = ChunkScored("2", 0, 511, math.inf, math.inf, 9.0, 3, 2e3, 2e3, 0.5)
    assert parse_line(event.to_line()) == event


@given(st.binary())
def test_garbage_bytes_are_no_event(line: bytes) -> None:
    assert parse_line(line) is None


@given(st.text())
def test_garbage_text_is_no_event(line: str) -> None:
    assert parse_line(line) is None


@given(events, st.data())
def test_a_damaged_line_never_raises(event: Event, data: st.DataObject) -> None:
    line = bytearray(event.to_line().encode())
    for _ in range(data.draw(st.integers(1, 4))):
        line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(line)))
    for damaged in (bytes(line), bytes(line[:cut])):
        assert isinstance(parse_line(damaged), Event | None)


@given(st.sampled_from(KINDS), objects)
def test_any_fields_under_a_known_kind_never_raise(
    kind: type[Event], fields: dict[str, Any]
) -> None:
    read = parse_line(json.dumps({**fields, "event": kind.kind}))
    assert read is None or isinstance(read, kind)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\n",
        "null",
        "[]",
        "3",
        '"hello"',
        "{",
        '{"event": 3}',
        '{"event": null}',
        '{"event": ""}',
        '{"kind": "hello"}',
        "[" * 100_000,
        '{"event":"warning","message":' + "[" * 100_000,
        "1" * 5000,
    ],
)
def test_lines_that_are_no_object_of_ours(line: str) -> None:
    assert parse_line(line) is None
