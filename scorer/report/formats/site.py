"""One static page about many runs: no network, no script; readable light, dark and on a phone.

All text of runs is escaped. Pure standard library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from scorer._version import __version__
from scorer.common.inert_text import inert
from scorer.report.formats.inline import digits, plural
from scorer.report.formats.key_words import mode_text
from scorer.report.formats.markdown import bounds_words
from scorer.report.formats.weight_words import has_cache
from scorer.report.setting_row import SettingRow
from scorer.report.standings import Group, NotRanked, Standing, Standings
from scorer.report.tree import Report
from scorer.spec.thresholds import Thresholds

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:16px/1.5 system-ui,sans-serif;max-width:76rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem}h3{font-size:1rem}
p{max-width:46rem}code{overflow-wrap:anywhere}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .7rem;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
td.n,th.n{text-align:right}
tr:nth-child(even) td{background:var(--soft)}
""".strip()

_HEAD = (
    ("rank", True),
    ("setting", False),
    ("KL mean (nats)", True),
    ("p99 (nats)", True),
    ("flips (%)", True),
    ("verdict", False),
    ("group", False),
    ("KV bytes (%)", True),
    ("chunks", True),
    ("run", False),
)
_RULES = (
    "Rows are ranked within one key only: all that a figure depends on beside setting and chunks "
    "is equal. The rank counts the rows that are told apart as better: Holm's method at 5 % over "
    "all pairs of a table, paired on the chunks that both have; rows that share a letter cannot be "
    "told apart. It speaks for these passages only. KL mean is over the chunks that all rows of a "
    "table have, every other figure over all chunks of its row."
)


