"""What the inspector says of a token is what the run stored where that token was predicted."""

from __future__ import annotations

import dataclasses
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_files import DECODER, edit_json
from token_text_runs import HALVES, PROSE, demo_ids, positions_of, token_run

from qfid_tui.pictures.token_glyphs import MISSING
from qfid_tui.state import run_tokens
from qfid_tui.state.setting_tokens import LEVEL_EDGES, UNSCORED
from qfid_tui.state.token_view import TokenView, read_token_view
from scorer.common.errors import InputError
from scorer.common.folders import cache_folder
from scorer.demo import demo_model_path
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.grid import CellKey
from scorer.text.tokens import spelling
from scorer.text.tokens.spelling import SpelledTokens

LENGTH = 32


def test_numbers_belong_to_the_token_that_was_predicted() -> None:
    run = token_run(chunks=(2, 5))
    view = read_token_view(run.id)
    (_, _), (stored, _) = run.read()["4"]
    for place in (1, 2, 17, LENGTH - 1):
        row = place - 1
        assert stored.position[row] == place - 1
        facts = view.facts("4", LENGTH + place)
        assert (facts.chunk, facts.place, facts.token) == (5, place, stored.token[row])
        cost = facts.cost
        assert cost is not None
        assert cost.kl == stored.kl[row]
        assert (cost.nll_ref, cost.nll_quant) == (stored.nll_ref[row], stored.nll_quant[row])
        assert cost.top_ref.token == stored.top_ref[row]
        assert cost.top_quant.token == stored.top_quant[row]
        assert cost.top_quant.logprob == stored.top_quant_logprob[row]
        assert cost.flipped == bool(stored.flips[row])


def test_the_text_is_that_of_the_chunks_with_their_first_tokens() -> None:
    view = read_token_view(token_run(chunks=(1, 2)).id)
    ids = np.tile(demo_ids(PROSE), 3)[LENGTH : 3 * LENGTH]
    assert view.ids.tolist() == ids.tolist()
    assert (view.model, view.corpus, view.notice) == ("demo", "wikitext-2-raw", "")
    assert view.settings == ("8", "4", "2")


def test_tokens_that_nothing_stores_are_missing_and_said_to_be() -> None:
    view = read_token_view(token_run(kept=False).id)
    assert np.flatnonzero(view.ids == MISSING).tolist() == [0, LENGTH, 2 * LENGTH]
    assert view.glyphs.text(0) == "·"
    assert view.facts("4", 0).text is None


def test_a_kept_text_that_is_another_is_not_taken() -> None:
    run = token_run()
    (kept,) = (cache_folder() / "tokens").iterdir()
    kept.unlink()
    token_run("Quite another text. " * 20)
    (cache_folder() / "tokens" / "tokens-garbage.npz").write_bytes(b"PK garbage")
    assert read_token_view(run.id).ids[0] == MISSING


@pytest.mark.parametrize(
    ("name", "setting", "place", "reason"),
    [
        ("stress", "4", 0, "nothing comes before it"),
        ("start", "4@9", 1, "the first 9 tokens run at full precision"),
        ("start", "4@9", 9, "the first 9 tokens run at full precision"),
        ("llama.cpp", "4", 16, "the second half of a chunk"),
        ("chunk", "2", LENGTH + 5, "this chunk is not scored under 2"),
        ("unknown", "3", 5, "this chunk is not scored under 3"),
    ],
)
def test_why_a_token_is_not_scored(name: str, setting: str, place: int, reason: str) -> None:
    if name == "llama.cpp":
        run = token_run(first=16, protocol="llama.cpp")
    else:
        run = token_run(settings="4,4@9,2", scored={"2": (0, 2)})
    view = read_token_view(run.id, (setting,))
    facts = view.facts(setting, place)
    assert facts.cost is None and reason in facts.unscored
    assert view.cost(setting).level[place] == UNSCORED
    if name in ("start", "llama.cpp"):
        after = 10 if name == "start" else 17
        assert view.facts(setting, after).cost is not None


