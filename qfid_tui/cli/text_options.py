"""Which texts and lengths the options name: one run for each text at each length."""

from __future__ import annotations

import argparse

from qfid_tui.state.text_names import is_file, named_text
from qfid_tui.state.texts import TextAtLength
from scorer.common.errors import InputError
from scorer.models.resolve import DEMO
from scorer.spec.corpora import listed_lengths, listed_texts


def texts_at_lengths(args: argparse.Namespace) -> list[TextAtLength]:
    """Every text at every length, texts first.

    Paths are made absolute.

    Raises:
        InputError: A length is not a number, or a text has no name.
    """
    lengths = listed_lengths(args.chunk_length)
    return [(text, length) for text in texts_of(args) for length in lengths]


def texts_of(args: argparse.Namespace) -> list[str]:
    """The texts as jobs name them; the default for the model where none is named.

    Raises:
        InputError: A text has no name.
    """
    if args.corpus is None:
        return ["builtin" if args.model == DEMO else "wikitext2"]
    found = [named_text(text) for text in listed_texts(args.corpus, is_file)]
    if not found:
        raise InputError("--corpus names no text", "name one: wikitext2, code, or a file")
    return list(dict.fromkeys(found))


def only_text(args: argparse.Namespace) -> TextAtLength:
    """The only text and length.

    Raises:
        InputError: There are several.
    """
    found = texts_at_lengths(args)
    if len(found) > 1:
        raise InputError(
            "this command takes one text at one length",
            "`qfid kv` and `qfid weights` score several in turn",
        )
    return found[0]
