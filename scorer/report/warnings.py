"""What a reader must know before quoting a number of the report.

Pure standard library.
"""

from __future__ import annotations

from collections.abc import Sequence

from scorer.report.reworded import reworded
from scorer.runs.facts import RunFacts, SettingFacts
from scorer.spec.settings.base import Setting
from scorer.spec.thresholds import Verdict
from scorer.stats.intervals import FEW_CHUNKS

ABSURD_PERPLEXITY = 1000.0


def run_warnings(
    facts: RunFacts, perplexities: Sequence[float], chunks: Sequence[int]
) -> list[str]:
    """Warnings about the whole run, most serious first.

    Args:
        facts: Of the run.
        perplexities: Reference perplexity of each scored setting.
        chunks: Number of chunks of each scored setting, of those that were not dropped.
    """
    found = []
    if perplexities:
        found += _perplexity_warning(max(perplexities), facts)
    planned, least, most = len(facts.chunks), min(chunks, default=0), max(chunks, default=0)
    if 0 < least < planned:
        covers = str(least) if least == most else f"{least} to {most}"
        each = "" if least == most else ", each setting its own"
        found.append(f"unfinished run: this report covers {covers} of {planned} chunks{each}")
    if least == most:
        found += few_chunks_warning(least, facts)
    if facts.job.protocol != "mqf":
        found.append(
            f"protocol `{facts.job.protocol}` scores other positions than `mqf`: never rank "
            "reports of different protocols together"
        )
    if facts.job.roles:
        found.append(
            f"only what {' and '.join(facts.job.roles)} said counts: never rank these figures with "
            "those of other roles, or of every token"
        )
    return [*found, *facts.warnings]


def few_chunks_warning(n_chunks: int, facts: RunFacts) -> list[str]:
    """What to say of figures from so few chunks; nothing from 5 on."""
    if not 0 < n_chunks < FEW_CHUNKS:
        return []
    rough = "1 chunk gives no interval" if n_chunks == 1 else "the intervals are rough"
    return [
        f"few chunks: {rough}, and {n_chunks * facts.chunk_length} tokens of one text say "
        "little about another"
    ]


def _perplexity_warning(perplexity: float, facts: RunFacts) -> list[str]:
    unigram = facts.corpus.unigram_perplexity
    if perplexity > ABSURD_PERPLEXITY:
        bound = f"{ABSURD_PERPLEXITY:.0f}"
    elif unigram is not None and perplexity > unigram:
        bound = f"that of the text's own unigrams ({unigram:.4g})"
    else:
        return []
    return [
        f"the reference's perplexity {perplexity:.4g} is above {bound}: this text is far outside "
        "the model's domain, where perplexity has been seen to rank settings backwards"
    ]


def setting_warnings(
    facts: SettingFacts,
    setting: Setting,
    verdict: Verdict | None,
    perplexity_delta: float,
    n_infinite: int,
) -> list[str]:
    """Warnings about one setting.

    Args:
        facts: Of the setting.
        setting: The setting.
        verdict: Its verdict; None where it was not scored.
        perplexity_delta: Quantized minus reference perplexity; 0 where not scored.
        n_infinite: Positions of infinite KL.
    """
    found = []
    if skipped := facts.kv_layers_skipped:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(skipped.items()))
        found.append(
            f"partial coverage: {facts.kv_layers_quantized} of {facts.kv_layers_total} layers "
            f"quantized; kept at full precision: {kinds}"
        )
    if n_infinite:
        where = "1 position has" if n_infinite == 1 else f"{n_infinite} positions have"
        found.append(f"{where} infinite KL: a token the reference holds possible is ruled out")
    if verdict is not None and verdict != "good" and perplexity_delta < 0:
        found.append(
            f"perplexity is lower than the reference's, which is no sign of quality at verdict "
            f"`{verdict}`: judge `{setting.key}` by KL and flips"
        )
    return [*found, *reworded(facts.warnings)]
