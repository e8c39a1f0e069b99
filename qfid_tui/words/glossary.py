"""Every number and word on screen explained in a sentence: what it is, its unit, what is good."""

from __future__ import annotations

from dataclasses import dataclass

from scorer.spec.thresholds import KV

_GOOD, _FAIR = KV.good, KV.marginal


@dataclass(frozen=True, slots=True)
class Entry:
    """One explained term.

    Attributes:
        term: As it stands on screen.
        meaning: One sentence.
        unit: Its unit, "" where it has none.
        good: A sentence on which values are good, "" where none is better than another.
    """

    term: str
    meaning: str
    unit: str = ""
    good: str = ""


def _bounds(good: float, marginal: float, percent: bool = False) -> str:
    if percent:
        return f"Good up to {100 * good:g} %, marginal up to {100 * marginal:g} %"
    return f"Good up to {good:g}, marginal up to {marginal:g}"


GLOSSARY: dict[str, tuple[Entry, ...]] = {
    "What is measured": (
        Entry(
            "KL divergence",
            "How far the quantized cache moves the model's prediction of the next token away from "
            "the prediction with a full-precision cache, at one position and over the whole "
            "vocabulary.",
            "nats",
            "0 is no difference, smaller is better",
        ),
        Entry(
            "KL mean",
            "The average KL divergence over all scored positions.",
            "nats",
            _bounds(_GOOD.kl_mean, _FAIR.kl_mean),
        ),
        Entry(
            "p99",
            "The KL divergence that 99 of 100 positions stay below: the tail, where text goes "
            "wrong first.",
            "nats",
            _bounds(_GOOD.kl_p99, _FAIR.kl_p99),
        ),
        Entry(
            "median, max",
            "The KL divergence in the middle of all positions, and the largest single one.",
            "nats",
            "Smaller is better",
        ),
        Entry(
            "flips",
            "The share of positions where the most likely next token is another one than with the "
            "full-precision cache.",
            "% of positions",
            _bounds(_GOOD.flip_rate, _FAIR.flip_rate, percent=True),
        ),
        Entry(
            "perplexity",
            "How surprised the model is by the text itself: the exponential of the mean negative "
            "log-probability of the tokens that really follow.",
            "",
            "Lower is better; compare on the same text only",
        ),
        Entry(
            "Δppl",
            "The perplexity with the quantized cache less that of the reference.",
            "that of perplexity",
            "Near 0 is good, but errors up and down cancel in it and hide what KL shows",
        ),
        Entry(
            "Δp",
            "How much the probability of the token that really follows has changed.",
            "% points",
            "Near 0 is good",
        ),
        Entry(
            "top token",
            "The token that a model finds most likely next, with its probability.",
            "probability, 0 to 1",
        ),
        Entry(
            "by depth",
            "KL mean by position in the chunk: whether errors grow as the cache fills.",
            "nats",
            "A low, flat curve is good",
        ),
    ),
    "Verdict": (
        Entry(
            "verdict",
            "✓ good, ~ marginal or ✗ bad: the best of them whose bounds KL mean, p99 and flips all "
            "keep.",
            "",
            f"Good: KL mean ≤ {_GOOD.kl_mean:g}, p99 ≤ {_GOOD.kl_p99:g}, "
            f"flips ≤ {100 * _GOOD.flip_rate:g} %; marginal: ≤ {_FAIR.kl_mean:g}, "
            f"≤ {_FAIR.kl_p99:g}, ≤ {100 * _FAIR.flip_rate:g} %",
        ),
        Entry(
            "good?",
            "A verdict that is still open: a bound lies inside the interval of a number that "
            "decides.",
            "",
            "More chunks settle it; about how many is shown",
        ),
        Entry(
            "± interval",
            "The range that holds the true value for such text with 95 % confidence, from how "
            "chunks differ, or documents where at least 5 are covered.",
            "that of its number",
            "Narrower is surer; four times the chunks halve it",
        ),
        Entry(
            "not distinguishable",
            "Two settings whose difference, chunk by chunk on the same text, could as well be 0.",
        ),
        Entry(
            "noise floor",
            "The KL that rounding alone makes: its spread when the last bit of the input "
            "embeddings is changed.",
            "nats",
            "A KL mean below it says nothing",
        ),
    ),
    "What it costs": (
        Entry(
            "KV bytes per token, B/token",
            "What the cache stores for each token of context, scales and biases included, at the "
            "16-bit dtype models are deployed with.",
            "bytes",
            "Smaller leaves room for more context",
        ),
        Entry(
            "of 16 bit",
            "KV bytes per token as a share of those of a cache without quantization.",
            "%",
            "Smaller leaves room for more context",
        ),
        Entry(
            "at 8k, 32k, 128k",
            "The size of the whole cache with so many tokens of context.",
            "bytes",
            "It must fit beside the weights",
        ),
        Entry(
            "Pareto frontier",
            "The settings that no other beats on both KV bytes per token and KL mean.",
            "",
            "Choose among these",
        ),
        Entry(
            "cheapest good",
            "The setting with the fewest KV bytes per token among those whose verdict is good, "
            "with a question mark while that verdict is open.",
        ),
        Entry(
            "fits",
            "Whether weights, caches and the work of the run stay within the memory that is free, "
            "estimated before it starts.",
            "bytes",
            "✓ fits; otherwise take shorter chunks or a smaller model",
        ),
        Entry(
            "memory",
            "What the scoring process holds now, against what the device has.",
            "bytes",
        ),
    ),
    "How it is run": (
        Entry(
            "reference",
            "The same model and weights with a full-precision cache; every number is a difference "
            "from it.",
        ),
        Entry(
            "setting",
            "One way to store the cache: `8` is 8 bits in groups of 64, `4:32` 4 bits in groups of "
            "32, `k8v4` 8 bits for keys and 4 for values, `4@512` a start, `4~dequantized` a path.",
        ),
        Entry(
            "group size",
            "How many neighbouring elements share one scale and one bias.",
            "elements",
            "Smaller is more exact and costs more bytes",
        ),
        Entry(
            "stress",
            "The cache is quantized from the first token on: harsher than a chat.",
        ),
        Entry(
            "deployment, full until",
            "The first tokens run at full precision, then the whole cache converts, as mlx-lm "
            "does; only positions after that are scored.",
        ),
        Entry(
            "deployed",
            "The path that mlx-lm runs: attention straight over the quantized codes.",
        ),
        Entry(
            "dequantized",
            "The path that quantizes, restores and attends as usual: the quantizer's own error "
            "without that of a quantized kernel.",
        ),
        Entry(
            "chunk",
            "A piece of the text that starts with an empty cache; chunks do not overlap.",
            "tokens long, 512 by default",
        ),
        Entry(
            "spread, first",
            "Which chunks are scored: evenly spread over the whole text, or those at its start, "
            "which may be a single article.",
        ),
        Entry(
            "protocol",
            "How the text is cut and which positions count: mqf is that of mlx-quant-fidelity, "
            "llama.cpp that of llama-perplexity; their numbers are never ranked together.",
        ),
        Entry(
            "position",
            "One token of a chunk at which the next is predicted; a chunk of 512 has 511.",
        ),
        Entry(
            "document",
            "An article or a row of the text; chunks of one document are alike, so intervals "
            "count documents where there are 5 or more.",
        ),
    ),
    "While it runs": (
        Entry(
            "sparkline",
            "KL mean of each chunk on a log scale that all rows share, its ends beside it; flips "
            "from 0, linear.",
            "nats",
        ),
        Entry(
            "_ · ^",
            "In a sparkline: 0 or below the scale, missing, infinite.",
        ),
        Entry(
            "rate, time left",
            "Chunks scored per second, all settings counted together, and how long the rest takes "
            "at that rate.",
            "chunks/s; minutes and seconds",
        ),
    ),
}
"""The terms by section, in the order they are read."""


def matching(words: str) -> dict[str, tuple[Entry, ...]]:
    """The sections with the entries that hold every one of the words; empty sections left out."""
    wanted = words.casefold().split()
    found = {}
    for section, entries in GLOSSARY.items():
        kept = tuple(entry for entry in entries if _holds(section, entry, wanted))
        if kept:
            found[section] = kept
    return found


def _holds(section: str, entry: Entry, words: list[str]) -> bool:
    text = f"{section} {entry.term} {entry.meaning} {entry.unit} {entry.good}".casefold()
    return all(word in text for word in words)
