"""Short names of settings: the repo or folder of weights by its last part. Standard library."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from scorer.common.inert_text import inert
from scorer.report.formats.inline import code, prose
from scorer.report.tree import Report
from scorer.spec.settings.base import Setting
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import (
    StoredWeights,
    WeightsSetting,
    WeightsSource,
    sources_of,
    weights_of,
)


@dataclass(frozen=True, slots=True)
class ShortNames:
    """How the settings of a report are called where room is short.

    Attributes:
        names: Notation to short name, of the settings and weights that have one.
    """

    names: dict[str, str] = field(default_factory=dict)

    def of(self, setting: str) -> str:
        """The name of a setting, or of weights, in notation."""
        return self.names.get(setting, setting)

    def code(self, setting: str) -> str:
        """The same as a code span."""
        return code(self.of(setting))

    def prose(self, sentence: str) -> str:
        """A sentence of ours, with settings in backticks."""
        return prose(sentence, self.names)

    def plain(self, sentence: str) -> str:
        """A sentence of ours as plain text, with settings in backticks."""
        parts = sentence.split("`")
        named = (self.of(part) if i % 2 else part for i, part in enumerate(parts))
        return "`".join(named)


def short_names(report: Report) -> ShortNames:
    """The short names of a report's settings; none where no weights have a long one.

    Weights that would be called alike keep their notation.

    Raises:
        InputError: A setting is not valid notation.
    """
    if report.grid is None:
        return ShortNames()
    settings = [parse_setting(row.setting) for row in report.settings]
    sources = sources_of(settings)
    taken = Counter(source.name for source in sources)
    short = {
        source.key: inert(source.name)
        for source in sources
        if isinstance(source, StoredWeights) and taken[source.name] == 1
    }
    return ShortNames(short | {s.key: _short(s, short) for s in settings if _named(s, short)})


def _named(setting: Setting, short: dict[str, str]) -> bool:
    source = weights_of(setting)
    return source is not None and source.key in short


def _short(setting: Setting, short: dict[str, str]) -> str:
    assert isinstance(setting, WeightsSetting)
    source: WeightsSource = setting.source
    return short[source.key] + ("" if setting.cache is None else f"+{setting.cache.key}")
