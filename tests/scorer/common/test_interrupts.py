"""SIGINTs of one press of Ctrl-C count as one."""

from __future__ import annotations

import pytest

from scorer.common.interrupts import Interrupts


@pytest.mark.parametrize(
    ("after", "request_of"),
    [(0.0, "same"), (0.001, "same"), (0.199, "same"), (0.2, "again"), (60.0, "again")],
)
def test_a_later_interrupt_is_the_same_press_for_200_ms(after: float, request_of: str) -> None:
    now = 100.0
    interrupts = Interrupts(lambda: now)
    assert interrupts.add() == "first"
    now += after
    assert interrupts.add() == request_of


def test_the_200_ms_count_from_the_first_and_not_from_the_last() -> None:
    now = 0.0
    interrupts = Interrupts(lambda: now)
    interrupts.add()
    found = []
    for _ in range(3):
        now += 0.1
        found.append(interrupts.add())
    assert found == ["same", "again", "again"]
