"""What is chosen: rows and ticks, and the job they make."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from qfid_tui.state.choices import Choices, same_conditions
from scorer.common.errors import InputError
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_setting


def names(settings: Any) -> list[str]:
    return [str(setting) for setting in settings]


def test_eight_six_and_four_bits_on_32_spread_chunks_are_ticked_at_first() -> None:
    choices = Choices()
    assert names(choices.offered()) == ["8", "6", "5", "4", "3", "2"]
    assert names(choices.ticked_settings()) == ["8", "6", "4"]
    job = Choices(model="org/model").job()
    assert (job.chunks, job.max_chunks, job.corpus.source) == ("spread", 32, "wikitext2")
    assert Choices(model="demo").job().corpus.source == "builtin"


def test_options_move_the_rows_and_ticks_move_along() -> None:
    choices = Choices(group_size=32, key_bits=8, start=64, path="dequantized")
    assert names(choices.ticked_settings()) == [
        "8:32@64~dequantized",
        "k8v6:32@64~dequantized",
        "k8v4:32@64~dequantized",
    ]
    choices = dataclasses.replace(choices, key_bits=16)
    assert names(choices.offered())[0] == "k16v8:32@64~dequantized"


def test_ticking_unticking_adding_and_removing_make_new_values() -> None:
    first = Choices()
    choices = first.ticking(KVSetting(3, 3), True).ticking(KVSetting(8, 8), False)
    assert names(choices.ticked_settings()) == ["6", "4", "3"]
    mixed = KVSetting.parse("k8v4:32")
    choices = choices.ticking(mixed, True)
    assert names(choices.offered())[-1] == "k8v4:32" and choices.is_ticked(mixed)
    unticked = choices.ticking(mixed, False)
    assert not unticked.is_ticked(mixed) and mixed in unticked.offered()
    removed = unticked.without(mixed)
    assert mixed not in removed.offered()
    assert removed.without(mixed) == removed
    assert first == Choices()
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.model = "demo"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": None}, "no model"),
        ({"ticked": []}, "no setting"),
        ({"chunk_length": 1}, "chunk length"),
        ({"start": 600}, "start 600"),
    ],
)
def test_what_makes_no_job_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Choices(**{"model": "demo", **changes}).job()


def test_the_choices_of_a_job_make_that_job() -> None:
    choices = Choices(model="org/x", group_size=32, max_chunks=5, noise_floor=4, corpus="/a.txt")
    job = choices.ticking(KVSetting.parse("k8v4"), True).job()
    other = Choices(chunk_length=128, theme="textual-light").of_job(job)
    assert set(other.job().settings) == set(job.settings) and other.theme == "textual-light"
    assert same_conditions(other.job(), job)
    assert not same_conditions(dataclasses.replace(other, max_chunks=6).job(), job)


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (("8:32", "4:32"), {"group_size": 32}),
        (("4", "2"), {"group_size": 64}),
        (("k8v4", "k8v2"), {"key_bits": 8}),
        (("4@128", "8@128"), {"start": 128}),
        (("8:32", "4", "2"), {"group_size": 64}),
    ],
)
def test_a_job_brings_the_options_that_offer_its_settings(
    settings: tuple[str, ...], options: dict[str, object]
) -> None:
    job = Job("demo", tuple(map(parse_setting, settings)))
    before = Choices(group_size=128, start=64, path="dequantized", added=("k6v3",))
    choices = before.of_job(job)
    assert {name: getattr(choices, name) for name in options} == options
    assert set(choices.ticked_settings()) == set(job.settings)
