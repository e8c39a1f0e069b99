"""The options of a run, stepped through and typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from qfid_tui.state.choices import Choices
from qfid_tui.state.run_options import (
    OPTIONS,
    Option,
    chosen_ranks,
    possible,
    put,
    step,
    value_of,
    with_legal_group,
)
from scorer.common.errors import InputError
from scorer.spec.geometry import KVGeometry, KVLayer

GEOMETRY = KVGeometry((KVLayer(3, 96, 96),), 1)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.field)
def test_every_option_steps_through_its_values_both_ways(option: Option) -> None:
    # Roles are those of a chat text.
    corpus = "/a/chats.jsonl" if option.field == "roles" else None
    choices = Choices(model="demo", chunk_length=512, corpus=corpus)
    before = value_of(choices, option)
    count = len(possible(option, None))
    seen = []
    for _ in range(count):
        choices = step(choices, option, 1, None)
        seen.append(value_of(choices, option))
        choices.job()
    if before in seen:
        assert len(set(seen)) == count
    choices = step(step(choices, option, 1, None), option, -1, None)
    assert value_of(choices, option) == seen[-1]


def test_group_sizes_are_those_the_heads_allow() -> None:
    option = next(option for option in OPTIONS if option.field == "group_size")
    assert possible(option, GEOMETRY) == (32,)


def test_from_a_typed_value_a_step_goes_to_its_neighbour() -> None:
    option = next(option for option in OPTIONS if option.field == "max_chunks")
    for by, expected in ((1, 64), (-1, 32)):
        choices = Choices(model="demo", max_chunks=50)
        assert step(choices, option, by, None).max_chunks == expected


def test_typed_values_are_read_and_refused(tmp_path: Path) -> None:
    by_name = {option.field: option for option in OPTIONS}
    notes = tmp_path / "notes.md"
    notes.write_text("text")
    for field, text, value in (
        ("max_chunks", "all", None),
        ("max_chunks", "12", 12),
        ("chunk_length", "300", 300),
        ("corpus", str(notes), str(notes)),
        ("corpus", "builtin", "builtin"),
    ):
        read = by_name[field].typed
        assert read is not None and read(text) == value
    for field, text in (("max_chunks", "many"), ("corpus", "/nowhere.txt"), ("corpus", "")):
        read = by_name[field].typed
        assert read is not None
        with pytest.raises(InputError):
            read(text)


def test_a_value_that_contradicts_another_choice_is_refused() -> None:
    option = next(option for option in OPTIONS if option.field == "start")
    with pytest.raises(InputError):
        put(Choices(model="demo", chunk_length=64), option, 100)


def test_an_illegal_group_size_gives_way_to_the_largest_legal_one() -> None:
    assert with_legal_group(Choices(group_size=64), GEOMETRY).group_size == 32
    assert with_legal_group(Choices(group_size=32), GEOMETRY) == Choices(group_size=32)
    assert with_legal_group(Choices(group_size=64), None) == Choices()
    wide = KVGeometry((KVLayer(3, 128, 128),), 1)
    assert with_legal_group(Choices(group_size=16), wide).group_size == wide.legal_groups()[0]


def test_processes_are_stepped_through_and_typed(tmp_path: Path) -> None:
    option = next(option for option in OPTIONS if option.field == "ranks")
    choices = step(Choices(), option, 1, None)
    assert choices.ranks == 2 and option.shown(2) == "2"
    found = chosen_ranks(choices)
    assert found is not None and len(found.hosts) == 2
    assert chosen_ranks(Choices()) is None
    hosts = tmp_path / "hosts.json"
    hosts.write_text('[{"ssh": "127.0.0.1"}, {"ssh": "b", "ips": ["10.0.0.2"]}]')
    assert option.typed is not None
    choices = put(choices, option, option.typed(str(hosts)))
    assert option.shown(choices.ranks) == "hosts.json"
    found = chosen_ranks(choices)
    assert found is not None and found.hosts[1].ssh == "b"
    assert option.typed(" 3 ") == 3
    for text in ("0", "none.json"):
        with pytest.raises(InputError):
            option.typed(text)
