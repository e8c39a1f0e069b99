"""Two saved runs of the same, paired: numbers by hand, what is refused, what is said."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from report_builders import identity_of, make_facts, random_positions, stored_facts

from qfid_tui.cli import main
from scorer.common.errors import InputError
from scorer.report.formats.markdown_diff import diff_markdown
from scorer.report.run_diff import outcome_of
from scorer.report.run_diff_part import Within
from scorer.results import diff_runs
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.grid import CellKey
from scorer.runs.listing import new_run
from scorer.runs.run import Run
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings
from scorer.stats.intervals import Interval
from scorer.stats.positions import Positions
from scorer.stats.student_t import t_quantile

CHUNKS, DEPTH = 12, 15
DOCUMENTS = 6


def positions_of(setting: str, chunk: int, change: float = 0.0) -> Positions:
    """Positions of a chunk; with a change KL is larger by it at random and every third flips."""
    scale = {"8": 0.001, "4": 0.2}[setting]
    found = random_positions(chunks=[chunk], n_depth=DEPTH, scale=scale, seed=chunk)
    if not change:
        return found
    random = np.random.RandomState(1000 + chunk)
    top = np.where(np.arange(DEPTH) % 3 == 0, 7, found.top_quant).astype(np.int32)
    return dataclasses.replace(
        found, kl=found.kl + change * random.normal(1, 0.3, DEPTH), top_quant=top
    )


def saved(
    change: dict[str, float] | None = None,
    *,
    chunks: range = range(CHUNKS),
    identity: dict[str, Any] | None = None,
    settings: str = "8,4",
    fingerprint: dict[str, str] | None = None,
    seed: int | None = None,
    stopped_at: int | None = None,
) -> Run:
    job = Job("demo", parse_settings(settings), chunk_length=DEPTH + 1, max_chunks=CHUNKS)
    if seed is not None:
        job = dataclasses.replace(job, until_settled=True, chunks=f"random:{seed}")
    facts = make_facts(settings, n_chunks=CHUNKS, job=job)
    documents = {i: i * DOCUMENTS // CHUNKS for i in range(CHUNKS)}
    facts = dataclasses.replace(facts, documents=documents)
    stored = stored_facts(facts, identity_of(facts) | (identity or {}))
    if fingerprint is not None:
        own = {
            k: dataclasses.replace(v, fingerprint=fingerprint) for k, v in stored.settings.items()
        }
        stored = dataclasses.replace(stored, settings=own)
    run = new_run(job, stored)
    with run.open_writer() as writer:
        for name in settings.split(","):
            for chunk in chunks:
                positions = positions_of(name, chunk, (change or {}).get(name, 0.0))
                writer.append(CellKey(name, chunk), positions, ChunkFacts(seconds=0.5))
    if stopped_at is not None:
        run.mark_stopped(stopped_at)
    return run


def test_differences_are_paired_by_chunk_and_clustered_by_document() -> None:
    change = {"8": 5e-5, "4": 0.03}
    a, b = saved(), saved(change, identity={"device": "gpu", "mlx version": "9"})
    diff = diff_runs(a.id, b.id)
    assert {each.name for each in diff.how} == {"device", "mlx version"}
    for each in diff.settings:
        pairs = [
            (positions_of(each.setting, i), positions_of(each.setting, i, change[each.setting]))
            for i in range(CHUNKS)
        ]
        changes = np.array([float((y.kl - x.kl).sum()) for x, y in pairs])
        mean = changes.sum() / (CHUNKS * DEPTH)
        per = CHUNKS // DOCUMENTS
        residuals = changes.reshape(DOCUMENTS, per).sum(axis=1) - per * DEPTH * mean
        error = np.sqrt(DOCUMENTS / (DOCUMENTS - 1) * (residuals**2).sum()) / (CHUNKS * DEPTH)
        reach = t_quantile(1 - 0.05 / 2 / 2, DOCUMENTS - 1) * error
        assert each.difference == pytest.approx(mean, rel=1e-9)
        assert each.interval is not None
        assert each.interval.low == pytest.approx(mean - reach, rel=1e-9)
        assert each.interval.high == pytest.approx(mean + reach, rel=1e-9)
        assert (each.unit, each.n_units, each.label) == ("document", DOCUMENTS, "")
        assert (each.n_chunks, each.n_positions) == (CHUNKS, CHUNKS * DEPTH)
        kl = np.concatenate([x.kl for x, _ in pairs])
        assert each.kl_mean_a == pytest.approx(kl.mean(), rel=1e-12)
        assert each.within == pytest.approx(0.1 * kl.mean())
        flips = [(x.flips, y.flips) for x, y in pairs]
        assert each.flips_a == sum(int(x.sum()) for x, _ in flips)
        assert each.flips_b == sum(int(y.sum()) for _, y in flips)
        assert each.flips_differ == sum(int((x != y).sum()) for x, y in flips)
        assert each.top_quant_differs == CHUNKS * DEPTH // 3
        assert each.top_ref_differs == 0
        nll = np.concatenate([x.nll_ref for x, _ in pairs])
        assert each.perplexity_ref_a == pytest.approx(np.exp(nll.mean()))
        assert each.perplexity_ref_b == each.perplexity_ref_a
        assert each.largest_change == max(float(abs(y.kl - x.kl).max()) for x, y in pairs)
    assert diff.settings[0].key_a != diff.settings[0].key_b


def test_the_worst_setting_decides() -> None:
    a = saved()
    near = saved({"8": 1e-6, "4": 1e-4}, identity={"device": "gpu"})
    far = saved({"8": 1e-6, "4": 0.2}, identity={"device": "gpu"})
    assert diff_runs(a.id, near.id).exit_code == 0
    found = diff_runs(a.id, far.id)
    assert [each.outcome for each in found.settings] == ["within", "beyond"]
    assert found.exit_code == 4
    assert diff_runs(a.id, far.id, settings="8").exit_code == 0
    assert diff_runs(a.id, far.id, within=0.2).exit_code == 5
    assert diff_runs(a.id, far.id, within=2.0).exit_code == 0
    assert diff_runs(far.id, a.id).exit_code == 4


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [
        (Interval(-1.0, 1.0), "within"),
        (Interval(-1.1, 0.0), "neither"),
        (Interval(0.9, 1.1), "neither"),
        (Interval(1.1, 2.0), "beyond"),
        (Interval(-3.0, -1.01), "beyond"),
        (Interval(-2.0, 2.0), "neither"),
        (None, "neither"),
    ],
)
def test_where_an_interval_lies(ends: Interval | None, outcome: str) -> None:
    assert outcome_of(ends, 1.0) == outcome


def test_only_common_chunks_and_settings_count() -> None:
    a, b = saved(chunks=range(0, 9)), saved(chunks=range(3, 12), settings="8")
    diff = diff_runs(a.path, b.id)
    (each,) = diff.settings
    assert (each.setting, each.n_chunks, diff.only_a, diff.only_b) == ("8", 6, ("4",), ())
    assert each.difference == 0 and each.outcome == "within"
    assert "**What is compared:** nothing." in diff_markdown(diff)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("corpus", "another", "not the same text"),
        ("model files", "another", "not the same files of the model"),
        ("model content", "another", "not the same content of the model's files"),
        ("protocol", "llama.cpp", "not the same protocol: mqf and llama.cpp"),
        ("chunk length", 99, "not the same chunk length: "),
        ("tokenizer", "another", "not the same tokenizer"),
        ("corpus", None, "does not say which text it had"),
    ],
)
def test_other_things_scored_are_refused_in_one_line(
    field: str, value: object, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    a, b = saved(), saved(identity={field: value})
    with pytest.raises(InputError) as caught:
        diff_runs(a.id, b.id)
    assert said in caught.value.message and "\n" not in str(caught.value)
    assert main(["diff", a.id, b.id]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and said in err


@pytest.mark.parametrize("other", ["user", None])
def test_other_roles_are_refused_by_name(
    other: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    a = saved(identity={"roles": "assistant"})
    b = saved(identity={} if other is None else {"roles": other})
    named = other or "all"
    for one, two, roles in ((a, b, f"assistant and {named}"), (b, a, f"{named} and assistant")):
        with pytest.raises(InputError, match=f"not the same roles: {roles}$"):
            diff_runs(one.id, two.id)
        assert main(["diff", one.id, two.id]) == 2
        assert capfd.readouterr().err.count("\n") == 1
    same = saved(identity={"roles": "assistant"})
    assert diff_runs(a.id, same.id).exit_code == 0


def test_what_cannot_be_paired_is_refused() -> None:
    a = saved(chunks=range(0, 3))
    for b, said in (
        (a, "is compared with itself"),
        (saved(chunks=range(6, 9)), "no chunk of `8` in common"),
        (saved(fingerprint={"content": "x"}), "`8` stood for other weights (content)"),
        (saved(chunks=range(0)), "no scored setting in common"),
    ):
        with pytest.raises(InputError, match="run") as caught:
            diff_runs(a.id, b.id)
        assert said in caught.value.message
    with pytest.raises(InputError, match="has no scored setting `4`; it has `8`"):
        diff_runs(a.id, saved(settings="8").id, settings=["4"])


def test_bounds_are_shares_or_nats() -> None:
    assert Within.parse("10%") == Within()
    assert Within.parse("0.5 %").nats(2.0) == pytest.approx(0.01)
    assert Within.parse("1e-3") == Within(0.001, False)
    for text in ("", "0", "-1%", "nan", "inf", "a", "5%%"):
        with pytest.raises(InputError):
            Within.parse(text)


def test_the_command_prints_markdown_or_json(
    capfd: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    a, b = saved(), saved({"8": 1e-6, "4": 0.2}, identity={"device": "gpu"})
    assert main(["diff", a.id, b.id]) == 4
    out, err = capfd.readouterr()
    assert "| device    | cpu" in out and "**beyond**" in out
    assert "Comparability keys: `8`, `4`: A `" in out
    assert err == "beyond ± 10 % of A's KL mean: `4`\n"
    path = tmp_path / "diff.json"
    assert main(["diff", a.id, b.id, "--within", "1", "--output", str(path)]) == 0
    values = json.loads(path.read_text())
    assert values == diff_runs(a.id, b.id, within=1).to_json()
    assert (values["exit_code"], values["within"]["is_share"]) == (0, False)
    assert main(["diff", a.id, "nothing"]) == 2
    assert main(["diff", a.id, b.id, "--within", "x"]) == 2


def test_runs_that_stop_once_settled_say_so_and_share_the_confidence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Looks at 6, 9 and 12 chunks.
    monkeypatch.setattr("scorer.stats.stopping.FIRST_LOOK", 6)
    a, b = saved(seed=1, chunks=range(9), stopped_at=9), saved(identity={"device": "gpu"})
    found = diff_runs(a.id, b.id)
    assert (found.a.looks, found.a.stopped_at) == ((6, 9, 12), 9)
    assert (found.b.looks, found.b.stopped_at, found.looks) == ((), None, 3)
    assert [each.confidence for each in found.settings] == [pytest.approx(1 - 0.05 / 6)] * 2
    values = found.to_json()
    assert values["looks"] == 3 and values["a"]["stopped_at"] == 9
    assert main(["diff", a.id, b.id]) == 0
    out, err = capfd.readouterr()
    assert "9 chunks of at most 12: stopped once settled, " in out
    assert "9 common chunks (B has 12)" in out
    assert "no plain 95 % intervals" in out and "(Bonferroni: 99.1667 % each)" in out
    assert err == (
        "A stops once settled: intervals are of 99.1667 %, so that they hold for all 3 looks at "
        "their common chunks\n"
    )
    # Two orders: each pair of looks has other chunks in common.
    c = saved(seed=2, identity={"device": "gpu"})
    found = diff_runs(a.id, c.id)
    assert found.looks == 9 and "of at most 12, not settled" in diff_markdown(found)
    assert main(["diff", a.id, c.id]) == 0
    assert capfd.readouterr().err.startswith("A and B stop once settled: ")


def test_the_intervals_of_a_stopped_run_are_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scorer.stats.stopping.FIRST_LOOK", 6)
    change = {"8": 5e-5, "4": 0.03}
    gpu = {"device": "gpu"}
    plain = diff_runs(saved().id, saved(change, identity=gpu).id)
    stopped = diff_runs(saved(seed=1).id, saved(change, identity=gpu, seed=1).id)
    for one, other in zip(plain.settings, stopped.settings, strict=True):
        assert one.difference == other.difference
        assert one.interval is not None and other.interval is not None
        assert other.interval.low < one.interval.low < one.interval.high < other.interval.high
