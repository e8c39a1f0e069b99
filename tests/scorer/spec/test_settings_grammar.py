"""The grammar of settings: every form in the definitions, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.common.errors import InputError
from scorer.spec.settings.grammar import SettingForm, SideForm, parse_form, split_list


def both(name: str, number: str, group: int | None = None, **params: str) -> dict[str, object]:
    side = SideForm(name, number, group, tuple(params.items()))
    return {"sides": (side, side)}


def apart(keys: SideForm, values: SideForm) -> dict[str, object]:
    return {"sides": (keys, values)}


EIGHT, FOUR = SideForm("", "8", None), SideForm("", "4", None)
# Every example of the definitions, and what each of its parts can be.
FORMS: dict[str, dict[str, object]] = {
    "8": both("", "8"),
    "4:32": both("", "4", 32),
    "k8v4": apart(EIGHT, FOUR),
    "k8v4:64": apart(SideForm("", "8", 64), SideForm("", "4", 64)),
    "k16v4": apart(SideForm("", "16", None), FOUR),
    "4@512": {**both("", "4"), "start": 512},
    "4~dequantized": {**both("", "4"), "path": "dequantized"},
    "8:32/4:64": apart(SideForm("", "8", 32), SideForm("", "4", 64)),
    "16/turboquant3": apart(SideForm("", "16", None), SideForm("turboquant", "3", None)),
    "turboquant4:seed=7/8": apart(SideForm("turboquant", "4", None, (("seed", "7"),)), EIGHT),
    "kivi2:32:r=128": both("kivi", "2", 32, r="128"),
    "mxfp8": both("mxfp8", ""),
    "nvfp4/mxfp4:32": apart(SideForm("nvfp4", "", None), SideForm("mxfp4", "", 32)),
    "turboquant3.5:a=1:b=x.y": both("turboquant", "3.5", None, a="1", b="x.y"),
    "8:keep=first2-last1": {**both("", "8"), "options": (("keep", "first2-last1"),)},
    "8:runtime=mlx-lm@5000": {
        **both("", "8"),
        "options": (("runtime", "mlx-lm"),),
        "start": 5000,
    },
    "k8v4:32:keep=first2:runtime=mlx-lm@9~dequantized": {
        **apart(SideForm("", "8", 32), SideForm("", "4", 32)),
        "options": (("keep", "first2"), ("runtime", "mlx-lm")),
        "start": 9,
        "path": "dequantized",
    },
    "kivi2:r=128:keep=first2": {
        **both("kivi", "2", None, r="128"),
        "options": (("keep", "first2"),),
    },
    "cache=pkg.mod:make:bits=4": {"cache": "pkg.mod:make:bits=4"},
    "cache=mod:Make@9": {"cache": "mod:Make", "start": 9},
    "recipe=./mix.json": {"recipe": "./mix.json"},
    "recipe=/a/b%2Cc.json@4": {"recipe": "/a/b%2Cc.json", "start": 4},
    "w4": {"weights": "w4"},
    "w4:32": {"weights": "w4:32"},
    "wmxfp4": {"weights": "wmxfp4"},
    "w4+8": {"weights": "w4", **both("", "8")},
    "w=org/name@1a2b3c+k8v4": {"weights": "w=org/name@1a2b3c", **apart(EIGHT, FOUR)},
    "w=./a%2Cb.gguf+4": {"weights": "w=./a%2Cb.gguf", **both("", "4")},
    "w=../model": {"weights": "w=../model"},
    "w4+recipe=./mix.json": {"weights": "w4", "recipe": "./mix.json"},
    # Names of mlx-quant-fidelity.
    "stock:4:64": both("", "4", 64),
    "affine:6:4": apart(SideForm("", "6", None), FOUR),
    "turboquant:4:7": both("turboquant", "4", None, seed="7"),
}


@pytest.mark.parametrize("text", FORMS)
def test_every_form_is_cut_into_its_parts(text: str) -> None:
    assert parse_form(text) == SettingForm(text, **FORMS[text])  # type: ignore[arg-type]
    assert parse_form(f" {text}\n") == parse_form(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("8", "kv"),
        ("kivi2/8", "kv"),
        ("w4", "weights"),
        ("w4+8", "weights"),
        ("w4+recipe=./x", "weights"),
        ("cache=a:b", "cache"),
        ("recipe=./x", "recipe"),
    ],
)
def test_the_form_says_its_kind(text: str, kind: str) -> None:
    assert parse_form(text).kind == kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4:",
        "k8",
        "k8v4/8",
        "4@-1",
        "4@",
        "4~",
        "4~De",
        "8 4",
        "8;4",
        "8@1:32",
        "8~dequantized@1",
        "8:x=1",
        "8:keep=",
        "8:keep=a/4",
        "8:32:64",
        "8/4/2",
        "/8",
        "8/",
        "٤",
        "Kivi2",
        "kivi2:r=",
        "kivi-:32",
        "w",
        "w=",
        "w4+",
        "w4+w4",
        "w4@9",
        "4+w4",
        "wmxfp5",
        "w=name",
        "w=./a,b",
        "w=./a b",
        "cache=a",
        "cache=a:b:4",
        "cache4",
        "recipe=x.json",
        "recipe=./a@b@1",
        "recipe4",
        "keep4",
        "runtime",
        "k",
    ],
)
def test_what_follows_no_rule_is_no_setting(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_form(text)
    assert caught.value.message == f"`{text}` is not a setting"
    expected = "w=org/name" if text.startswith("w=") else "8, 4:32, k8v4, 4@512"
    assert expected in caught.value.hint


@pytest.mark.parametrize(
    "text", ["4@9999999999", "12345678901", "k1234567890v4", "4:1234567890", "kivi1.1234567890"]
)
def test_absurd_numbers_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="holds an absurd number"):
        parse_form(text)


@given(st.text() | st.text("0123456789kv:@~/=wacheripmxf.,-+ ", max_size=24))
def test_any_text_is_cut_or_refused(text: str) -> None:
    try:
        form = parse_form(text)
    except InputError as error:
        assert error.message.endswith(("is not a setting", "holds an absurd number"))
        return
    assert form == parse_form(form.text) and form.text == text.strip()


def test_a_list_is_cut_at_its_commas() -> None:
    assert split_list(" 8 ,4:32,, w=./a%2Cb+4,") == ["8", "4:32", "w=./a%2Cb+4"]
    for empty in ("", " , "):
        with pytest.raises(InputError, match="no setting was given"):
            split_list(empty)
