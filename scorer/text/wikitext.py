"""WikiText-2, the default corpus: the test split at a pinned revision, joined in two ways.

``mqf`` joins the rows with blank lines, as mlx-quant-fidelity does; ``llama.cpp`` restores
``wiki.test.raw`` byte for byte.
"""

from __future__ import annotations

import re
from pathlib import Path

from scorer.common.error_text import first_line
from scorer.common.errors import CorpusNotCached, InputError, QfidError
from scorer.common.offline import forbidden_by_user
from scorer.models.hub_cache import hub_folder
from scorer.spec.job import TextProtocol
from scorer.text.source_text import Document, Fetch, SourceText

REPO = "Salesforce/wikitext"
REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"
FILE = "wikitext-2-raw-v1/test-00000-of-00001.parquet"
RAW_SHA256 = "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08"
"""SHA-256 of ``wiki.test.raw``, the same split as one file."""

# Section headings have two or more ``=`` on each side. Two list items of formulas look like titles;
# their neighbouring rows distinguish them.
_TITLE = re.compile(r" = (?!= )(.*)(?<! =) = \n")
# The dataset separates a hyphen, comma or point inside a word or number by spaces and ``@``.
_JOINT = re.compile(r" @(.)@ ")


def read_wikitext2(
    protocol: TextProtocol = "mqf", *, path: Path | None = None, fetch: Fetch | None = None
) -> SourceText:
    """Read the test split of WikiText-2 (raw), 60 articles.

    Args:
        protocol: ``mqf`` joins the rows with a blank line. ``llama.cpp`` joins them without a
            separator, and an empty row becomes a line with one space.
        path: The Parquet file; None to take it from the local cache or download it.
        fetch: Downloads the file if it is not cached; None for the default download.

    Raises:
        CorpusNotCached: The file is not in the local cache and could not be downloaded.
        InputError: The cached file cannot be read.
    """
    from scorer.text.parquet import read_parquet_column

    path = path or cached_wikitext2() or fetch_wikitext2(fetch)
    rows = read_parquet_column(path, "text")
    if protocol == "llama.cpp":
        rows, separator = [row or " \n" for row in rows], ""
    else:
        separator = "\n\n"
    return SourceText.of(
        "wikitext-2-raw",
        separator.join(rows),
        article_starts(rows, separator),
        split="test",
        revision=REVISION,
    )


def article_starts(rows: list[str], separator: str) -> tuple[Document, ...]:
    r"""Return the start of each article: a `` = Title = `` row between two empty rows.

    Args:
        rows: Rows of the dataset; ``" \n"`` counts as empty.
        separator: Separator of the joined rows.

    Returns:
        Character offset of each title row in the joined text, and the title with `` @-@ `` replaced
        by ``-``. The first article starts at 0 if only empty rows precede it.
    """
    starts: list[Document] = []
    offset = 0
    blank_so_far = True
    for i, row in enumerate(rows):
        match = _TITLE.fullmatch(row)
        between = (i == 0 or not rows[i - 1].strip()) and (
            i + 1 < len(rows) and not rows[i + 1].strip()
        )
        if match and between:
            starts.append((0 if blank_so_far else offset, _JOINT.sub(r"\1", match[1])))
        blank_so_far = blank_so_far and not row.strip()
        offset += len(row) + len(separator)
    return tuple(starts)


def raw_article_starts(text: str) -> tuple[Document, ...]:
    """Return the start of each article of ``wiki.test.raw``, where a row is a line."""
    return article_starts([f"{line}\n" for line in text.split("\n")[:-1]], "")


def cached_wikitext2() -> Path | None:
    """Return the path of the pinned file in the local cache, or None. Uses no network."""
    path = hub_folder() / "datasets--Salesforce--wikitext" / "snapshots" / REVISION / FILE
    return path if path.is_file() else None


def to_be_fetched() -> str | None:
    """Describe the download that reading the text needs; None if cached or forbidden."""
    if cached_wikitext2() is not None or forbidden_by_user():
        return None
    return "WikiText-2 from the Hugging Face Hub (0.7 MB, once)"


def fetch_wikitext2(fetch: Fetch | None = None) -> Path:
    """Download the pinned file into the local cache.

    Args:
        fetch: Downloads it; None for the default download.

    Raises:
        CorpusNotCached: It could not be downloaded, or that is forbidden.
    """
    if forbidden_by_user():
        raise CorpusNotCached(
            "WikiText-2 is not in the local Hugging Face cache and `HF_HUB_OFFLINE` is set",
            "score the text that ships with qfid: --corpus builtin",
        )
    if fetch is None:
        from scorer.download.pull import fetch_dataset_file

        fetch = fetch_dataset_file
    try:
        path = fetch(REPO, FILE, REVISION)
    except InputError as error:
        raise CorpusNotCached(error.message, _BUILTIN_HINT) from error
    except QfidError:
        raise
    except Exception as error:  # the network stack may raise anything, and the hint is the same
        raise CorpusNotCached(
            f"WikiText-2 could not be downloaded: `{first_line(error)}`", _BUILTIN_HINT
        ) from error
    if not path.is_file():
        raise CorpusNotCached("WikiText-2 could not be downloaded", _BUILTIN_HINT)
    return path


_BUILTIN_HINT = "try again, or score the text that ships with qfid: --corpus builtin"
