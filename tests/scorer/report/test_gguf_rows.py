"""What a report says of a GGUF file: its type, its size, that no mlx_lm command runs it."""

from __future__ import annotations

import json

import pytest
from weights_reports import DRIFT, weights_report

from scorer.report.deployment import RUNS_GGUF, setting_commands
from scorer.report.dropping import droppable
from scorer.report.formats.answer import to_answer
from scorer.report.formats.badge import to_badges
from scorer.report.formats.markdown import to_markdown
from scorer.report.formats.model_card import to_model_card
from scorer.runs.weight_facts import GGUF_NOTE
from scorer.spec.amounts import parse_bytes
from scorer.spec.deployment import DeploymentSpec

FILE = "w=/models/x-Q4_K.gguf"
SETTINGS = f"8,{FILE},{FILE}+8,w8"
SAID = "No mlx_lm command runs a GGUF file"


def in_memory(memory: str) -> DeploymentSpec:
    return DeploymentSpec(memory=parse_bytes(memory, "memory"), context=1024, device="cpu")


def test_a_file_can_be_the_choice_and_has_no_command() -> None:
    # Smaller than anything else that fits.
    report = weights_report(SETTINGS, deployment=in_memory("135MB"))
    part = report.deployment
    assert part is not None and part.pick == FILE
    assert part.commands == () and part.notes == ()
    assert sum(sentence.startswith(SAID) for sentence in part.sentences) == 1
    assert report.recommendation is not None and report.recommendation.command is None
    assert SAID in to_answer(report, "") and SAID in to_markdown(report)


def test_a_file_with_a_cache_of_mlx_is_run_by_nobody() -> None:
    report = weights_report(f"{FILE}+8", deployment=in_memory("1GB"))
    part = report.deployment
    assert part is not None and part.pick == "reference"
    report = weights_report(f"{FILE}+8", deployment=in_memory("120MB"))
    part = report.deployment
    assert part is not None and part.pick is None and part.reason == "not run by mlx-lm"


def test_commands_of_a_file_are_none() -> None:
    commands = setting_commands("org/model", f"{FILE}+8", 2048)
    assert commands is not None and commands.notes == (RUNS_GGUF,)
    assert (commands.convert, commands.generate, commands.server) == (None, None, None)


def test_what_is_measured_is_said_once_for_all_files() -> None:
    other = "w=/models/y-Q4_K.gguf"
    text = to_markdown(weights_report(f"{FILE},{other}"))
    ladder = text.partition("## Weights")[2].partition("## All settings")[0]
    assert ladder.count("llama.cpp's kernels") == 1
    assert "Of a GGUF file: its tensors as they lie in it." in ladder
    assert "- `x-Q4_K.gguf`: `/models/x-Q4_K.gguf`, in notation" in ladder
    section = text.partition("## `x-Q4_K.gguf`")[2]
    assert GGUF_NOTE in section and " MB in the file, " in section
    assert "Size: once loaded, MB" in to_markdown(weights_report("w8,w6"))
    assert "GGUF" not in to_markdown(weights_report("w8,w6"))


def test_a_badge_names_type_and_file() -> None:
    assert "Q4_K weights · x-Q4_K.gguf" in to_badges(weights_report(FILE))


def test_a_file_with_a_cache_of_mlx_drops_nothing_and_is_dropped_for_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The pair takes the least of all, and all are settled as good.
    monkeypatch.setitem(DRIFT, FILE, 0.0004)
    best = f"{FILE}+8"
    report = weights_report(f"8,{FILE},{best}", deployment=in_memory("1GB"))
    found = droppable(report)
    assert report.deployment is not None and report.deployment.pick == FILE
    assert found["8"] == f"takes more than `{FILE}`, which is settled as good"
    assert found[best] == f"no known runtime computes it, and `{FILE}` is settled as good"
    assert found[FILE] == "settled as good, and the answer"
    # Where nothing that can be run is settled as good, nothing is dropped.
    assert droppable(weights_report(f"4,{best}", deployment=in_memory("1GB"))) == {}


def test_a_card_names_the_file_and_not_its_folder() -> None:
    def named(settings: str) -> list[str]:
        lines = to_model_card(weights_report(settings)).splitlines()
        line = next(line for line in lines if line.startswith("model-index: "))
        return [entry["name"] for entry in json.loads(line.removeprefix("model-index: "))]

    assert named(f"{FILE},{FILE}+8,8") == ["x-Q4_K.gguf"]
    # Two are called alike.
    assert named("w=/a/x.gguf,w=/b/x.gguf") == ["/a/x.gguf", "/b/x.gguf"]
