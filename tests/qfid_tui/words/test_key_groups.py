"""Every key of the workbench stands under the panel that it works on."""

from __future__ import annotations

import pytest
from textual.binding import Binding

from qfid_tui.app.screens.workbench_keys import BINDINGS
from qfid_tui.words.key_groups import group_of, grouped


@pytest.mark.parametrize(
    ("id", "title"),
    [
        ("workbench.tick", "Settings"),
        ("settings.press", "Settings"),
        ("workbench.run", "Run"),
        ("workbench.sort", "Models"),
        ("models.choose", "Models"),
        ("workbench.zoom", "Panels"),
        ("options.more", "Options"),
        ("rows.up", "Every list"),
        ("history.delete", "History"),
        ("app.quit", "Everywhere"),
        ("", "Others"),
    ],
)
def test_the_heading_of_a_key(id: str, title: str) -> None:
    assert group_of(id) == title


def test_headings_stand_in_reading_order_and_no_key_is_lost() -> None:
    ids = [binding.id or "" for binding in Binding.make_bindings(BINDINGS)]
    ids += ["app.quit", "rows.up", "history.delete"]
    groups = grouped((id, id) for id in ids)
    titles = [title for title, _ in groups]
    assert titles == [
        *("Run", "Settings", "Models", "Charts", "Panels"),
        *("History", "Every list", "Everywhere"),
    ]
    assert sorted(id for _, members in groups for id in members) == sorted(ids)
