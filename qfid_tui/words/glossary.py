"""Explains every number and term on screen: meaning, unit, and which values are good."""

from __future__ import annotations

from dataclasses import dataclass

from scorer.spec.thresholds import KV, WEIGHTS

_GOOD, _FAIR = KV.good, KV.marginal


@dataclass(frozen=True, slots=True)
class Entry:
    """An explained term.

    Attributes:
        term: The term as on screen.
        meaning: One sentence.
        unit: Its unit, or "".
        good: Which values are good, or "".
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
            "The 99th percentile of the KL divergence: the tail, where text goes wrong first; its "
            "interval comes from the chunks' own percentiles while a run goes on, in a report from "
            "a bootstrap.",
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
            "The share of positions where the most likely next token differs from that with the "
            "full-precision cache.",
            "% of positions",
            _bounds(_GOOD.flip_rate, _FAIR.flip_rate, percent=True),
        ),
        Entry(
            "perplexity",
            "How badly the model predicts the text: the exponential of the mean negative "
            "log-probability of the tokens that follow in it.",
            "",
            "Lower is better; compare on the same text only",
        ),
        Entry(
            "Δppl",
            "The perplexity with the quantized cache minus that of the reference.",
            "that of perplexity",
            "Near 0 is good, but errors in both directions cancel, which KL still shows",
        ),
        Entry(
            "Δp",
            "The change in probability of the token that follows in the text.",
            "% points",
            "Near 0 is good",
        ),
        Entry(
            "top token",
            "The token that a model predicts as most likely, with its probability.",
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
            "satisfy.",
            "",
            f"Good: KL mean ≤ {_GOOD.kl_mean:g}, p99 ≤ {_GOOD.kl_p99:g}, "
            f"flips ≤ {100 * _GOOD.flip_rate:g} %; marginal: ≤ {_FAIR.kl_mean:g}, "
            f"≤ {_FAIR.kl_p99:g}, ≤ {100 * _FAIR.flip_rate:g} %; in a run with weights other "
            "bounds, see `w4`",
        ),
        Entry(
            "good?",
            "A verdict that is still open: a bound lies inside the interval of a metric that can "
            "change it, or a metric has no interval: one chunk, too few positions, or no "
            "differences between chunks.",
            "",
            "More chunks settle it; the estimated number is shown",
        ),
        Entry(
            "± interval, (low–high)",
            "The range that contains the true value for such text with 95 % confidence, from the "
            "differences between chunks, or documents if at least 5 are covered.",
            "that of its number",
            "Narrower is more certain; four times as many chunks halve it",
        ),
        Entry(
            "settled, look",
            "With the option `until settled` a run looks at 30 chunks, then at half as many again, "
            "and stops once all intervals of every setting lie within the bounds of good, or one "
            "beyond; they hold together, however early it stops.",
            "",
            "Not settled at the last chunk: this text cannot say",
        ),
        Entry(
            "difference; within, beyond, neither",
            "Of two runs that are compared: KL mean of a setting in the second less that in the "
            "first, over the chunks that both scored; whether its interval lies within a tenth of "
            "the first run's KL mean, beyond it, or neither.",
            "nats",
            "Within: the runs agree; neither: more chunks may tell",
        ),
        Entry(
            "not distinguishable",
            "Two settings whose difference over the same chunks may be chance (Holm's method, 5 % "
            "over all pairs of a table) or rounding.",
        ),
        Entry(
            "group, ≈",
            "Settings that share a letter are not distinguishable and those that share none are "
            "told apart or not compared.",
            "",
            "Letters come with the report, not while a run goes on: tested anew at every chunk, "
            "some would part by chance",
        ),
        Entry(
            "noise floor",
            "The effect of rounding on KL mean, p99 and flips: their spread when the last bit of "
            "the input embeddings is changed, with the upper end of its interval.",
            "that of its number",
            "Differences below the upper end are not ranked; other arithmetic can do more",
        ),
    ),
    "What it costs": (
        Entry(
            "KV bytes per token, B/token",
            "Bytes that the cache stores per token of context, including scales and biases, for a "
            "model deployed in 16 bit.",
            "bytes",
            "Smaller leaves room for more context",
        ),
        Entry(
            "of 16 bit",
            "KV bytes per token relative to a 16-bit cache without quantization.",
            "%",
            "Smaller leaves room for more context",
        ),
        Entry(
            "at 8k, 32k, 128k",
            "The size of the whole cache for this many tokens of context.",
            "bytes",
            "It must fit in memory beside the weights",
        ),
        Entry(
            "Pareto frontier",
            "The settings that no other of the same text, length, start, path and arithmetic beats "
            "on both KV bytes per token and KL mean, over the chunks they have in common.",
            "",
            "Choose among these",
        ),
        Entry(
            "total bytes",
            "What a model takes where it is to run: weights, the KV caches of all sequences at the "
            "context, and the peak of a prefill step.",
            "MB = 10⁶ bytes, GB = 10⁹, k = 1024 tokens",
            "A cell in brackets takes more than the memory chosen; the step shown is counted on",
        ),
        Entry(
            "◆ to run, • frontier",
            "In the grid: the cheapest cell that fits and is settled as good, else the best that "
            "fits; and the cells that no other beats on total bytes, each at its smallest step, "
            "and KL mean.",
        ),
        Entry(
            "cheapest good",
            "The setting with the fewest KV bytes per token among those whose verdict is good, "
            "with a question mark while that verdict is open.",
        ),
        Entry(
            "fits",
            "Whether weights, caches and temporary arrays of the run fit in the free memory, "
            "estimated before it starts.",
            "bytes",
            "✓ fits; otherwise take shorter chunks or a smaller model",
        ),
        Entry(
            "memory",
            "Memory in use by the scoring process, and memory of the device.",
            "bytes",
        ),
    ),
    "How it is run": (
        Entry(
            "reference",
            "The model as it is, with a full-precision cache; all numbers compare with it.",
        ),
        Entry(
            "setting",
            "A format of the cache: `8` is 8 bits in groups of 64, `4:32` 4 bits in groups of 32, "
            "`k8v4` 8 bits for keys and 4 for values, `4@512` a start, `4~dequantized` a path; of "
            "the weights: `w4`, `w=org/name`; or of both: `w4+8`.",
        ),
        Entry(
            "w4, wmxfp4, w=org/name, w4+8",
            "Weights instead of a format of the cache, made of the model's own as mlx_lm.convert "
            "would, or those of a copy in the cache or of a GGUF file, with a KV setting after the "
            "`+`; every row of a run with weights is judged by the bounds of weights.",
            "",
            f"Good up to KL mean {WEIGHTS.good.kl_mean:g}, p99 {WEIGHTS.good.kl_p99:g} and "
            f"{100 * WEIGHTS.good.flip_rate:g} % flips, marginal up to "
            f"{WEIGHTS.marginal.kl_mean:g}, {WEIGHTS.marginal.kl_p99:g} and "
            f"{100 * WEIGHTS.marginal.flip_rate:g} %",
        ),
        Entry(
            "bits per weight",
            "Bits of the whole model for each parameter, with scales and what is not quantized.",
            "bits",
            "Fewer is not always worse: mxfp8 at 8.25 drifts more than 6 bits affine",
        ),
        Entry(
            "interaction",
            "What weights and KV cache cost together beyond the sum of what each costs alone.",
            "nats",
            "Where it is not 0, adding the drifts of two tables can mislead",
        ),
        Entry(
            "group size",
            "How many neighbouring elements share one scale and one bias.",
            "elements",
            "Smaller is more exact and costs more bytes",
        ),
        Entry(
            "stress",
            "The cache is quantized from the first token on, a harder test than a chat.",
        ),
        Entry(
            "quantize from, deployment",
            "The first tokens have a full-precision cache, which is then quantized as a whole, as "
            "in mlx-lm; only later positions are scored.",
        ),
        Entry(
            "deployed",
            "The computation of mlx-lm: attention over the quantized codes.",
        ),
        Entry(
            "dequantized",
            "Keys and values are quantized and dequantized before ordinary attention: the error of "
            "the quantizer without that of a kernel for quantized attention.",
        ),
        Entry(
            "chunk",
            "A part of the text that starts with an empty cache; chunks do not overlap.",
            "tokens long, 512 by default",
        ),
        Entry(
            "spread, first",
            "Which chunks are scored: evenly spread over the text, or the first ones, which may be "
            "a single article.",
        ),
        Entry(
            "protocol",
            "How the text is cut and which positions are scored: mqf as in mlx-quant-fidelity, "
            "llama.cpp as in llama-perplexity; their numbers are never ranked together.",
        ),
        Entry(
            "position",
            "A token of a chunk after which the next one is predicted; a chunk of 512 has 511.",
        ),
        Entry(
            "roles",
            "Of a chat file, whose tokens count although all go through the model: what the "
            "assistant answered (with the token that ends its turn), its tool calls, what tools "
            "returned, user, system; `template` is what the chat template writes of its own.",
            "",
            "Figures of other roles are never ranked together",
        ),
        Entry(
            "document",
            "An article or a row of the text; chunks of one document are similar, so intervals use "
            "documents if there are 5 or more.",
        ),
    ),
    "While it runs": (
        Entry(
            "sparkline",
            "KL mean of each chunk, in the order of the text, on a log scale, the same for all "
            "rows that are ranked, whose ends are shown; flips on a linear scale from 0.",
            "nats",
        ),
        Entry(
            "┬●┴, ━",
            "In the charts of a setting: a mean with its 95 % interval, and the values of the "
            "setting that it is compared with.",
            "nats; positions",
        ),
        Entry(
            "_ · ^",
            "In a sparkline: 0 or below the scale, not scored yet or not a number, infinite.",
        ),
        Entry(
            "rate, time left",
            "Chunks scored per second, counted over all settings, and the time that the rest takes "
            "at that rate.",
            "chunks/s; minutes and seconds",
        ),
    ),
}
"""The terms by section, in reading order."""


def matching(words: str) -> dict[str, tuple[Entry, ...]]:
    """Return the sections with the entries that contain all words; empty sections are omitted."""
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
