"""Roles of a chat in the app: the inspector's walk, the detail screen, the option."""

from __future__ import annotations

import pytest
from chat_runs import chat_model, expected
from inspector_pilot import Inspecting, driven, opened
from tiny_runs import LENGTH, Small, planned

from qfid_tui.state.app_hints import in_app
from qfid_tui.state.choices import Choices
from qfid_tui.state.kept_choices import choices_file, load_choices, save_choices
from qfid_tui.state.run_options import OPTIONS, put
from qfid_tui.state.setting_detail import read_setting_detail
from qfid_tui.state.text_names import text_with_roles
from qfid_tui.words.setting_headline import headline
from scorer.common.errors import InputError
from scorer.report.saved_report import saved_report
from scorer.runs.listing import find_run
from scorer.score import score

ROLES = [role for _, role in expected()]
OPTION = next(option for option in OPTIONS if option.field == "roles")
TEXT = next(option for option in OPTIONS if option.field == "corpus")


@pytest.fixture
def run(small: Small, tmp_path_factory: pytest.TempPathFactory) -> str:
    chat = chat_model(small, tmp_path_factory.mktemp("chat"))
    return planned(chat.score("8", max_chunks=4, roles=("assistant",))).run


@driven
async def test_r_goes_to_what_the_next_role_said(run: str) -> None:
    app = Inspecting(run=run, setting="8")
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(pilot)
        assert ", only assistant · setting" in app.screen._title().plain  # type: ignore[attr-defined]
        seen = []
        for _ in range(4):
            await pilot.press("r")
            number, place = divmod(app.text.cursor, LENGTH)
            role = ROLES[app.view.chunks[number] * LENGTH + place]
            assert f"role {role}" in app.panel()
            seen.append((app.text.cursor, role))
        assert "template" not in {role for _, role in seen}
        assert [cursor for cursor, _ in seen] == sorted({cursor for cursor, _ in seen})
        await pilot.press("R")
        assert app.text.cursor == seen[2][0]
        await pilot.press("G", "r")
        assert "nobody says more after this token" in app.panel()


@driven
async def test_a_plain_text_has_no_such_key(small: Small) -> None:
    app = Inspecting(run=planned(small.score("8")).run, setting="8")
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(pilot)
        before = app.text.cursor
        await pilot.press("r")
        assert app.text.cursor == before
        assert "role" not in app.panel()


def test_the_detail_screen_says_the_drift_of_each_role(run: str) -> None:
    detail = read_setting_detail(run, "8")
    assert text_with_roles("/x/chats.jsonl", detail.roles) == "chats.jsonl, only assistant"
    (row,) = saved_report(find_run(run)).settings
    lines = ["".join(text for text, _ in line) for line in headline(row)]
    (assistant,) = (line for line in lines if line.startswith("assistant "))
    (user,) = (line for line in lines if line.startswith("user "))
    assert "does not count" in user and "does not count" not in assistant


def test_roles_are_chosen_where_the_text_is(small: Small) -> None:
    chat = put(Choices(model="demo"), TEXT, str(small.text))
    assert OPTION.typed is not None
    chosen = put(chat, OPTION, OPTION.typed(" tool_call, assistant "))
    assert chosen.job().roles == ("assistant", "tool_call")
    assert Choices(model="demo").of_job(chosen.job()).roles == "assistant,tool_call"
    # Nobody says anything in a built-in text.
    assert put(chosen, TEXT, "builtin").roles == ""
    assert put(chosen, OPTION, OPTION.typed("all")).job().roles == ()
    with pytest.raises(InputError) as caught:
        put(Choices(model="demo"), OPTION, "assistant")
    hint = in_app(caught.value.hint)
    assert "--" not in hint and "roles every token" in hint
    with pytest.raises(InputError):
        OPTION.typed("two words")


def test_roles_are_kept_for_the_next_session(small: Small) -> None:
    choices = Choices(model="demo", corpus=str(small.text), roles="assistant,tool_call")
    assert save_choices(choices)
    assert load_choices().roles == "assistant,tool_call"
    for bad in ("two words", "b,a"):
        text = choices_file().read_text().replace("assistant,tool_call", bad)
        choices_file().write_text(text)
        assert load_choices().roles == ""
        choices_file().write_text(text.replace(bad, "assistant,tool_call"))


def test_a_hint_of_roles_that_are_not_there_names_the_option(
    small: Small, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chat = chat_model(small, tmp_path_factory.mktemp("chat"))
    failure = [*score(chat.job("8", roles=("nobody",)))][-1]
    hint = in_app(failure.hint)  # type: ignore[attr-defined]
    assert "--" not in hint and "assistant" in hint
