"""Whether the tokenizers of two model folders give the same ids, from their files.

``tokenizer.json`` is compared by meaning: other programs write it with other keys in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.common.regular_files import open_regular
from scorer.models.config import decode_object, read_object

SAMPLE = (
    "Hello world, it's 1234567 o'clock.\n\n\n  Two  spaces\tand a tab \u2014 \u201cquotes\u201d, "
    "na\u00efve cafe\u0301, \u4e2d\u6587\u5b57, \u0627\u0644\u0639\u0631\u0628\u064a\u0629, "
    "\u0939\u093f\u0928\u094d\u0926\u0940 \U0001f642\U0001f3fd\r\n"
    "def f(x_1): return x_1 == 'y' #!? <tag> WE'LL \u00bd \u2028 end \n"
)
"""A text in which classes of tokenizers are cut differently: digits, spaces, scripts, signs."""

_JSON = "tokenizer.json"
# Beside it, in the order of preference; both folders must have one of them.
_OTHERS = ("tokenizer.model", "spiece.model", "tiktoken.model", "vocab.json", "vocab.txt")
TOKENIZER_FILES = (_JSON, "tokenizer_config.json", *_OTHERS)
"""The files that are looked at."""

_MAX_BYTES = 1 << 29
# What decides how a text becomes ids, beside the vocabulary.
_RULES = ("normalizer", "pre_tokenizer", "post_processor")
_MODEL_RULES = (
    "type",
    "unk_token",
    "unk_id",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "fuse_unk",
    "byte_fallback",
    "ignore_merges",
)
# Values that a rule has where it is not written out.
# Of offsets, or of how ids become text again.
_NO_RULES = ("trim_offsets", "dropout")
_FLAGS = ("single_word", "lstrip", "rstrip")


def tokenizer_difference(reference: Path, candidate: Path) -> str | None:
    """How the tokenizer of a folder differs from that of another.

    Args:
        reference: Folder of the reference.
        candidate: Folder of the candidate.

    Returns:
        The difference, one line that speaks of the candidate as "its"; None if both give the same
        ids.

    Raises:
        InputError: One has no tokenizer, or one that cannot be read.
    """
    both_json = all((folder / _JSON).is_file() for folder in (reference, candidate))
    if both_json:
        if _same_files(reference, candidate):
            return None
        return _Meaning.read(reference).difference(_Meaning.read(candidate))
    for name in _OTHERS:
        if all((folder / name).is_file() for folder in (reference, candidate)):
            same = _content(reference / name) == _content(candidate / name)
            return None if same else f"its `{name}` is another"
    mine, theirs = (_tokenizer_file(folder) for folder in (reference, candidate))
    return f"its tokenizer is `{theirs}` and the reference's `{mine}`: they cannot be compared"


def token_texts(folder: Path) -> tuple[dict[int, str], frozenset[int]] | None:
    """The text of every token of a folder's tokenizer, as its files write it.

    Args:
        folder: Folder of a model.

    Returns:
        Id to text, and the ids of added tokens; None where there is no ``tokenizer.json``.

    Raises:
        InputError: A file cannot be read.
    """
    if not (folder / _JSON).is_file():
        return None
    meaning = _Meaning.read(folder)
    texts: dict[int, str] = {}
    for text, value in meaning.vocab.items():
        number = value[0] if isinstance(value, list) else value
        if type(number) is int:
            texts[number] = text
    added = {token[0]: token[1] for token in meaning.added if isinstance(token[1], str)}
    return texts | added, frozenset(added)


def _same_files(one: Path, other: Path) -> bool:
    """Whether the files that count are equal: much sooner known than what they mean."""
    paths = [folder / _JSON for folder in (one, other)]
    if not all(path.is_file() for path in paths):
        return False
    sizes = {path.stat().st_size for path in paths}
    if len(sizes) > 1 or len({_content(path) for path in paths}) > 1:
        return False
    return bool(_beside(one) == _beside(other))


def _tokenizer_file(folder: Path) -> str:
    for name in (_JSON, *_OTHERS):
        if (folder / name).is_file():
            return name
    raise InputError(f"`{folder}` has no tokenizer", "")


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What ``tokenizer.json`` means.

    Attributes:
        path: The file.
        vocab: Token to id, or to id and score.
        added: Added tokens: id, text, flags; by id.
        rules: How a text is cut, merges included.
    """

    path: Path
    vocab: dict[str, Any]
    added: list[list[Any]]
    rules: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> _Meaning:
        path = folder / _JSON
        whole = decode_object(_content(path), f"`{_JSON}`")
        model = whole.get("model")
        model = model if isinstance(model, dict) else {}
        rules = {name: _plain(whole.get(name)) for name in _RULES}
        # False, an empty text and nothing are the same.
        rules |= {name: model.get(name) or None for name in _MODEL_RULES}
        if rules["type"] is None and "merges" in model:
            rules["type"] = "BPE"
        rules["merges"] = _merges(model.get("merges"))
        return cls(path, _vocab(model.get("vocab")), _added(whole, folder), rules)

    def difference(self, other: _Meaning) -> str | None:
        """How another one differs; None if it gives the same ids."""
        if self.vocab != other.vocab:
            return _other_vocab(self.vocab, other.vocab)
        if self.added != other.added:
            return _other_added(self.added, other.added)
        if self.rules == other.rules:
            return None
        if self.rules["merges"] != other.rules["merges"]:
            return "its tokenizer merges other pairs"
        return _cut_otherwise(self.path, other.path)


