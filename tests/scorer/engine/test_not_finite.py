"""A number that is missing fails its setting: the place is named, the others and the run end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import pytest
from tiny_models import SMALL, TEXT, write_tiny_model
from tiny_runs import Small, cells, edit_weights, finished, planned

from qfid_tui.cli import main
from scorer import measure_kv_fidelity
from scorer.common.warning_categories import RunWarning
from scorer.lanes.kv.lane import KVLane
from scorer.lanes.noise import EmbeddingNoise
from scorer.report.from_run import finished_report
from scorer.runs.listing import find_run, list_runs
from scorer.score import score
from scorer.spec.events import Event, SettingFailedEvent

LENGTH = 160
BAD = "~"
CHUNKS = 3
CHUNK, POSITION = 2, 145
"""Where the only bad token is: attention goes in blocks of rows, so NaN shows before it."""

Break = Any


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A model and a text with one character that the tests make bad."""
    folder = tmp_path_factory.mktemp("marked")
    # Untied: a bad row of the embedding is no column of the logits.
    model = write_tiny_model(folder / "tiny", "llama", tie_word_embeddings=False, **SMALL)
    place = CHUNK * LENGTH + POSITION
    text = folder / "text.txt"
    text.write_text(f"{TEXT[:place]}{BAD}{TEXT[place + 1 :]}")
    return Small(model, text)


def job(marked: Small, settings: str, **changes: Any) -> Any:
    return marked.job(settings, **{"chunk_length": LENGTH, "max_chunks": CHUNKS, **changes})


def failures(events: list[Event]) -> dict[str, str]:
    return {e.setting: e.message for e in events if isinstance(e, SettingFailedEvent)}


@contextmanager
def bad_embedding(marked: Small, value: float) -> Iterator[None]:
    """The model gives NaN or infinity from the bad token on."""
    path = marked.model / "model.safetensors"
    before = path.read_bytes()

    def edit(weights: dict[str, Any]) -> None:
        name = next(name for name in weights if "embed_tokens" in name)
        weights[name][ord(BAD)] = value

    try:
        edit_weights(marked.model, edit)
        yield
    finally:
        path.write_bytes(before)


@contextmanager
def bad_values(patch: pytest.MonkeyPatch, key: str, *, before: bool) -> Iterator[None]:
    """One setting's cache gives NaN for the bad token, before or after it quantizes."""
    begin, make = KVLane.begin, KVLane.make_caches
    bad: list[mx.array] = []

    def begun(lane: KVLane, tokens: mx.array) -> Any:
        bad[:] = [tokens == ord(BAD)]
        return begin(lane, tokens)

    def made(lane: KVLane, held: list[Any] | None = None) -> list[Any]:
        caches = make(lane, held)
        if lane.key == key:
            cache: Any = caches[1]
            update = cache.update_and_fetch

            def spoilt(values: mx.array) -> mx.array:
                return mx.where(bad[0][:, None, -values.shape[2] :, None], mx.nan, values)

            def updating(keys: mx.array, values: mx.array) -> Any:
                if before:
                    return update(keys, spoilt(values))
                keys, values = update(keys, values)
                return keys, spoilt(values)

            cache.update_and_fetch = updating
        return caches

    with patch.context() as inner:
        inner.setattr(KVLane, "begin", begun)
        inner.setattr(KVLane, "make_caches", made)
        yield


