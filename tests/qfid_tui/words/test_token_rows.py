"""What the panel of the inspector says at every size: the top tokens of all settings first."""

from __future__ import annotations

import math
from itertools import product

import pytest
from rich.cells import cell_len

from qfid_tui.pictures.token_glyphs import CharacterPart
from qfid_tui.state.token_view import Guess, TokenCost, TokenFacts
from qfid_tui.words.token_rows import other_settings, panel_rows, probability_text, wanted_rows

NAMES = ("8", "6", "k8v4", "4", "3", "2")


def cost(kl: float, top: str) -> TokenCost:
    reference = Guess(1, " dog", math.log(0.5))
    quantized = Guess(1 if top == " dog" else 2, top, math.log(0.25))
    return TokenCost(kl, 3, 1500, 0.9, 0.7, 1.4, reference, quantized)


def facts(names: tuple[str, ...] = NAMES, chosen: str = "4", **changes: object) -> TokenFacts:
    settings = tuple(
        (name, cost(0.5 / 10 ** (i + 1), f" {chr(97 + i)}")) for i, name in enumerate(names)
    )
    values = {"cost": dict(settings)[chosen], "settings": settings, **changes}
    return TokenFacts(7, 12, 99, " fox", (), **values)  # type: ignore[arg-type]


def lines(*arguments: object, **more: object) -> list[str]:
    rows = panel_rows(*arguments, **more)  # type: ignore[arg-type]
    return ["".join(text for text, _ in row) for row in rows]


@pytest.mark.parametrize(("width", "height"), [(78, 10), (58, 7), (42, 41)])
def test_every_setting_shows_kl_flip_and_top_token(width: int, height: int) -> None:
    shown = lines(facts(), "4", width, height)
    assert len(shown) <= height and all(cell_len(line) <= width for line in shown)
    text = "\n".join(shown)
    assert '" fox"' in shown[0] and '" dog" 50.0 %' in text and "▸ 4" in text
    for i, name in enumerate(NAMES):
        own = next(line for line in shown if f'flip " {chr(97 + i)}"' in line.replace("  ", " "))
        assert f"{name} " in own and f"{0.5 / 10 ** (i + 1):.3g}" in own
    assert "rank 3" in text


def test_numbers_of_the_token_itself_stand_beside_where_there_is_room() -> None:
    wide = lines(facts(), "4", 78, 10)
    assert all("25.0 %" in line for line in wide[4:]) and "24.7 %, NLL 1.4 nats" in wide[5]
    assert "49.7 %, NLL 0.7 nats" in wide[3]
    tall = lines(facts(), "4", 42, 41)
    assert sum("24.7 %, NLL 1.4 nats" in line for line in tall) == len(NAMES)
    # Two columns: the reference's and that of the setting that is looked at.
    assert "this token 49.7 %, 24.7 % under 4" in lines(facts(), "4", 78, 7)[2]


def test_a_flip_is_told_from_the_same_top_token_in_words() -> None:
    shown = lines(facts(settings=(("4", cost(0.5, " dog")),)), "4", 78, 10)
    assert "same" in shown[-1] and "flip" not in "".join(shown)


@pytest.mark.parametrize(
    ("width", "height"), [*product((20, 30, 58, 78), range(3, 20)), (1, 1), (7, 3)]
)
@pytest.mark.parametrize("count", [1, 2, 14])
def test_the_setting_that_is_looked_at_is_shown_at_any_size(
    width: int, height: int, count: int
) -> None:
    names = tuple(f"{i}:32" for i in range(count))
    for chosen in (names[0], names[-1]):
        shown = lines(facts(names, chosen), chosen, width, height)
        assert len(shown) <= max(3, height)
        if width >= 20:
            assert any("▸ " in line for line in shown)


@pytest.mark.parametrize(
    ("kl", "shown"), [(math.inf, "infinite"), (-1.234e-9, "-1.2e-09"), (1.234e-5, "1.23e-05")]
)
def test_any_kl_has_room(kl: float, shown: str) -> None:
    for width, height in ((58, 4), (42, 41)):
        settings = tuple((name, cost(kl, " a")) for name in NAMES)
        text = lines(facts(settings=settings), "4", width, height)
        assert sum(f" {shown} flip" in line for line in text) >= 2


def test_a_message_takes_the_place_of_the_rank_and_hides_no_setting() -> None:
    plain, said = (lines(facts(), "4", 78, 10, message=text) for text in ("", "no flip"))
    assert said[1] == "no flip" and "rank 3 of 1500" in plain[1]
    assert plain[2:] == said[2:]
    assert len(lines(facts(), "4", 58, 7, message="no flip")) <= 7


def test_a_token_that_one_setting_has_not_scored_says_why_beside_the_others() -> None:
    settings = (("4@9", None), ("4", cost(0.5, " a")))
    shown = lines(facts(settings=settings, cost=None, unscored="the reason"), "4@9", 78, 10)
    assert shown[1] == "not scored: the reason"
    assert "not scored here" in shown[-2] and '" a"' in shown[-1]
    nothing = (("4@9", None), ("4", None))
    shown = lines(facts(settings=nothing, cost=None, unscored="the reason"), "4", 78, 10)
    assert shown[1:] == ["not scored: the reason"]


def test_half_a_character_is_named_on_the_first_row() -> None:
    part = CharacterPart("ï", 2, 2)
    token = TokenFacts(7, 12, 99, "₂", (part,), facts().cost, facts().settings)
    assert "part 2 of 2 of ï" in lines(token, "4", 58, 7)[0]


def test_as_many_rows_are_wanted_as_are_filled() -> None:
    for count in (1, 3, 9):
        names = tuple(f"{i}" for i in range(count))
        height = wanted_rows(count)
        assert len(lines(facts(names, "0"), "0", 78, height)) == height


def test_other_settings_in_words() -> None:
    assert other_settings(["8"]) == "under 8"
    assert other_settings(["8", "6", "4"]) == "under 8, 6 or 4"
    assert other_settings(["8", "6", "4", "2"]) == "under any of the other 4 settings"
    assert other_settings([]) == ""


@pytest.mark.parametrize(
    ("logprob", "text"),
    [(0.0, "100 %"), (-1e-4, "99.990 %"), (-1.0, "36.8 %"), (-8.0, "0.0335 %"), (-1e4, "0 %")],
)
def test_probabilities_in_percent(logprob: float, text: str) -> None:
    assert probability_text(logprob) == text
