"""``measure_weight_fidelity``: what a caller in Python asks for, and gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import SMALL, write_tiny_model
from tiny_runs import LENGTH, Small

import scorer
from scorer.common.errors import InputError, WillNotFit
from scorer.runs.listing import find_run
from scorer.spec.events import ChunkScored, Event
from scorer.spec.settings.weights import StoredWeights

# A random model on a text is as far out of its domain as can be.
pytestmark = pytest.mark.filterwarnings("ignore::scorer.common.warning_categories.QfidWarning")


def test_a_grid_with_its_parts(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = write_tiny_model(tmp_path / "copy", "llama", bits=8, **SMALL)
    found = scorer.measure_weight_fidelity(
        small.model,
        [copy],
        bits=[2],
        group_size=32,
        kv="4",
        settings=["w8:32+8"],
        corpus=small.text,
        chunk_length=LENGTH,
        max_chunks=2,
        memory="1GB",
        context="4k",
    )
    stored = StoredWeights(str(copy)).key
    names = ["4", stored, f"{stored}+4", "w2:32", "w2:32+4", "w8:32+8"]
    assert list(found.settings) == names == [report.setting for report in found]
    assert found["w2:32"].kl.mean > found[stored].kl.mean > 0 and len(found) == 6
    # Keys hold absolute paths; what was typed is found too.
    monkeypatch.chdir(tmp_path)
    assert found["w=./copy+4"] is found[f"{stored}+4"]
    for absent in ("w3:32", "w=./other", "w=", "nothing"):
        with pytest.raises(KeyError):
            found[absent]
    assert found.grid is not None and found.grid.weights == ("", stored, "w2:32", "w8:32")
    assert [part.setting for part in found.interactions] == [f"{stored}+4", "w2:32+4"]
    assert found.deployment is not None and found.deployment.context == 4096
    assert found.deployment.memory == 10**9
    assert found.to_json()["deployment"]["cells"][0]["setting"] == "reference"
    run = find_run(found.run_id)
    assert [setting.key for setting in run.job.settings] == names


def test_numbers_are_those_of_the_same_settings_asked_for_otherwise(small: Small) -> None:
    options = {"corpus": small.text, "chunk_length": LENGTH, "max_chunks": 1}
    one = scorer.measure_weight_fidelity(small.model, bits="8:32,2:32", **options)  # type: ignore[arg-type]
    other = scorer.measure_weight_fidelity(
        small.model,
        settings="w8:32,w2:32",
        one_at_a_time=True,
        **options,  # type: ignore[arg-type]
    )
    assert [report.kl for report in one] == [report.kl for report in other]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": "7"}, "weights `w7`: `7` bits"),
        ({"bits": "x"}, "`x` is no precision of weights"),
        ({"kv": "w4"}, "`w4` is not a setting of the KV cache alone"),
        ({"bits": "4", "memory": "16"}, "memory"),
        ({"bits": "4", "context": "long"}, "context"),
        ({"bits": "4", "device": "tpu"}, "`tpu` is not a device"),
        ({"candidates": ["nobody/nothing"]}, "is not in the local cache"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(
    small: Small, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        scorer.measure_weight_fidelity(small.model, corpus=small.text, **options)  # type: ignore[arg-type]
    assert message in caught.value.message and "\n" not in caught.value.message


def test_what_fits_is_scored_and_one_is_the_answer(small: Small) -> None:
    options = {"corpus": small.text, "chunk_length": LENGTH, "max_chunks": 2, "context": "1k"}
    found = scorer.fit_memory(small.model, memory="1GB", bits=8, kv=4, **options)  # type: ignore[arg-type]
    assert found.deployment is not None and found.deployment.pick is not None
    assert find_run(found.run_id).job.drop_beaten
    with pytest.raises(WillNotFit, match=r"nothing fits in 1\.0 MB at 1k tokens"):
        scorer.fit_memory(small.model, memory="1MB", bits=8, kv=4, **options)  # type: ignore[arg-type]


def test_a_run_of_weights_goes_on(small: Small) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, ChunkScored):
            raise KeyboardInterrupt

    options = {"corpus": small.text, "chunk_length": LENGTH, "max_chunks": 2, "kv": 4}
    with pytest.raises(KeyboardInterrupt):
        scorer.measure_weight_fidelity(small.model, bits="8:32", on_event=stop, **options)  # type: ignore[arg-type]
    whole = scorer.measure_weight_fidelity(small.model, bits="8:32", **options)  # type: ignore[arg-type]
    resumed = scorer.resume_run()
    assert [one.kl for one in resumed] == [one.kl for one in whole]