@pytest.mark.parametrize("batch", [1, CHUNKS])
@pytest.mark.parametrize("before", [True, False])
def test_one_setting_fails_and_the_others_finish(
    marked: Small, monkeypatch: pytest.MonkeyPatch, before: bool, batch: int
) -> None:
    asked = job(marked, "8,4,2", batch=batch)
    with bad_values(monkeypatch, "4", before=before):
        events = list(score(asked))
    assert failures(events).keys() == {"4"}
    assert failures(events)["4"].endswith(f"at chunk {CHUNK}, position {POSITION}")
    report = finished(events).report
    assert [row["status"] for row in report["settings"]] == ["scored", "failed", "scored"]
    assert [row["n_chunks"] for row in report["settings"]] == [CHUNKS, 0, CHUNKS]
    assert report["settings"][1]["failure"]["message"] == failures(events)["4"]
    assert report["run"]["complete"]
    run = find_run(planned(events).run)
    kept = set(range(CHUNK)) if batch == 1 else set()
    assert run.finished and run.scored().get("4", set()) == kept

    # It is tried again when the run goes on, from the first chunk that it lacks, and ends again.
    with bad_values(monkeypatch, "4", before=before):
        again = list(score(asked, run=run.id))
    assert failures(again) == failures(events) and cells(again) == []
    assert finished(again).report["settings"][1]["failure"] == report["settings"][1]["failure"]
    # Once it gives numbers, nothing of the failure is left.
    mended = list(score(asked, run=run.id))
    assert [cell for cell in cells(mended)] == [("4", c) for c in range(CHUNKS) if c not in kept]
    assert [row["status"] for row in finished(mended).report["settings"]] == ["scored"] * 3


@pytest.mark.parametrize(("value", "settings"), [(float("nan"), "8@20,4"), (float("inf"), "8,4")])
def test_a_reference_without_a_number_fails_every_setting_and_the_run_ends(
    marked: Small, value: float, settings: str
) -> None:
    with bad_embedding(marked, value):
        events = list(score(job(marked, settings)))
        run = planned(events).run
        where = f"no finite likelihood at chunk {CHUNK}, position {POSITION}"
        assert failures(events).keys() == set(settings.split(","))
        for key, message in failures(events).items():
            assert message == f"setting `{key}`: the full-precision model gives {where}"
        assert len(cells(events)) == 2 * CHUNK
        report = finished(events).report
        assert [row["status"] for row in report["settings"]] == ["failed", "failed"]
        (info,) = [info for info in list_runs() if info.id == run]
        assert info.state == "finished" and set(info.failed) == set(settings.split(","))


def test_nothing_is_scored_at_all(marked: Small, capfd: pytest.CaptureFixture[str]) -> None:
    """The first batch holds the bad chunk: there is a report all the same."""
    with bad_embedding(marked, float("nan")):
        events = list(score(job(marked, "8,4", batch=CHUNKS, control=True)))
    run = find_run(planned(events).run)
    assert cells(events) == [] and run.scored() == {} and run.finished
    report = finished(events).report
    assert report["recommendation"] is None and report["run"]["chunks"] == []
    assert [row["status"] for row in report["settings"]] == ["failed", "failed"]
    for form in ("md", "json", "csv", "card"):
        assert main(["report", run.id, "--format", form]) == 0
        out, err = capfd.readouterr()
        assert err == "" and (form == "card" or f"position {POSITION}" in out or form == "csv")
    assert finished_report(run).to_json() == json.loads(json.dumps(report))


@pytest.mark.parametrize("protocol", ["mqf", "llama.cpp"])
def test_the_place_is_that_of_the_token_also_where_it_is_not_scored(
    marked: Small, protocol: str
) -> None:
    """The NaN of a token before the scored part shows in its first position."""
    place = CHUNK * LENGTH + 10
    text = marked.text.with_name("early.txt")
    text.write_text(f"{TEXT[:place]}{BAD}{TEXT[place + 1 :]}")
    early = Small(marked.model, text)
    with bad_embedding(early, float("nan")):
        events = list(score(job(early, "8@20", protocol=protocol)))
    assert failures(events)["8@20"].endswith(f"at chunk {CHUNK}, position 10")


def test_a_deployment_whose_first_chunk_is_bad_is_no_fault_of_the_architecture(
    marked: Small,
) -> None:
    text = marked.text.with_name("first.txt")
    text.write_text(f"{TEXT[:POSITION]}{BAD}{TEXT[POSITION + 1 :]}")
    with bad_embedding(first := Small(marked.model, text), float("nan")):
        events = list(score(job(first, "8@20", max_chunks=1)))
    assert failures(events)["8@20"].endswith(f"at chunk 0, position {POSITION}")