def test_bos_stands_where_it_replaced_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    run = token_run(corpus={"bos_policy": "every-chunk"})
    assert read_token_view(run.id).ids[LENGTH] == MISSING
    real = run_tokens.read_spelling

    def with_bos(folder: Path, name: str, ids: set[int], *more: Any) -> SpelledTokens:
        return dataclasses.replace(real(folder, name, {*ids, 5}, *more), bos=5)

    monkeypatch.setattr(run_tokens, "read_spelling", with_bos)
    monkeypatch.setattr(run_tokens, "_spellings", run_tokens._Spellings())
    view = read_token_view(run.id)
    assert view.ids[::LENGTH].tolist() == [5, 5, 5]
    assert view.glyphs.text(LENGTH) not in ("·", " 5")


def test_ranks_shares_and_levels() -> None:
    kl = np.geomspace(1e-5, 5.0, LENGTH - 1)
    kl[:3] = (-1e-8, 0.0, 0.0)
    kl[-1] = math.inf
    view = read_token_view(token_run(chunks=(0,), settings="4", columns={"kl": kl}).id)
    cost = view.cost("4")
    assert cost.level[0] == UNSCORED
    assert cost.level[1:].tolist() == [sum(k >= edge for edge in LEVEL_EDGES) for k in kl]
    largest, smallest = view.facts("4", LENGTH - 1).cost, view.facts("4", 1).cost
    assert largest is not None and smallest is not None
    n = LENGTH - 1
    assert (largest.kl, largest.rank, largest.below) == (math.inf, 1, (n - 1) / n)
    assert (smallest.rank, smallest.below, smallest.scored) == (n, 0.0, n)
    # Equals share what is below them; the earlier ranks first.
    equal = [view.facts("4", place).cost for place in (2, 3)]
    assert [e and e.below for e in equal] == [1 / n, 1 / n]
    assert [e and e.rank for e in equal] == [n - 2, n - 1]
    assert [view.ranked("4", r) for r in (0, n - 1, n, -1)] == [LENGTH - 1, 1, None, None]


def test_every_setting_is_told_at_a_token() -> None:
    run = token_run(chunks=(0, 1), scored={"2": (1,)})
    view = read_token_view(run.id)
    facts = view.facts("4", 5)
    assert facts.settings == (
        ("8", view.facts("8", 5).cost),
        ("4", facts.cost),
        ("2", None),
    )
    assert dict(view.facts("4", LENGTH + 5).settings)["2"] == view.facts("2", LENGTH + 5).cost
    assert [name for name, _ in view.facts("k8v4", 5).settings] == ["8", "4", "2", "k8v4"]


def test_the_rank_is_the_place_in_the_ranking_for_every_token() -> None:
    kl = np.tile([0.5, 0.1, 0.5, math.inf, 0.1, 0.0], 6)[: LENGTH - 1]
    cost = read_token_view(token_run(chunks=(0,), settings="4", columns={"kl": kl}).id).cost("4")
    found = [cost.position(token) for token in cost.ranking.tolist()]
    kl = [float(own[0].kl[own[1]]) for own in found if own is not None]
    assert kl == sorted(kl, reverse=True)
    ranks = [cost.rank(*pair) for pair in zip(cost.ranking.tolist(), kl, strict=True)]
    assert ranks == list(range(1, LENGTH))


def test_flips_of_one_setting_alone() -> None:
    """Under 4 alone, under 4 and 2, under 2 alone, where 2 is not scored."""
    view = read_token_view(token_run(settings="8,4,2", chunks=(0, 1), scored={"2": (0,)}).id)
    for name, flips in (("8", [9]), ("4", [3, 5, 9, 20, LENGTH + 4]), ("2", [5, 7])):
        flipped = view.cost(name).flipped
        flipped[:] = False
        flipped[flips] = True

    def walk(setting: str, *others: str) -> list[int]:
        forward, at = [], -1
        while (found := view.own_flip_beside(setting, others, at, 1)) is not None:
            forward.append(at := found)
        back, at = [], len(view.ids)
        while (found := view.own_flip_beside(setting, others, at, -1)) is not None:
            back.append(at := found)
        assert forward == back[::-1]
        return forward

    assert view.rivals("4") == ("8", "2")
    assert walk("4", "8", "2") == [3, 20, LENGTH + 4]
    assert walk("4", "2") == [3, 9, 20]
    assert walk("4", "8") == [3, 5, 20, LENGTH + 4]
    assert walk("2", "4") == [7]
    assert walk("4") == []


