"""How two runs differ, in Markdown. Pure standard library."""

from __future__ import annotations

from collections.abc import Iterator

from scorer.report.formats.inline import (
    ABSENT,
    code,
    count,
    digits,
    interval,
    percent,
    plural,
    table,
    text,
)
from scorer.report.run_diff_part import DiffSide, RunDiff, SettingDiff

_OUTCOMES = {"within": "within", "beyond": "**beyond**", "neither": "neither"}


def diff_markdown(diff: RunDiff) -> str:
    """The difference as Markdown, newline at the end."""
    lines = [f"# Two runs of {code(diff.a.model_id)}, paired", ""]
    lines += [_side("A", diff.a), _side("B", diff.b), ""]
    lines += [
        f"Scored in both: {text(diff.text)}, SHA-256 {code(diff.corpus_sha256)}, protocol "
        f"{code(diff.protocol)}, chunks of {plural(diff.chunk_length, 'token')}.",
        "",
        *_how(diff),
        *_settings(diff),
        *_flips(diff),
        *_keys(diff),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _side(name: str, side: DiffSide) -> str:
    revision = f" at revision {code(side.model_revision)}" if side.model_revision else ""
    return (
        f"- {name}: run {code(side.run)}, {code(side.model_id)}{revision}, "
        f"{plural(side.n_chunks, 'chunk')}{_stops(side)}, {text(side.device)}; "
        f"{text(side.arithmetic)}"
    )


def _stops(side: DiffSide) -> str:
    """That a run stops once it is settled, and whether it did; "" of any other."""
    if not side.looks:
        return ""
    of = f"of at most {count(side.looks[-1])}"
    if side.stopped_at is None:
        return f" {of}, not settled"
    if side.stopped_at == side.looks[-1]:
        return f" {of}: settled at the last look"
    return f" {of}: stopped once settled"


def _how(diff: RunDiff) -> list[str]:
    if not diff.how:
        said = "The runs were scored under the same conditions, as far as they say."
        return [f"**What is compared:** nothing. {said}", ""]
    rows = [[text(each.name), _value(each.a), _value(each.b)] for each in diff.how]
    said = "**What is compared:** these conditions, which differ; the rows of A and B are never "
    said += "ranked together."
    return [said, "", *table(["condition", "A", "B"], rows, left=(0, 1, 2)), ""]


def _value(value: str | None) -> str:
    return ABSENT if value is None else text(value)


def _settings(diff: RunDiff) -> list[str]:
    rows = [
        [
            code(each.setting),
            digits(each.kl_mean_a),
            digits(each.kl_mean_b),
            digits(each.difference, sign=True),
            interval(each.interval, sign=True),
            digits(each.within, significant=3),
            _OUTCOMES[each.outcome],
        ]
        for each in diff.settings
    ]
    head = ["setting", "KL mean A", "KL mean B", "B − A (nats)", "interval", "±", "interval lies"]
    lines = [*table(head, rows, left=(0, 6)), ""]
    return [*lines, *_basis(diff)]


def _basis(diff: RunDiff) -> Iterator[str]:
    """What the intervals rest on, once where all settings have the same."""
    over: dict[str, list[str]] = {}
    for each in diff.settings:
        said = f"{plural(each.n_positions, 'position')} of {plural(each.n_chunks, 'common chunk')}"
        more = [
            f"{name} has {count(side.n_chunks)}"
            for name, side in (("A", diff.a), ("B", diff.b))
            if side.n_chunks > each.n_chunks
        ]
        said += f" ({', '.join(more)})" if more else ""
        if each.n_units:
            said += f", intervals over {plural(each.n_units, each.unit)}"
        said += f", speaking for {each.label}" if each.label else ""
        over.setdefault(said, []).append(code(each.setting))
    for said, which in over.items():
        yield f"{said}." if len(over) == 1 else f"{', '.join(which)}: {said}."
        yield ""
    yield f"Differences are paired by chunk; ± is {diff.within}.{_together(diff)}"
    yield ""
    for name, settings in (("A", diff.only_a), ("B", diff.only_b)):
        if settings:
            yield f"Only in {name}, not compared: {', '.join(map(code, settings))}."
            yield ""


def _together(diff: RunDiff) -> str:
    """With what confidence the intervals hold, where that is not 95 % of a single one."""
    each = f"{percent(diff.settings[0].confidence, significant=6)} each"
    if diff.looks > 1:
        return (
            " A run that stops once it is settled chooses its chunks by what it sees, so these are "
            "no plain 95 % intervals: those of all settings hold together with 95 % whichever of "
            f"{diff.looks} looks the common chunks are from (Bonferroni: {each})."
        )
    if len(diff.settings) > 1:
        return f" Those of all settings hold together with 95 % (Bonferroni: {each})."
    return ""


def _flips(diff: RunDiff) -> list[str]:
    rows = [
        [
            code(each.setting),
            count(each.flips_a),
            count(each.flips_b),
            _of(each.flips_differ, each),
            _of(each.top_quant_differs, each),
            _of(each.top_ref_differs, each),
            digits(each.largest_change),
            digits(each.perplexity_ref_a, significant=6),
            digits(each.perplexity_ref_b, significant=6),
        ]
        for each in diff.settings
    ]
    head = [
        *("setting", "flips A", "flips B", "flips that differ", "top token differs"),
        *("reference's differs", "largest KL change", "perplexity ref. A", "ref. B"),
    ]
    return [*table(head, rows, left=(0,)), ""]


def _of(number: int, each: SettingDiff) -> str:
    return f"{count(number)} ({percent(number / each.n_positions, significant=2)})"


def _keys(diff: RunDiff) -> list[str]:
    keys: dict[tuple[str | None, str | None], list[str]] = {}
    for each in diff.settings:
        keys.setdefault((each.key_a, each.key_b), []).append(code(each.setting))
    parts = [f"{', '.join(which)}: A {_key(a)}, B {_key(b)}" for (a, b), which in keys.items()]
    return [f"Comparability keys: {'; '.join(parts)}.", ""]


def _key(key: str | None) -> str:
    return "not known" if key is None else code(key)