def test_a_likelihood_that_is_not_scored_fails_nothing(
    marked: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that begins behind it does not need the reference's number there."""
    from scorer.lanes.base import ReferenceLane

    logits = ReferenceLane.logits

    def ruled_out(lane: ReferenceLane, hidden: mx.array, start: int, stop: int) -> mx.array:
        found = logits(lane, hidden, start, stop)
        if start == 0 and stop > 7:
            found[:, 7] = -mx.inf
            found[:, 7, 0] = 0.0
        return found

    with monkeypatch.context() as patch:
        patch.setattr(ReferenceLane, "logits", ruled_out)
        events = list(score(job(marked, "8,4@20", max_chunks=1)))
    assert failures(events) == {
        "8": "setting `8`: the full-precision model gives no finite likelihood at chunk 0, "
        "position 7"
    }
    assert cells(events) == [("4@20", 0)]


@pytest.mark.parametrize("whose", ["4", "reference"])
def test_a_perturbed_repeat_without_a_number_fails_its_setting(
    marked: Small, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    noise = EmbeddingNoise._noise

    def spoilt(self: EmbeddingNoise, number: int, width: int) -> mx.array:
        made = noise(self, number, width)
        return mx.where(mx.arange(made.shape[1])[None, :, None] == POSITION, mx.nan, made)

    with monkeypatch.context() as patch:
        if whose == "reference":
            patch.setattr(EmbeddingNoise, "_noise", spoilt)
            events = list(score(job(marked, "8,4", max_chunks=1, noise_floor=4)))
        else:
            with bad_values(patch, "4", before=False):
                events = list(score(job(marked, "8,4", noise_floor=4)))
    found = failures(events)
    assert found.keys() == ({"8", "4"} if whose == "reference" else {"4"})
    chunk = 0 if whose == "reference" else CHUNK
    for message in found.values():
        assert f"at chunk {chunk}, position {POSITION} (repeat 1 of 4 for the noise" in message
    rows = finished(events).report["settings"]
    assert [row["status"] for row in rows] == [
        "failed" if whose == "reference" else "scored",
        "failed",
    ]


@pytest.mark.filterwarnings("ignore::scorer.common.warning_categories.ReportWarning")
def test_a_control_without_a_number_is_said_and_the_run_ends(
    marked: Small, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = job(marked, "8,4", control=True, kernel="mlx-lm")
    with bad_values(monkeypatch, "4~dequantized", before=False):
        events = list(score(asked))
        assert failures(events).keys() == {"4~dequantized"}
        report = finished(events).report
        eight, four = report["settings"]
        assert [eight["status"], four["status"]] == ["scored", "scored"]
        assert eight["control_kl"] is not None and four["control_kl"] is None
        assert four["control_note"] == "the control failed"
        where = f"chunk {CHUNK}, position {POSITION}"
        assert any("its control failed" in text and where in text for text in four["warnings"])
        with pytest.warns(RunWarning, match="the control failed: setting `4~dequantized`"):
            measure_kv_fidelity(
                str(marked.model),
                kv_bits=4,
                corpus=str(marked.text),
                chunk_length=LENGTH,
                chunks="first",
                max_chunks=CHUNK + 1,
                control=True,
                kernel="mlx-lm",
            )


def test_the_command_ends_with_1_and_so_does_resume(
    marked: Small, capfd: pytest.CaptureFixture[str]
) -> None:
    with bad_embedding(marked, float("nan")):
        words = ["kv", str(marked.model), "--corpus", str(marked.text), "--kv-bits", "8"]
        options = ["--chunk-length", str(LENGTH), "--chunks", "first", "--max-chunks", "4"]
        assert main([*words, *options]) == 1
        (run,) = re.findall(r"saved as run (\S+)", err := capfd.readouterr().err)
        assert "scores the rest" not in err
        assert main(["resume", run]) == 1
    out, err = capfd.readouterr()
    assert f"chunk {CHUNK}, position {POSITION}" in out
    assert "scores the rest" not in err
