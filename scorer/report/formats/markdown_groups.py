"""Which settings can be told apart, in Markdown: the pairs, the letters, what was corrected for.

Pure standard library.
"""

from __future__ import annotations

from scorer.report.formats.inline import count, digits, interval, percent, plural, prose, table
from scorer.report.formats.short_names import ShortNames
from scorer.report.groups_part import GroupsPart
from scorer.report.tree import Report

_MANY_PAIRS = 15


def told_apart_lines(report: Report, names: ShortNames) -> list[str]:
    """The pairs, and the groups that they make; nothing where nothing was compared."""
    pairs = report.comparisons
    if not pairs:
        return letter_lines(report, names)
    listed = pairs
    if len(pairs) > _MANY_PAIRS:
        listed = tuple(pair for pair in pairs if pair.told_apart is not True)
    equal = len({pair.n_chunks for pair in pairs}) == 1
    computed_as = {row.setting: row.same_as or row.setting for row in report.settings}
    rows = []
    for pair in listed:
        apart, difference = pair.told_apart, pair.kl_mean_difference
        words = "not distinguishable on this text"
        if computed_as[pair.a] == computed_as[pair.b]:
            words = "same arithmetic here"
        elif apart is None or difference is None:
            words = "no interval"
        elif apart:
            lower = pair.a if difference < 0 else pair.b
            words = f"{names.code(lower)} drifts less"
        elif pair.below_noise_floor:
            words = "below the noise floor"
        rows.append(
            [
                f"{names.code(pair.a)} - {names.code(pair.b)}",
                digits(difference, sign=True),
                interval(pair.interval, sign=True),
                words,
                *([] if equal else [count(pair.n_chunks)]),
            ]
        )
    head = ["pair", "KL mean difference (nats)", "interval (nats)", "told apart?"]
    said = "**Told apart?** Differences paired over the chunks that both have"
    if equal:
        said = f"**Told apart?** Differences paired over {plural(pairs[0].n_chunks, 'chunk')}"
    else:
        head.append("chunks")
    if speaks_for := next((pair.label for pair in pairs if pair.label), ""):
        said += f", speaking for {speaks_for}"
    if len(listed) < len(pairs):
        rest = f"{len(pairs) - len(listed)} of {len(pairs)} pairs are"
        said += f"; {rest}, the others:" if listed else f"; all {len(pairs)} pairs are"
    lines = [said, "", *(table(head, rows, left=(0, 3)) if rows else []), ""]
    return [*lines, *_as_one_family(report), *letter_lines(report, names)]


def _as_one_family(report: Report) -> list[str]:
    """How the pairs were told apart together."""
    tested = sum(pair.p_value is not None for pair in report.comparisons)
    if tested < 2:
        return []
    return [
        f"{plural(tested, 'pair')} tested as one family, by Holm's method at 5 %{_looks(report)}; "
        "the intervals are simultaneous and 95 % sure together (Bonferroni). Holm's method is the "
        "sharper: it can tell a pair apart whose interval holds 0.",
        "",
    ]


def _looks(report: Report) -> str:
    """What else was corrected for, in a run that stops once it is settled."""
    part = report.stopping
    return "" if part is None else f", shared by {plural(len(part.looks), 'look')}"


def letter_lines(report: Report, names: ShortNames) -> list[str]:
    """The settings by their letters, and those without one; nothing without groups."""
    groups = report.groups
    if groups is None:
        return []
    lines = []
    if groups.letters:
        listed = "; ".join(
            f"{each.letter}: {', '.join(map(names.code, each.settings))}" for each in groups.letters
        )
        lines += [f"**Groups**, the least drift first: {listed}. {groups_rule(report, groups)}", ""]
    for without in groups.without_letter:
        which = ", ".join(map(names.code, without.settings))
        lines += [f"Without a letter: {which}: {prose(without.why)}.", ""]
    return lines


def groups_rule(report: Report, groups: GroupsPart) -> str:
    """What a letter means, and what was corrected for."""
    said = "Settings that share a letter cannot be told apart on this text"
    level = f"{percent(groups.level)}{_looks(report)}"
    if groups.n_pairs == 1:
        return f"{said}; one pair was tested, at {level}."
    if not groups.n_alike:
        found = f"all {groups.n_pairs} pairs are told apart"
    else:
        found = f"{groups.n_alike} of {groups.n_pairs} pairs are not told apart"
    return f"{said}; {found}, by {groups.correction}'s method over all at {level}."


def has_letters(report: Report) -> bool:
    """Whether settings have letters, so that tables have a column of them."""
    return report.groups is not None and bool(report.groups.letters)