def _other_vocab(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    if len(mine) != len(theirs):
        return f"its tokenizer has {len(theirs)} tokens and the reference's {len(mine)}"
    for token, value in mine.items():
        if token not in theirs:
            return f"its tokenizer has no token {shown(token)}"
        if (other := theirs[token]) != value:
            if isinstance(value, int) and isinstance(other, int):
                return (
                    f"its tokenizer gives {shown(token)} the id {other} and the reference's {value}"
                )
            return f"its tokenizer gives {shown(token)} another id or score"
    return "its tokenizer has other tokens"


def _other_added(mine: list[list[Any]], theirs: list[list[Any]]) -> str:
    for each in mine:
        if each not in theirs:
            return f"its tokenizer has no added token {shown(each[1])} of id {each[0]} like that"
    extra = next(each for each in theirs if each not in mine)
    return f"its tokenizer has an added token {shown(extra[1])} that the reference's lacks"


def _cut_otherwise(mine: Path, theirs: Path) -> str | None:
    """Rules that are written otherwise: do they cut a text otherwise?"""
    from tokenizers import Tokenizer

    try:
        first, second = (Tokenizer.from_file(str(path)) for path in (mine, theirs))
        if first.encode(SAMPLE).ids == second.encode(SAMPLE).ids:
            return None
        for word in SAMPLE.split():
            if first.encode(word).ids != second.encode(word).ids:
                return f"its tokenizer cuts {shown(word)} otherwise"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the library panics on an inconsistent file
        raise InputError(f"a `{_JSON}` cannot be read: {shown(str(error))}", "") from None
    return "its tokenizer cuts spaces otherwise"


def _vocab(vocab: Any) -> dict[str, Any]:
    if isinstance(vocab, dict):
        return vocab
    if isinstance(vocab, list):  # Unigram: pairs of text and score, in the order of their ids
        return {
            str(each[0]): [i, each[1]]
            for i, each in enumerate(vocab)
            if isinstance(each, list) and len(each) == 2
        }
    return {}


def _merges(merges: Any) -> list[str]:
    """Merges as texts of two parts, which older files have; newer ones have pairs."""
    listed = merges if isinstance(merges, list) else []
    return [" ".join(map(str, each)) if isinstance(each, list) else str(each) for each in listed]


def _added(whole: Mapping[str, Any], folder: Path) -> list[list[Any]]:
    """Tokens that a text is cut at first: of ``tokenizer.json``, and of the file beside it."""
    found: dict[int, list[Any]] = {}
    beside = _beside(folder)
    if isinstance(beside, dict):
        for index, token in beside.items():
            if index.isdecimal() and isinstance(token, dict):
                found[int(index)] = _token(int(index), token)
    listed = whole.get("added_tokens")
    for token in listed if isinstance(listed, list) else ():
        if isinstance(token, dict) and type(token.get("id")) is int:
            found[token["id"]] = _token(token["id"], token)
    return [token for _, token in sorted(found.items())]


def _beside(folder: Path) -> Any:
    path = folder / "tokenizer_config.json"
    return read_object(path).get("added_tokens_decoder") if path.is_file() else None


def _token(index: int, token: Mapping[str, Any]) -> list[Any]:
    flags = [bool(token.get(flag)) for flag in _FLAGS]
    normalized = token.get("normalized", not token.get("special"))
    return [index, token.get("content"), *flags, bool(normalized)]


def _plain(rule: Any) -> Any:
    """A rule without what has no effect, its defaults written out."""
    if isinstance(rule, list):
        return [_plain(each) for each in rule]
    if not isinstance(rule, dict):
        return rule
    for parts in ("normalizers", "pretokenizers", "processors"):
        # A sequence of one is the one.
        if isinstance(rule.get(parts), list) and len(rule[parts]) == 1:
            return _plain(rule[parts][0])
    if rule.get("type") == "ByteLevel" and "use_regex" not in rule:
        rule = rule | {"use_regex": True}
    return {name: _plain(value) for name, value in rule.items() if name not in _NO_RULES}


def _content(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"`{path.name}` cannot be read: {error.strerror or error}", "") from None
    if len(content) > _MAX_BYTES:
        raise InputError(f"`{path.name}` is larger than a tokenizer can be", "")
    return content
