"""The worst passages with their tokens coloured. Pure standard library but for Markdown."""

from __future__ import annotations

from scorer.report.formats.html_elements import Child, Element, cut, element
from scorer.report.formats.html_grid import level_of
from scorer.report.formats.html_parts import badge, folded, named, scored_rows, section
from scorer.report.formats.html_style import LEVELS
from scorer.report.formats.inline import count, digits, percent, plural
from scorer.report.formats.short_names import ShortNames
from scorer.report.passages import Passage, Passages, PassageToken, Wanted
from scorer.report.tree import Report

_LONGEST_TOKEN = 60
NEW_LINE = "⏎"
"""How a line break in a token is shown; the text goes on in the next line after it."""


def worst_passages_section(
    report: Report, passages: Passages, names: ShortNames, most: int
) -> Element | None:
    """The section of the worst passages; None where there is nothing to say.

    Args:
        report: The report.
        passages: What was found.
        names: How the settings are called.
        most: Passages of each setting.
    """
    found = passages.found if most else {}
    if not found and not passages.notice:
        return None
    children: list[Child] = (
        [
            element("p", *_intro(), class_="note"),
            _legend(),
        ]
        if found
        else []
    )
    if passages.notice:
        children.append(element("p", f"{passages.notice}", class_="call"))
    numbers = {row.setting: numbers for row, numbers in scored_rows(report)}
    for i, (setting, each) in enumerate(found.items()):
        verdict = badge(numbers[setting]) if setting in numbers else None
        head = element("h3", named(setting, names), " ", verdict)
        parts = [_passage(passage, names) for passage in each[:most]]
        if i == 0:
            children += [head, *parts]
        else:
            shown = min(most, len(each))
            children.append(
                folded(f"{cut(names.of(setting), 60)}: {plural(shown, 'passage')}", *parts)
            )
    if found and passages.left_out:
        children.append(
            element("p", f"{plural(passages.left_out, 'further setting')} left out.", class_="note")
        )
    return section("Where it drifts most", *children)


def _intro() -> list[Child]:
    return [
        "The text around the positions of the largest KL. The colour of a token tells the KL where "
        "it was predicted; ",
        element("span", "a wavy line", class_="f"),
        " that the most likely token changed there; a frame the largest KL of the passage.",
    ]


def _legend() -> Element:
    edges = [f"below {digits(LEVELS[0])}", *(f"from {digits(edge)}" for edge in LEVELS)]
    return element(
        "p",
        "KL (nats): ",
        *(element("span", edge, class_=f"k{i}") for i, edge in enumerate(edges)),
        class_="levels",
    )


def _passage(passage: Passage, names: ShortNames) -> Element:
    text: list[Child] = [] if passage.first else ["… "]
    for i, token in enumerate(passage.tokens):
        text.append(_token(token, worst=i == passage.worst))
    text += [] if passage.last else [" …"]
    worst = passage.tokens[passage.worst]
    return element(
        "div",
        element(
            "div",
            f"chunk {count(passage.chunk)}, position {count(passage.position)}: KL "
            f"{digits(worst.kl)} nats",
            class_="note",
        ),
        element("div", *text, class_="text"),
        element(
            "div",
            "In the text: ",
            element("code", _shown(worst.text, worst.token)),
            ". The reference wanted ",
            *_wanted(passage.reference),
            ", ",
            named(passage.setting, names),
            " wanted ",
            *_wanted(passage.quantized),
            ".",
        ),
        class_="passage",
    )


def _token(token: PassageToken, *, worst: bool) -> Element:
    shown = cut(token.text, _LONGEST_TOKEN) if token.text else f" {token.token}"
    kinds = [f"k{level_of(token.kl)}", *(["f"] if token.flipped else []), *(["w"] if worst else [])]
    children: list[Child] = []
    for line in shown.split(NEW_LINE):
        children += [NEW_LINE, element("br")] if children else []
        children.append(line)
    return element("span", *children, class_=" ".join(kinds), title=f"KL {digits(token.kl)} nats")


def _wanted(wanted: Wanted) -> list[Child]:
    return [
        element("code", _shown(wanted.text, wanted.token)),
        f" ({percent(wanted.probability, significant=3)})",
    ]


def _shown(text: str, token: int) -> str:
    return cut(text, _LONGEST_TOKEN) if text else f"#{token}"