def to_site(found: Standings, runs: int, left_out: Sequence[tuple[str, str]] = ()) -> str:
    """The page as HTML.

    Args:
        found: The rows, ranked as far as they may be.
        runs: How many reports they are from.
        left_out: Runs that are not in it, and why.
    """
    sections = sorted(found.sections, key=lambda groups: _title(groups[0].first.report))
    body = [
        f"<h1>{plural(runs, 'run')}, side by side</h1>",
        f"<p>{escape(_RULES, quote=False)}</p>",
        *(line for groups in sections for line in _section(groups)),
        *_not_ranked(found.not_ranked),
        *_left_out(left_out, found.without_numbers),
        f"<p>Made with qfid {escape(__version__)}.</p>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>qfid: {plural(runs, 'run')}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n"
        "<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def _title(report: Report) -> str:
    corpus, job = report.run.corpus, report.run.job
    only = f", only {', '.join(job.roles)}" if job.roles else ""
    return (
        f"{report.reference.model_id} on {corpus.name}, chunks of {corpus.chunk_length} tokens, "
        f"protocol {job.protocol}{only}"
    )


def _section(groups: Sequence[Group]) -> Iterator[str]:
    yield f"<h2>{_shown(_title(groups[0].first.report))}</h2>"
    for place, group in enumerate(groups):
        yield f"<h3>{_shown(_how(group.first.report, group.row))}</h3>"
        yield f"<p>{' '.join(_about(group, groups[place - 1] if place else None))}</p>"
        bounds = list(dict.fromkeys(each.bounds for each in group.standings))
        yield from _table(_HEAD, (_cells(each, bounds) for each in group.standings))
        if len(bounds) > 1:
            # A run with weights judges all its rows by the bounds of weights.
            yield f"<p>{_shown(' '.join(_bounds(bounds)))}</p>"


def _about(group: Group, before: Group | None) -> Iterator[str]:
    """What a table rests on, and how it goes with the one before."""
    yield f"Key <code>{escape(group.key)}</code>; {plural(group.n_chunks, 'common chunk')}."
    if group.differs:
        yield f"Not ranked with the first table: {_shown('; '.join(group.differs))}."
    if before is not None and before.n_fewer:
        yield "The rows of the table above again, with more that have fewer chunks."
    if group.n_fewer:
        rows = plural(group.n_fewer, "row")
        are = "is" if group.n_fewer == 1 else "are"
        yield (
            f"Left out {are} {rows} with less than half of these chunks; the next table has "
            f"{'it' if group.n_fewer == 1 else 'them'} too, on the fewer chunks that all have."
        )
    if group.looks > 1:
        yield (
            "Some runs stop once they are settled: pairs are tested at a look's share of the 5 %, "
            f"1 of {group.looks}."
        )


def _bounds(bounds: Sequence[Thresholds]) -> Iterator[str]:
    """What the verdicts of a table are given by, where that is not the same for all rows."""
    yield "Verdicts with and without * are by other bounds: do not set one against the other."
    for mark, each in enumerate(bounds):
        yield f"{'*' * mark} {bounds_words(each)}".strip()


def _how(report: Report, row: SettingRow) -> str:
    run = report.run
    parts = [mode_text(row)] if has_cache(row) else []
    if row.path != "deployed":
        parts.append(f"{row.path} path")
    versions = [
        f"{name} {run.versions[name]}" for name in ("mlx", "mlx-lm") if name in run.versions
    ]
    return ", ".join([*parts, run.device.name, run.arithmetic.compute_dtype, *versions])


def _cells(standing: Standing, bounds: Sequence[Thresholds]) -> tuple[str, ...]:
    row, numbers = standing.row, standing.numbers
    more = len(standing.more_runs)
    share = row.kv_bytes_share
    return (
        str(standing.rank),
        f"<code>{_shown(_setting(row))}</code>",
        digits(standing.kl_mean, significant=3),
        digits(numbers.kl.p99, significant=3),
        digits(100 * numbers.flip_rate, significant=3),
        _shown(numbers.verdict_shown) + "*" * bounds.index(standing.bounds),
        standing.letters,
        "" if share is None else f"{100 * share:.0f}",
        str(row.n_chunks),
        _shown(standing.run) + (f" and {more} more" if more else ""),
    )


def _setting(row: SettingRow) -> str:
    """The setting, weights of a repo or folder by the last part of their name."""
    own = row.weights
    if own is None or own.model_id is None or not row.setting.startswith("w="):
        return row.setting
    return row.setting.replace(own.model_id, own.name, 1)


def _not_ranked(rows: Sequence[NotRanked]) -> Iterator[str]:
    if not rows:
        return
    yield "<h2>Not ranked</h2>"
    head = (("setting", False), ("KL mean (nats)", True), ("verdict", False), ("run", False),
            ("text", False), ("why", False))  # fmt: skip
    yield from _table(head, map(_unranked_cells, rows))


def _unranked_cells(each: NotRanked) -> tuple[str, ...]:
    numbers = each.row.numbers
    assert numbers is not None
    return (
        f"<code>{_shown(_setting(each.row))}</code>",
        digits(numbers.kl.mean, significant=3),
        _shown(numbers.verdict_shown),
        _shown(each.run),
        _shown(_title(each.report)),
        _shown(each.why),
    )


def _left_out(runs: Sequence[tuple[str, str]], without_numbers: int) -> Iterator[str]:
    if without_numbers:
        yield f"<p>{plural(without_numbers, 'setting')} of these runs without figures.</p>"
    if runs:
        yield "<h2>Left out</h2>"
        yield "<ul>"
        for name, reason in runs:
            yield f"<li>{_shown(name)}: {_shown(reason)}</li>"
        yield "</ul>"


def _table(head: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table; the cells are HTML already."""
    marks = [' class="n"' if number else "" for _, number in head]
    cells = (f"<th{mark}>{name}</th>" for (name, _), mark in zip(head, marks, strict=True))
    yield f'<div class="wide"><table><tr>{"".join(cells)}</tr>'
    for row in rows:
        cells = (f"<td{mark}>{cell}</td>" for cell, mark in zip(row, marks, strict=True))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</table></div>"


def _shown(text: str) -> str:
    return escape(inert(text))