def test_settings_that_share_their_numbers_are_no_rivals() -> None:
    run = token_run(settings="4,4~dequantized,8", same_as={"4~dequantized": "4"})
    view = read_token_view(run.id)
    assert view.rivals("4") == view.rivals("4~dequantized") == ("8",)


def test_the_text_is_searched_but_not_across_chunks_that_are_apart() -> None:
    near, apart = (read_token_view(token_run(chunks=chunks).id) for chunks in ((0, 1), (0, 2)))
    text = "".join(near.glyphs.texts[i] for i in near.glyphs.glyph.tolist())
    cells = near.glyphs.first[LENGTH]
    across = text[cells - 4 : cells + 4]
    (found,) = near.matches(across)
    assert LENGTH - 4 <= found < LENGTH
    assert apart.matches(across) == ()
    assert apart.matches("RIVER") != () and apart.matches("volcano") == ()


def test_a_setting_of_the_same_arithmetic_shows_what_the_other_stored() -> None:
    run = token_run(settings="4,4~dequantized", same_as={"4~dequantized": "4"})
    view = read_token_view(run.id)
    assert view.facts("4~dequantized", 5) == view.facts("4", 5)
    assert dict(view.facts("4", 5).settings)["4~dequantized"] == view.facts("4", 5).cost


def test_going_from_flip_to_flip_and_from_chunk_to_chunk() -> None:
    view = read_token_view(token_run(chunks=(0, 4, 9)).id)
    flips = np.flatnonzero(view.cost("4").flipped).tolist()
    assert len(flips) > 4
    forward, at = [], -1
    while (found := view.flip_beside("4", at, 1)) is not None:
        forward.append(at := found)
    back, at = [], len(view.ids)
    while (found := view.flip_beside("4", at, -1)) is not None:
        back.append(at := found)
    assert forward == flips == back[::-1]
    steps = [(0, 1), (31, 1), (64, 1), (0, -1), (5, -1), (32, -1)]
    assert [view.chunk_beside(*step) for step in steps] == [32, 32, None, None, 0, 0]
    assert view.first_scored("4", 4) == 33 and view.first_scored("4", 77) == 1


def test_top_tokens_complete_the_character_before_them() -> None:
    ids = demo_ids(HALVES)
    at = next(i for i in range(1, len(ids)) if view_bytes(ids[i - 1]) == b"\xc3")
    top = np.full(len(ids) - 1, ids[at], np.int32)
    other = np.full(len(ids) - 1, demo_ids("hello")[0], np.int32)
    columns = {"top_ref": top, "top_quant": other}
    run = token_run(HALVES, "4", length=len(ids), chunks=(0,), columns=columns)
    cost = read_token_view(run.id).facts("4", at).cost
    assert cost is not None
    assert cost.top_ref.text == "ï"
    assert cost.top_quant.text == view_bytes(other[0]).decode()
    elsewhere = read_token_view(run.id).facts("4", 1).cost
    assert elsewhere is not None and elsewhere.top_ref.text == "‹AF›"


def view_bytes(token: int) -> bytes:
    from scorer.demo import demo_model_path
    from scorer.text.tokens.tokenizer_file import load_tokenizer_file

    return load_tokenizer_file(demo_model_path()).token_bytes(int(token))


def test_a_character_is_joined_across_neighbouring_chunks_only() -> None:
    ids = demo_ids(HALVES)
    cut = next(i for i in range(1, len(ids)) if view_bytes(ids[i - 1]) == b"\xc3")
    view = read_token_view(token_run(HALVES, "4", length=cut, chunks=(0, 1)).id)
    assert (view.glyphs.text(cut - 1), view.glyphs.text(cut)) == ("ï", "₂")
    view = read_token_view(token_run(HALVES, "4", length=cut, chunks=(0, 2)).id)
    assert view.glyphs.text(cut - 1) == "‹C3›"


def test_with_another_tokenizer_a_run_shows_ids_and_says_why() -> None:
    view = read_token_view(token_run(identity={"tokenizer": "0" * 64}).id)
    assert "ids" in view.notice and "is another than the run's" in view.notice
    assert view.glyphs.text(3) == f" {view.ids[3]}"
    facts = view.facts("4", 3)
    assert facts.text is None and facts.cost is not None and facts.cost.top_ref.text is None


