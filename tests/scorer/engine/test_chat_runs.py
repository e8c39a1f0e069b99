"""Runs of which only some roles count: what is scored, stored, reported, resumed and compared."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_runs import ROWS, chat_model, expected
from tiny_runs import LENGTH, Small, failed, finished, numbers, planned, resumed, stopped

from scorer.common.errors import InputError
from scorer.report.formats.csv_export import to_csv
from scorer.report.formats.html import to_html
from scorer.report.formats.markdown import to_markdown
from scorer.report.formats.model_card import to_model_card
from scorer.report.tree import Report
from scorer.runs.comparability import ComparabilityKey, run_conditions
from scorer.runs.listing import find_run
from scorer.runs.run import Run
from scorer.score import score
from scorer.spec.events import ChunkScored, Event
from scorer.spec.job import CorpusSpec
from scorer.spec.settings.registry import parse_setting
from scorer.stats.positions import Positions

ASSISTANT = ("assistant",)
ROLES = [role for _, role in expected()]


@pytest.fixture(scope="module")
def chat(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Small:
    return chat_model(small, tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def runs(chat: Small, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Events of a run of all roles and of one of the assistant's, on the same chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QFID_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        found: dict[str, Any] = {"folder": tmp_path_factory.getbasetemp()}
        for name, roles in (("all", ()), ("assistant", ASSISTANT)):
            events = chat.score("8,4@5", max_chunks=12, roles=roles)
            run = find_run(planned(events).run)
            found[name] = events, run
        return found


def report_of(events: list[Event]) -> dict[str, Any]:
    return finished(events).report


def role_of(chunk: int, position: int) -> str:
    return ROLES[chunk * LENGTH + position + 1]


def of_role(positions: Positions, *roles: str) -> Positions:
    mask = [
        role_of(c, t) in roles for c, t in zip(positions.chunk, positions.position, strict=True)
    ]
    return positions.select(np.array(mask))


def joined(run: Run, setting: str) -> Positions:
    return Positions.concatenate(list(run.read()[setting].positions()))


def test_each_position_has_the_role_of_the_token_that_it_predicts(runs: dict[str, Any]) -> None:
    _, run = runs["all"]
    for setting in ("8", "4@5"):
        stored = run.read()[setting]
        for positions, roles in zip(stored.positions(), stored.roles(), strict=True):
            wanted = [
                role_of(c, t) for c, t in zip(positions.chunk, positions.position, strict=True)
            ]
            assert roles == wanted


def test_only_roles_that_count_are_in_the_numbers(runs: dict[str, Any]) -> None:
    """The oracle takes the assistant's positions out of a run of all of them."""
    events, run = runs["assistant"]
    rows = {row["setting"]: row for row in report_of(events)["settings"]}
    common = set(run.read()["8"].chunks) & set(runs["all"][1].read()["8"].chunks)
    assert common
    for setting in ("8", "4@5"):
        own = joined(run, setting)
        assert {role_of(c, t) for c, t in zip(own.chunk, own.position, strict=True)} == {
            "assistant"
        }
        of_all = of_role(joined(runs["all"][1], setting), "assistant")
        shared = own.select(np.isin(own.chunk, sorted(common)))
        there = of_all.select(np.isin(of_all.chunk, sorted(common)))
        assert np.array_equal(shared.kl, there.kl)
        assert np.array_equal(shared.position, there.position)
        row = rows[setting]
        assert row["n_positions"] == len(own)
        assert row["kl"]["mean"] == pytest.approx(float(own.kl.mean()), rel=1e-12)
        assert row["kl"]["p99"] == pytest.approx(float(np.quantile(own.kl, 0.99)), rel=1e-12)
        assert row["flip_rate"] == float(own.flips.mean())
        assert row["perplexity_ref"] == pytest.approx(math.exp(own.nll_ref.mean()), rel=1e-12)
        assert sum(span["n_positions"] for span in row["kl_by_depth"]) == len(own)
        depth = own.position - parse_setting(setting).start
        for span in row["kl_by_depth"]:
            inside = (depth >= span["start"]) & (depth < span["end"])
            assert span["n_positions"] == int(inside.sum())


def test_the_drift_of_every_role_is_reported(runs: dict[str, Any]) -> None:
    for name, counted in (("all", None), ("assistant", {"assistant"})):
        events, run = runs[name]
        whole = {
            setting: Positions.concatenate(list(stored.of_all_roles().positions()))
            for setting, stored in run.read().items()
        }
        for row in report_of(events)["settings"]:
            positions = whole[row["setting"]]
            by_role = {each["role"]: each for each in row["by_role"]}
            assert set(by_role) == {"system", "user", "assistant", "template"}
            assert sum(each["n_positions"] for each in by_role.values()) == len(positions)
            for role, each in by_role.items():
                own = of_role(positions, role)
                assert each["counted"] is (counted is None or role in counted)
                assert each["n_positions"] == len(own)
                assert each["kl_mean"] == pytest.approx(float(own.kl.mean()), rel=1e-12)
                assert each["kl_p99"] == pytest.approx(float(np.quantile(own.kl, 0.99)), rel=1e-9)
                assert each["flip_rate"] == float(own.flips.mean())
                assert (each["kl_mean_interval"] is None) == (len(own) < 200)
                assert ("no interval" in each["note"]) == (len(own) < 200)


