"""The drift on what each role of a chat text said. Pure standard library."""

from __future__ import annotations

from collections.abc import Sequence

from scorer.report.formats.inline import (
    ABSENT,
    count,
    digits,
    interval,
    percent,
    prose,
    table,
    text,
)
from scorer.report.formats.short_names import ShortNames
from scorer.report.role_values import RoleDrift
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import Report
from scorer.spec.roles import TEMPLATE, UNKNOWN

SIDE_BY_SIDE = 5
"""Settings of a table."""
Scored = tuple[SettingRow, SettingNumbers]
"""A setting and its numbers."""

_SAID = {
    TEMPLATE: "`template` is what the chat template writes of its own",
    UNKNOWN: "of `unknown` it cannot be told whose they are",
}


def role_table(numbers: SettingNumbers) -> list[str]:
    """Lines with the drift of one setting by role; none for a text without roles."""
    if not numbers.by_role:
        return []
    rows = [
        (
            _name(each),
            digits(each.kl_mean),
            interval(each.kl_mean_interval) if each.kl_mean_interval else ABSENT,
            digits(each.kl_p99),
            percent(each.flip_rate),
            digits(each.perplexity_quant - each.perplexity_ref, sign=True),
            count(each.n_positions),
        )
        for each in numbers.by_role
    ]
    head = ("role", "KL mean (nats)", "95 % interval", "p99 (nats)", "flips", "ppl Δ", "positions")
    return ["**Drift by role**", "", *table(head, rows), "", *_notes([numbers]), ""]


def role_tables(report: Report, names: ShortNames) -> list[str]:
    """Lines with the drift of every setting of a report by role; none for a text without roles."""
    scored = [(row, row.numbers) for row in report.settings if row.numbers is not None]
    if len(scored) == 1:
        return role_table(scored[0][1])
    parts = (scored[i : i + SIDE_BY_SIDE] for i in range(0, len(scored), SIDE_BY_SIDE))
    return [line for part in parts for line in roles_beside(part, names)]


def roles_beside(rows: Sequence[Scored], names: ShortNames) -> list[str]:
    """Lines with the drift of several settings by role; none for a text without roles."""
    roles = roles_of(rows)
    if not roles:
        return []
    body = []
    for role in roles:
        found = [role_of(numbers, role) for _, numbers in rows]
        first = next(each for each in found if each is not None)
        cells = [
            ABSENT
            if each is None
            else f"{digits(each.kl_mean)} · {percent(each.flip_rate, significant=3)}"
            for each in found
        ]
        body.append([_name(first), count(first.n_positions), *cells])
    head = ["role", "positions", *(names.code(row.setting) for row, _ in rows)]
    title = "**Drift by role** (KL mean in nats · flips)"
    return [title, "", *table(head, body), "", *_notes([n for _, n in rows]), ""]


def roles_of(rows: Sequence[Scored]) -> list[str]:
    """The roles of some settings, in the order of the first one that has them."""
    return list(dict.fromkeys(each.role for _, numbers in rows for each in numbers.by_role))


def role_of(numbers: SettingNumbers, role: str) -> RoleDrift | None:
    """The drift of a setting on a role; None where it has no position of it."""
    return next((each for each in numbers.by_role if each.role == role), None)


def _name(each: RoleDrift) -> str:
    return text(each.role) if each.counted else f"{text(each.role)} (does not count)"


def role_notes(rows: Sequence[SettingNumbers]) -> str:
    """What is to be known of a table by role, in prose."""
    found = [each for numbers in rows for each in numbers.by_role]
    parts = ["A position has the role of the token that it predicts"]
    parts += [said for role, said in _SAID.items() if any(each.role == role for each in found)]
    without: dict[str, list[str]] = {}
    for each in found:
        if each.note and each.role not in without.setdefault(each.note, []):
            without[each.note].append(each.role)
    parts += [f"{', '.join(f'`{role}`' for role in roles)}: {n}" for n, roles in without.items()]
    return f"{'; '.join(parts)}."


def _notes(rows: Sequence[SettingNumbers]) -> list[str]:
    return [prose(role_notes(rows))]