def test_a_model_that_is_gone_leaves_ids() -> None:
    view = read_token_view(token_run(model="org/gone").id)
    assert view.notice.startswith("tokens are shown as ids: ") and "org/gone" in view.notice


def test_a_run_without_positions_says_so() -> None:
    with pytest.raises(InputError, match="nothing of run"):
        read_token_view(token_run(settings="4", scored={"4": ()}).id)
    with pytest.raises(InputError, match="no run"):
        read_token_view("nonsense")


def test_positions_beyond_their_chunk_are_refused() -> None:
    run = token_run(settings="8,4", scored={"8": (0,), "4": ()})
    with run.open_writer() as writer:
        writer.append(CellKey("4", 1), positions_of(1, np.arange(40, dtype=np.int32)), ChunkFacts())
    with pytest.raises(InputError, match="position 38"):
        read_token_view(run.id)


def test_headings_say_what_a_chunk_cost() -> None:
    run = token_run(chunks=(0, 7), settings="4,2", scored={"2": (0,)})
    view: TokenView = read_token_view(run.id)
    stored = run.read()["4"][1][0]
    expected = f"chunk 7 · KL mean {stored.kl.mean():.3g} nats · {stored.flips.mean():.1%} flips"
    assert view.heading("4", 1) == expected.replace("%", " %")
    assert view.heading("2", 1) == "chunk 7 · not scored under 2"


def test_reading_a_run_imports_neither_mlx_nor_a_tokenizer() -> None:
    run = token_run()
    program = (
        "import sys; from qfid_tui.state.token_view import read_token_view; "
        f"read_token_view({run.id!r}); "
        "names = ('mlx', 'mlx_lm', 'transformers', 'tokenizers', 'textual'); "
        "print([name for name in names if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The built-in model with a decoder that makes more of a token than memory holds."""
    model = shutil.copytree(demo_model_path(), tmp_path / "model")
    edit_json(model / "tokenizer.json", lambda t: t.update(decoder=DECODER))
    monkeypatch.setattr(run_tokens, "_spellings", run_tokens._Spellings())
    monkeypatch.setattr(spelling, "_MEMORY", 32 << 20)
    return model


def test_a_tokenizer_that_takes_all_memory_leaves_ids(hostile: Path) -> None:
    run = token_run(model=str(hostile))
    view = read_token_view(run.id)
    assert view.notice.startswith("tokens are shown as ids: ") and "takes more than" in view.notice
    assert view.glyphs.text(3) == f" {view.ids[3]}"


def test_a_tokenizer_that_gave_no_answer_is_not_asked_again_at_once(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = token_run(model=str(hostile))
    first = read_token_view(run.id).notice
    monkeypatch.setattr(run_tokens, "read_spelling", None)
    assert read_token_view(run.id).notice == first
    monkeypatch.setattr(run_tokens, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(run_tokens, "read_spelling", lambda *_: SpelledTokens("", None, {}))
    assert "is another than the run's" in read_token_view(run.id).notice


def test_what_is_known_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[int]] = []

    def read(folder: Path, name: str, ids: set[int], *_: object) -> SpelledTokens:
        asked.append(set(ids))
        return SpelledTokens("0", None, {token: b"x" for token in ids})

    monkeypatch.setattr(run_tokens, "read_spelling", read)
    known = run_tokens._Spellings()
    for wanted in ({1, 2}, {2}, {2, 3}):
        found = known.read(demo_model_path(), "demo", wanted, lambda: False)
        assert wanted <= set(found.pieces)
    assert asked == [{1, 2}, {3}]


def test_text_that_is_too_much_to_lay_out_is_left_out() -> None:
    ids = np.zeros((2, 64), np.int32)
    some = run_tokens.Spelling({0: b"x" * 64}, bos=7)
    assert run_tokens.drawable(some, ids) is some
    much = run_tokens.Spelling({0: b"x" * (1 << 20)}, bos=7)
    found = run_tokens.drawable(much, ids)
    assert found.pieces == {} and found.bos == 7
    assert found.notice == "tokens are shown as ids: 128 of them come to 128 MiB of text"
