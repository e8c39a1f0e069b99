"""The options of a run: label, value, the values that left and right step through.

Pure standard library.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfid_tui.state.choices import CHUNKS, Choices
from qfid_tui.state.paths import absolute
from qfid_tui.state.text_names import CORPORA, text_name
from qfid_tui.state.texts import lengths_of, texts_of
from scorer.common.errors import InputError
from scorer.spec.corpora import hub_text, listed_lengths, listed_texts
from scorer.spec.job import FEWEST_REPEATS, SETTLED_ORDER, default_chunks, order_seed
from scorer.spec.ranks import Ranks, local_ranks, read_hostfile
from scorer.spec.roles import read_roles
from scorer.spec.settings.kv import GROUP_SIZES

if TYPE_CHECKING:
    from scorer.spec.geometry import KVGeometry

ALL = "all"
_LISTS = {"corpus": "texts", "chunk_length": "lengths"}
_PROTOCOLS = {"mqf": "every position (mqf)", "llama.cpp": "2nd halves (llama.cpp)"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        field: Name of the field of :class:`~qfid_tui.state.choices.Choices`.
        label: Its name on the screen.
        values: The values that left and right step through.
        shown: Formats a value.
        explained: One sentence about the option.
        typed: Parses a typed value; None if only ``values`` are possible.
    """

    field: str
    label: str
    values: tuple[Any, ...]
    shown: Callable[[Any], str]
    explained: str
    typed: Callable[[str], Any] | None = None


def _keys(bits: int | None) -> str:
    if bits is None:
        return "same as values"
    return "16 bit (full)" if bits == 16 else f"{bits} bit"


def _start(tokens: int) -> str:
    return "token 0 (hardest)" if tokens == 0 else f"token {tokens}"


def _text(source: str | tuple[str, ...] | None) -> str:
    listed = source if isinstance(source, tuple) else (source or "",)
    return " + ".join(map(text_name, listed))


def _length(length: int | tuple[int, ...]) -> str:
    return " + ".join(map(str, length if isinstance(length, tuple) else (length,)))


def _lengths_typed(text: str) -> int | tuple[int, ...]:
    found = listed_lengths(text)
    return found[0] if len(found) == 1 else found


def _count(number: int | None) -> str:
    return ALL if number is None else str(number)


def _number(text: str) -> int:
    try:
        return int(text.replace(" ", ""))
    except ValueError:
        raise InputError(f"`{text.strip()}` is not a whole number") from None


def _ranks(wanted: int | str) -> str:
    return Path(wanted).name if isinstance(wanted, str) else str(wanted)


def _ranks_typed(text: str) -> int | str:
    text = text.strip()
    if text.isdecimal():
        local_ranks(int(text))
        return int(text)
    path = absolute(text)
    read_hostfile(Path(path))
    return path


def chosen_ranks(choices: Choices) -> Ranks | None:
    """The processes that share a run; None for one.

    Raises:
        InputError: There cannot be so many, or the host file is none any more.
    """
    if isinstance(choices.ranks, int):
        return local_ranks(choices.ranks)
    found = read_hostfile(Path(choices.ranks))
    return found if len(found.hosts) > 1 else None


def _count_typed(text: str) -> int | None:
    return None if text.strip().lower() in (ALL, "") else _number(text)


def _roles_typed(text: str) -> str:
    text = text.strip()
    return "" if text.lower() in (ALL, "", "every token") else ",".join(read_roles(text))


def _text_typed(text: str) -> str | tuple[str, ...]:
    found = listed_texts([text.strip()], lambda name: Path(absolute(name)).is_file())
    named = tuple(dict.fromkeys(map(_one_text, found or ("",))))
    return named[0] if len(named) == 1 else named


def _one_text(text: str) -> str:
    if text in CORPORA or hub_text(text) is not None:
        return text
    path = absolute(text)
    if not text or not Path(path).is_file():
        raise InputError(
            f"there is no file `{text}`",
            "wikitext2, builtin, code, languages, a file's path, hf:org/name:split:column, or "
            "several with commas between",
        )
    return path


