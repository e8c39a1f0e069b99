"""--roles on the command line: dry run, positions, every command that takes a text."""

from __future__ import annotations

import importlib
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from chat_runs import chat_model, expected
from tiny_runs import LENGTH, Small, planned

from qfid_tui.cli.command_line import main
from qfid_tui.cli.dry_run_roles import role_lines
from qfid_tui.cli.job_options import job_of
from qfid_tui.cli.parser import Parser
from qfid_tui.cli.rendered_report import rendered
from scorer.common.errors import InputError
from scorer.models.resolve import resolve_model
from scorer.report.saved_report import saved_report
from scorer.runs.listing import find_run

ROLES = [role for _, role in expected()]


@pytest.fixture
def chat(small: Small, tmp_path: Path) -> Small:
    return chat_model(small, tmp_path)


def test_a_dry_run_counts_the_positions_of_each_role(chat: Small) -> None:
    job = chat.job("8,4@3", max_chunks=5, roles=("assistant",))
    info = resolve_model(job.model, None, allow_custom_code=True)
    first, *lines = role_lines(job, info)
    total = len(ROLES) // LENGTH
    assert first.startswith(f"text: 5 of {total} chunks of {LENGTH} tokens")
    events = chat.score("8,4@3", max_chunks=5, roles=("assistant",))
    counted = find_run(planned(events).run).readable_facts.run
    assert counted is not None
    for role, count in counted.corpus.role_positions.items():
        suffix = "" if role == "assistant" else ", does not count"
        assert f"  {role}: {count}{suffix}" in lines
    assert any("left out" in line for line in lines)


def test_a_dry_run_of_other_texts_counts_nothing(small: Small) -> None:
    info = resolve_model(str(small.model), None, allow_custom_code=True)
    assert [*role_lines(small.job(), info)] == []
    with pytest.raises(InputError, match="plain text"):
        [*role_lines(small.job(roles=("assistant",)), info)]


def test_positions_are_exported_with_their_role(chat: Small) -> None:
    run = find_run(planned(chat.score("8,4", max_chunks=2)).run)
    head, *lines = "".join(map(str, rendered("positions", saved_report(run), run.id))).splitlines()
    assert head.endswith(",top_quant_p,comparability_key,role")
    for line in lines:
        cells = line.split(",")
        chunk, position, role = int(cells[1]), int(cells[2]), cells[-1]
        assert role == ROLES[chunk * LENGTH + position + 1]
    data = b"".join(rendered("parquet", saved_report(run), run.id))  # type: ignore[arg-type]
    table = pq.read_table(io.BytesIO(data))
    assert table.column("role").to_pylist() == [line.split(",")[-1] for line in lines]


def test_positions_of_a_plain_text_have_no_such_column(small: Small) -> None:
    run = find_run(planned(small.score("8")).run)
    head = next(iter(rendered("positions", saved_report(run), run.id)))
    assert str(head).rstrip().endswith("comparability_key")


@pytest.mark.parametrize("command", ["kv", "weights", "fit"])
def test_every_command_that_takes_a_text_takes_roles(command: str, chat: Small) -> None:
    words = [command, "demo", "--corpus", str(chat.text), "--roles", "tool_call,assistant"]
    words += ["--memory", "9MB"] if command == "fit" else []
    parser = Parser(prog="qfid")
    importlib.import_module(f"qfid_tui.cli.commands.{command}").add_parser(parser.add_subparsers())
    args = parser.parse_args(words)
    args.model = "demo"
    settings = chat.job("8").settings
    assert job_of(args, settings).roles == ("assistant", "tool_call")


@pytest.mark.parametrize("command", ["resume", "report"])
def test_a_run_keeps_its_roles(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "2026", "--roles", "user"])
    assert caught.value.code == 2
    assert "roles" in capsys.readouterr().err
