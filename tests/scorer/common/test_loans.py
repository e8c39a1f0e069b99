"""What a run changes of the process lasts as long as anyone needs it, and is then as it was."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from deadline import DEADLINE

from scorer.common import offline
from scorer.common.hidden_output import hidden_output
from scorer.common.loans import GiveBack, Loan, lend_environment, replace_attribute


def logged(log: list[str]) -> Loan:
    def take() -> GiveBack:
        log.append("take")
        return lambda: log.append("give back")

    return Loan(take)


def elsewhere(work: Callable[[], bool]) -> bool:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(DEADLINE)


def test_the_first_takes_and_the_last_gives_back() -> None:
    log: list[str] = []
    loan = logged(log)
    with loan:
        with loan:
            pass
        assert log == ["take"]
    assert log == ["take", "give back"]
    with pytest.raises(ZeroDivisionError), loan:
        raise ZeroDivisionError
    assert log == ["take", "give back"] * 2


def test_a_loan_outlives_the_thread_that_took_it() -> None:
    log: list[str] = []
    loan = logged(log)
    taken, leave = threading.Event(), threading.Event()

    def other() -> None:
        with loan:
            taken.set()
            assert leave.wait(DEADLINE)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(other)
        assert taken.wait(DEADLINE)
        with loan:
            leave.set()
            first.result(DEADLINE)
            assert log == ["take"]
    assert log == ["take", "give back"]


def test_what_cannot_be_taken_is_not_given_back() -> None:
    def take() -> GiveBack:
        raise OSError

    loan = Loan(take)
    for _ in range(2):
        with pytest.raises(OSError), loan:
            pass


def test_an_attribute_that_was_set_meanwhile_stays() -> None:
    place = SimpleNamespace(value=1)
    replace_attribute(place, "value", 2)()
    assert place.value == 1
    give_back = replace_attribute(place, "value", 2)
    place.value = 3
    give_back()
    assert place.value == 3


def test_variables_of_the_user_are_neither_changed_nor_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("QFID_A", "QFID_B", "QFID_C", "QFID_D"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QFID_A", "user")
    loan = lend_environment(
        lambda: dict.fromkeys(("QFID_A", "QFID_B", "QFID_C"), "ours"), ("QFID_D",)
    )
    with loan:
        assert (os.environ["QFID_A"], os.environ["QFID_B"]) == ("user", "ours")
        os.environ["QFID_C"] = "meanwhile"
        os.environ["QFID_D"] = "library"
    assert os.environ["QFID_A"] == "user" and os.environ["QFID_C"] == "meanwhile"
    assert "QFID_B" not in os.environ and "QFID_D" not in os.environ


def test_output_is_hidden_in_one_thread_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    hides, leave = threading.Event(), threading.Event()

    def other() -> None:
        with hidden_output():
            print("of the model")
            hides.set()
            assert leave.wait(DEADLINE)
            print("of the model")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other)
        assert hides.wait(DEADLINE)
        print("of the program")
        with hidden_output():
            print("of another model")
        leave.set()
        waiting.result(DEADLINE)
    assert sys.stdout is before
    print("after")
    assert capsys.readouterr().out == "of the program\nafter\n"


def test_a_closed_output_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with hidden_output():
        print("of the model")
        assert elsewhere(lambda: print("of the program") is None)
    assert sys.stdout is None


def test_a_thread_is_offline_alone() -> None:
    from huggingface_hub import constants, is_offline_mode

    before = constants.HF_HUB_OFFLINE
    user = elsewhere(lambda: bool(is_offline_mode()))
    with offline.libraries_offline():
        assert is_offline_mode()
        assert elsewhere(lambda: bool(is_offline_mode())) is user
    assert constants.HF_HUB_OFFLINE is before