def test_what_is_told_while_a_run_goes_on_is_of_roles_that_count(runs: dict[str, Any]) -> None:
    events, run = runs["assistant"]
    told = [e for e in events if isinstance(e, ChunkScored) and e.setting == "8"]
    sizes = dict(zip(run.read()["8"].chunks, run.read()["8"].sizes, strict=True))
    assert {e.chunk: e.positions for e in told} == sizes
    assert told[-1].positions_so_far == sum(sizes.values())
    assert told[-1].kl_p99_so_far == report_of(events)["settings"][0]["kl"]["p99"]
    # Spans of depth hold different numbers of them.
    assert all(e.kl_by_depth == [] for e in told if e.positions < LENGTH - 1)


def test_chunks_without_a_token_that_counts_are_left_out(runs: dict[str, Any]) -> None:
    events, _ = runs["assistant"]
    total = len(ROLES) // LENGTH
    # Of every setting: one begins at position 5.
    with_some = [c for c in range(total) if "assistant" in ROLES[c * LENGTH + 6 : (c + 1) * LENGTH]]
    assert 0 < len(with_some) < total
    report = report_of(events)
    assert sorted(report["run"]["corpus"]["chunks_left_out"]) == sorted(
        set(range(total)) - set(with_some)
    )
    assert set(planned(events).chunks) <= set(with_some)
    assert len(planned(events).chunks) == 12
    (warning,) = (w for w in report["run"]["warnings"] if "left out" in w)
    assert f"{total - len(with_some)} of {total} chunks" in warning


def test_a_plain_text_stores_and_reports_nothing_of_roles(small: Small) -> None:
    events = small.score("8")
    run = find_run(planned(events).run)
    assert not run.read()["8"].has_roles
    assert "by_role" not in report_of(events)["settings"][0]
    assert "roles" not in run.facts.identity
    assert "roles" not in (run.path / "job.json").read_text()
    assert b'"roles"' not in run.positions_path.read_bytes()


def test_roles_are_part_of_what_was_scored(runs: dict[str, Any]) -> None:
    keys = []
    for name in ("all", "assistant"):
        conditions = run_conditions(runs[name][1].facts)
        keys.append(ComparabilityKey.of(parse_setting("8"), (), name, conditions))
    assert keys[0].differences(keys[1]) == ("scored roles assistant, not all",)
    assert keys[1].differences(keys[0]) == ("scored roles all, not assistant",)
    assert None is not keys[0].digest != keys[1].digest


def test_a_stopped_run_ends_as_an_uninterrupted_one(chat: Small, runs: dict[str, Any]) -> None:
    job = chat.job("8,4@5", max_chunks=12, roles=ASSISTANT)
    run = planned(stopped(job, 5)).run
    report = report_of(resumed(find_run(run).job, run))
    assert numbers(report) == numbers(report_of(runs["assistant"][0]))


def test_a_run_does_not_go_on_with_other_roles(chat: Small) -> None:
    run = planned(stopped(chat.job("8", roles=ASSISTANT), 1)).run
    other = dataclasses.replace(find_run(run).job, roles=("user",))
    assert "roles" in failed(resumed(other, run)).message


def test_the_noise_floor_is_that_of_roles_that_count(chat: Small) -> None:
    events = chat.score("4", max_chunks=3, roles=ASSISTANT, noise_floor=4)
    run = find_run(planned(events).run)
    for positions, facts in run.read()["4"]:
        assert len(facts.perturbed.kl_sums) == 4
        # Repeats differ by rounding from what counts, and by more from all of it.
        for total in facts.perturbed.kl_sums:
            assert total == pytest.approx(float(positions.kl.sum()), rel=1e-2)
    assert report_of(events)["settings"][0]["noise_floor"] > 0


def test_llama_cpp_s_protocol_counts_roles_of_second_halves(chat: Small) -> None:
    events = chat.score("8", max_chunks=2, roles=ASSISTANT, protocol="llama.cpp")
    own = joined(find_run(planned(events).run), "8")
    assert own.position.min() >= LENGTH // 2


