"""Whose each token is, as the inspector shows it."""

from __future__ import annotations

import numpy as np
import pytest
from chat_runs import chat_model, expected
from tiny_runs import LENGTH, Small, planned

from qfid_tui.state.setting_detail import read_setting_detail
from qfid_tui.state.token_roles import TextRoles
from qfid_tui.state.token_view import TokenView, read_token_view
from scorer.report.passages import worst_passages
from scorer.report.saved_report import saved_report
from scorer.runs.listing import find_run

ROLES = [role for _, role in expected()]


@pytest.fixture
def run(small: Small, tmp_path_factory: pytest.TempPathFactory) -> str:
    chat = chat_model(small, tmp_path_factory.mktemp("chat"))
    return planned(chat.score("8,4@5", max_chunks=4, roles=("assistant",))).run


def test_tokens_of_every_role_are_shown_with_their_role(run: str) -> None:
    view = read_token_view(run)
    assert view.roles is not None
    for number, chunk in enumerate(view.chunks):
        for place in range(1, LENGTH):
            token = number * LENGTH + place
            facts = view.facts("8", token)
            role = ROLES[chunk * LENGTH + place]
            assert facts.role == role
            if role == "assistant":
                assert facts.cost is not None
            else:
                assert facts.cost is None and facts.unscored == f"{role} does not count"


def test_the_worst_positions_stand_in_their_text(run: str) -> None:
    found = find_run(run)
    text = "".join(c if len(c) == 1 else "\0" for c, _ in expected())
    for passage in worst_passages(found, saved_report(found)).found["8"]:
        at = passage.chunk * LENGTH + passage.position + 1
        ids = [each.token for each in passage.tokens]
        begin = at - passage.worst
        shown = [ord(c) for c in text[begin : begin + len(ids)]]
        assert [i for i in ids if i < 256] == [c for c in shown if c]
        assert ROLES[at] == "assistant" and len(ids) > 8
    (worst, *_) = read_setting_detail(run, "8").tail
    at = worst.chunk * LENGTH + worst.position + 1
    assert ROLES[at] == "assistant" and len(worst.before) + len(worst.after) > 6


def test_a_walk_through_what_roles_said() -> None:
    names = ("", "template", "user", "assistant")
    roles = TextRoles(names, np.array([0, 1, 2, 2, 3, 1, 3, 3, 0, 2], np.uint8))
    steps = [0]
    while (step := roles.part_beside(steps[-1], 1)) is not None:
        steps.append(step)
    assert steps == [0, 2, 4, 6, 9]
    back = [9]
    while (step := roles.part_beside(back[-1], -1)) is not None:
        back.append(step)
    assert back == [9, 6, 4, 2]
    assert [roles.of(i) for i in (0, 1, 2, 4)] == ["", "template", "user", "assistant"]


def test_a_plain_text_has_none(small: Small) -> None:
    view: TokenView = read_token_view(planned(small.score("8")).run)
    assert view.roles is None and view.facts("8", 1).role == ""
