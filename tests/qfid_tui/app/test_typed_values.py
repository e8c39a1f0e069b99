"""What the prompts of the workbench take and refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from qfid_tui.app.screens.typed_values import setting_prompt
from qfid_tui.state.choices import Choices
from scorer.common.errors import InputError
from scorer.spec.settings.base import Setting


def test_a_gguf_file_that_is_not_there_is_refused_when_it_is_typed(tmp_path: Path) -> None:
    taken: list[Setting] = []
    _, answered = setting_prompt(Choices(model="demo"), None, taken.append)
    there = tmp_path / "x.gguf"
    there.write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"there is no file `.*y\.gguf`"):
        answered(f"w={tmp_path}/y.gguf+8")
    assert taken == []
    answered(f"w={there}+8")
    assert [setting.key for setting in taken] == [f"w={there}+8"]
