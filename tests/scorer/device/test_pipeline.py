"""How far a GPU is given work ahead, and the variables that switch fast ways off."""

from __future__ import annotations

import pytest

from scorer.common.errors import InputError
from scorer.common.switches import is_enabled
from scorer.device.pipeline import PLAIN, Pipeline, choose_pipeline, rounds_ahead


def test_only_a_gpu_is_given_work_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QFID_PIPELINE", raising=False)
    assert choose_pipeline("cpu", 1) == PLAIN == Pipeline(0, 0)
    assert choose_pipeline("cuda", 8).layers > choose_pipeline("cuda", 1).layers > 0
    assert choose_pipeline("cuda", 8).tiles == choose_pipeline("metal", 8).tiles > 0
    assert choose_pipeline("metal", 8).layers == 0


def test_a_variable_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFID_PIPELINE", "plain")
    assert choose_pipeline("cuda", 8) == PLAIN
    monkeypatch.setenv("QFID_PIPELINE", "far")
    with pytest.raises(InputError, match="`far` is not a value of QFID_PIPELINE") as caught:
        choose_pipeline("cuda", 8)
    assert caught.value.hint == "set it to `ahead` or `plain`"


def test_rounds_are_dealt_ahead_where_no_gpu_waits_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("QFID_PIPELINE", raising=False)
    assert [rounds_ahead(over_host=over_host) for over_host in (True, False)] == [1, 0]
    monkeypatch.setenv("QFID_PIPELINE", "plain")
    assert rounds_ahead(over_host=True) == 0


def test_a_switch_is_on_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, on in ((None, True), ("", True), ("quick", True), ("slow", False)):
        if value is None:
            monkeypatch.delenv("A_SWITCH", raising=False)
        else:
            monkeypatch.setenv("A_SWITCH", value)
        assert is_enabled("A_SWITCH", "quick", plain="slow") is on