OPTIONS: tuple[Option, ...] = (
    Option(
        "group_size",
        "group size",
        GROUP_SIZES,
        str,
        "Elements that share a scale and a bias. Smaller: more exact and more bytes.",
    ),
    Option(
        "key_bits",
        "key bits",
        (None, 8, 16),
        _keys,
        "Bits of the keys: as many as the values have, or always 8 or 16, as in k8v4.",
    ),
    Option(
        "start",
        "quantize from",
        (0, 64, 128, 256),
        _start,
        "The first tokens run at full precision, then the whole cache is quantized.",
        _number,
    ),
    Option(
        "path",
        "attention",
        ("deployed", "dequantized"),
        str,
        "deployed: what mlx-lm computes. dequantized: the quantizer's own error alone.",
    ),
    Option(
        "corpus",
        "text",
        tuple(CORPORA),
        _text,
        "WikiText-2, built-in, code, a file of yours, hf:…; several with commas.",
        _text_typed,
    ),
    Option(
        "roles",
        "roles",
        ("", "assistant", "assistant,tool_call"),
        lambda roles: roles.replace(",", ", ") or "every token",
        "Of a chat file: count only what these roles said. Others: tool, user, system.",
        _roles_typed,
    ),
    Option(
        "chunk_length",
        "chunk length",
        (128, 256, 512, 1024, 2048, 4096),
        _length,
        "Tokens per chunk; several with commas show if the drift grows with it.",
        _lengths_typed,
    ),
    Option(
        "max_chunks",
        "chunks",
        (8, 16, 32, 64, 128, 256, None),
        _count,
        "How many chunks. More of them make the intervals narrower and the run longer.",
        _count_typed,
    ),
    Option(
        "chunks",
        "which chunks",
        ("spread", "first", SETTLED_ORDER),
        str,
        "spread: evenly over the text. first: from its beginning. random: by chance.",
    ),
    Option(
        "until_settled",
        "until settled",
        (False, True),
        lambda on: "stop when settled" if on else "off",
        "Stops once each setting is settled as good or worse; chunks in a random order.",
    ),
    Option(
        "protocol",
        "protocol",
        tuple(_PROTOCOLS),
        lambda name: _PROTOCOLS.get(name, name),
        "Positions that count: every one, or each chunk's second half as in llama.cpp.",
    ),
    Option(
        "noise_floor",
        "noise floor",
        (0, FEWEST_REPEATS, 8, 16),
        lambda n: "off" if n == 0 else f"{n} repeats",
        "Repeats with the last bit of the input changed: the KL of mere rounding. Slow.",
    ),
    Option(
        "ranks",
        "processes",
        (1, 2, 4, 8),
        _ranks,
        "Processes that share a run, one for each GPU; or a host file of mlx.launch.",
        _ranks_typed,
    ),
)


def value_of(choices: Choices, option: Option) -> Any:
    """The value in effect; for the corpus the model's default where none is chosen.

    Of several texts or lengths all.
    """
    if option.field == "corpus":
        listed: tuple[Any, ...] = texts_of(choices)
    elif option.field == "chunk_length":
        listed = lengths_of(choices)
    else:
        return getattr(choices, option.field)
    return listed if len(listed) > 1 else listed[0]


def possible(option: Option, geometry: KVGeometry | None) -> Sequence[Any]:
    """The values that left and right step through; only group sizes that fit the model's heads."""
    if option.field == "group_size" and geometry is not None and geometry.exact:
        return geometry.legal_groups() or option.values
    return option.values


def step(choices: Choices, option: Option, by: int, geometry: KVGeometry | None) -> Choices:
    """Choose the next value of an option; from a typed value, the nearest of the list.

    Args:
        choices: The choices now.
        option: The option.
        by: 1 for the next value, -1 for the previous one.
        geometry: The chosen model's; None if no model is chosen.

    Raises:
        InputError: The value contradicts another choice.
    """
    values = list(possible(option, geometry))
    now = value_of(choices, option)
    if now in values:
        index = (values.index(now) + by) % len(values)
    elif isinstance(now, int):
        numbers = [value if isinstance(value, int) else float("inf") for value in values]
        above = sum(number < now for number in numbers)
        index = (above if by > 0 else above - 1) % len(values)
    else:
        index = 0
    return put(choices, option, values[index])


def put(choices: Choices, option: Option, value: Any) -> Choices:
    """Choose a value of an option.

    Raises:
        InputError: The value contradicts another choice.
    """
    if option.field in _LISTS:
        several = value if isinstance(value, tuple) else ()
        first = value[0] if several else value
        lists = {option.field: first, _LISTS[option.field]: several}
        changed = dataclasses.replace(choices, **lists)
        changed = dataclasses.replace(changed, corpus=texts_of(changed)[0])
        changed = dataclasses.replace(changed, chunk_length=lengths_of(changed)[0])
    else:
        changed = dataclasses.replace(choices, **{option.field: value})
    if option.field == "corpus" and all(text in CORPORA for text in texts_of(changed)):
        # Nobody says anything in them.
        changed = dataclasses.replace(changed, roles="")
    if option.field == "protocol":
        stops = changed.until_settled
        order = default_chunks(value, changed.max_chunks, until_settled=stops)
        changed = dataclasses.replace(changed, chunks=order)
    elif option.field == "until_settled":
        # As many chunks as it takes, of the whole text.
        most = None if value else CHUNKS
        order = default_chunks(changed.protocol, most, until_settled=value)
        changed = dataclasses.replace(changed, chunks=order, max_chunks=most)
    elif option.field == "chunks" and order_seed(value) is None:
        # Only a random order may stop by what it sees.
        changed = dataclasses.replace(changed, until_settled=False)
    changed.check()
    return changed


def with_legal_group(choices: Choices, geometry: KVGeometry | None) -> Choices:
    """Choose the largest group size that the model's heads allow, if the chosen one is illegal."""
    legal = geometry.legal_groups() if geometry is not None and geometry.exact else ()
    if not legal or choices.group_size in legal:
        return choices
    smaller = (size for size in legal if size <= choices.group_size)
    return dataclasses.replace(choices, group_size=max(smaller, default=legal[0]))