def test_formats_say_which_roles_count(runs: dict[str, Any]) -> None:
    report = Report.from_json(report_of(runs["assistant"][0]))
    markdown = to_markdown(report)
    assert "only what **assistant** said" in markdown and "**Drift by role**" in markdown
    assert "user (does not count)" in markdown and "--roles assistant" in markdown
    assert "Whose words drift?" in to_html(report)
    card = to_model_card(report)
    assert "**Drift by role**" in card and '"roles": "assistant"' in card
    assert "only_assistant" in card
    (first, _) = csv.DictReader(io.StringIO(to_csv(report)))
    own = report.settings[0].numbers
    assert own is not None
    by_role = {each.role: each for each in own.by_role}
    assert float(first["user_kl_mean_nats"]) == by_role["user"].kl_mean
    assert first["roles_counted"] == "assistant"
    alone = dataclasses.replace(report, settings=report.settings[:1])
    assert "| role " in to_markdown(alone)


def test_a_start_behind_all_that_counts_in_a_chunk(chat: Small) -> None:
    """A setting that is added later may begin behind it: that chunk is none of its chunks."""
    events = chat.score("8", max_chunks=8, roles=ASSISTANT)
    run = planned(events).run
    settings = (parse_setting("8"), parse_setting("8@25"))
    more = resumed(dataclasses.replace(find_run(run).job, settings=settings), run)
    rows = {row["setting"]: row for row in report_of(more)["settings"]}
    assert rows["8"]["n_chunks"] == 8
    assert 0 < rows["8@25"]["n_chunks"] < 8
    assert rows["8@25"]["n_positions"] == len(joined(find_run(run), "8@25"))


@pytest.mark.parametrize(
    ("roles", "message", "hint"),
    [
        (("asistant",), "no token of the role `asistant`", "template, system, user, assistant"),
        (("a", "b"), "no token of the roles `a`, `b`", "assistant"),
    ],
)
def test_roles_that_the_text_does_not_have(
    chat: Small, roles: tuple[str, ...], message: str, hint: str
) -> None:
    failure = failed(chat.score("8", roles=roles))
    assert message in failure.message and hint in failure.hint and failure.exit_code == 2


def test_one_of_several_roles_may_be_missing(chat: Small) -> None:
    events = chat.score("8", max_chunks=1, roles=("assistant", "tool_call"))
    assert any("no token of the role tool_call" in w for w in report_of(events)["run"]["warnings"])


def test_roles_of_a_plain_text_are_refused(small: Small) -> None:
    failure = failed(small.score("8", roles=ASSISTANT))
    assert "plain text" in failure.message and failure.exit_code == 2
    with pytest.raises(InputError, match="plain text"):
        small.job(corpus=CorpusSpec("wikitext2"), roles=ASSISTANT)


@pytest.mark.parametrize(
    ("template", "messages", "hint"),
    [
        (
            "{{ raise_exception('Conversation roles must alternate user/assistant') }}",
            ROWS[0]["messages"],
            "in turn",
        ),
        ("{{ raise_exception('System role not supported') }}", ROWS[0]["messages"], "first user"),
        ("{{ nothing.at_all }}", ROWS[0]["messages"], "change that row"),
    ],
)
def test_a_template_that_refuses_a_row_names_it(
    small: Small, tmp_path: Path, template: str, messages: Any, hint: str
) -> None:
    refusing = "{% if messages | length > 2 %}" + template + "{% endif %}a"
    rows = [{"messages": messages[1:]}, {"messages": messages}]
    failure = failed(chat_model(small, tmp_path, refusing, rows).score("8"))
    assert failure.exit_code == 2
    assert "line 2 of `chats.jsonl`" in failure.message and hint in failure.hint


def test_what_cannot_be_told_is_said(small: Small, tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.content[:5] }}{% endfor %}"
    own = chat_model(small, tmp_path, template)
    report = report_of(own.score("8", max_chunks=1))
    assert [each["role"] for each in report["settings"][0]["by_role"]] == ["unknown"]
    assert any("cannot be told whose" in warning for warning in report["run"]["warnings"])


def test_a_saved_run_of_roles_is_read_by_programs(runs: dict[str, Any]) -> None:
    from scorer.results import open_run

    _, run = runs["assistant"]
    arrays = open_run(run.path).arrays["8"]
    assert len(arrays) == len(joined(run, "8"))
    assert {role for roles in arrays.roles() for role in roles} == {"assistant"}
    assert set(json.loads((run.path / "job.json").read_text())["job"]["roles"]) == {"assistant"}


def test_ranks_and_events_agree_on_order(chat: Small) -> None:
    """Chunks that hold no token that counts do not take a place among those that are asked for."""
    few = planned(list(score(chat.job("8", max_chunks=3, chunks="spread", roles=ASSISTANT)))).chunks
    more = planned(
        list(score(chat.job("8", max_chunks=6, chunks="spread", roles=ASSISTANT)))
    ).chunks
    assert more[:3] == few
