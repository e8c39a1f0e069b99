"""``--ranks`` and ``--hostfile``: what they ask for, and what the command says of ranks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from qfid_tui.cli.command_line import _app_parser, main
from qfid_tui.cli.rank_options import add_rank_options, ranks_of
from qfid_tui.words.progress import rank_lines, ranks_text
from scorer.spec.events import RanksScored, parse_line
from scorer.spec.ranks import Host, Ranks


def asked(*words: str) -> Ranks | None:
    parser = argparse.ArgumentParser()
    add_rank_options(parser)
    return ranks_of(parser.parse_args(words))


@pytest.fixture(autouse=True)
def _not_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLX_RANK", "MLX_HOSTFILE"):
        monkeypatch.delenv(name, raising=False)


def test_what_the_options_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked() is None and asked("--ranks", "1") is None
    assert asked("--ranks", "2") == Ranks((Host(), Host()))
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps([{"ssh": "127.0.0.1", "ips": []}]))
    assert asked("--hostfile", str(hosts)) is None
    monkeypatch.setenv("MLX_RANK", "0")
    monkeypatch.setenv("MLX_HOSTFILE", str(hosts))
    assert asked() == Ranks(launched=True)
    assert asked("--ranks", "2") == Ranks((Host(), Host()))


@pytest.mark.parametrize("command", [["kv", "demo"], ["weights", "demo"], ["resume"]])
def test_a_wrong_number_of_ranks_is_the_users_input(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--ranks", "0"]) == 2
    if command != ["resume"]:
        assert "`0` ranks cannot share a run" in capsys.readouterr().err


def test_a_host_file_that_is_none_is_the_users_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kv", "demo", "--hostfile", "/nowhere/hosts.json"]) == 2
    assert "`/nowhere/hosts.json` cannot be read" in capsys.readouterr().err


def test_the_app_takes_them_too() -> None:
    args = _app_parser().parse_args(["demo", "--ranks", "3"])
    found = ranks_of(args)
    assert found is not None and len(found.hosts) == 3


EVENT = RanksScored(["rank 0 (a)", "rank 1 (b)"], [12, 20], [2.0, 1.0], [4, 0], 2.1, 800)


def test_a_line_for_each_rank() -> None:
    assert rank_lines(EVENT) == [
        "rank 0 (a): 12 chunks × settings scored, 2 a second",
        "rank 1 (b): 20 chunks × settings scored",
    ]
    assert ranks_text(EVENT) == "ranks: 0 2/s, 1 – (settings on chunks)"


def test_an_event_that_makes_no_sense_is_none() -> None:
    assert parse_line(EVENT.to_line()) == EVENT
    for change in ({"cells": [1]}, {"names": "ab"}, {"seconds": [1, "x"]}, {"round_seconds": None}):
        values = EVENT.to_json() | change
        assert parse_line(json.dumps(values)) is None
