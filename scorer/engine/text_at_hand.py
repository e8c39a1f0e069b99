"""Makes the text of a job be there before a process without the network reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator

from scorer.download.dataset import fetch_split
from scorer.download.dataset_files import cached_split
from scorer.spec.corpora import hub_text
from scorer.spec.events import Event, Loading
from scorer.spec.job import CorpusSpec, Job
from scorer.text.wikitext import cached_wikitext2, fetch_wikitext2, to_be_fetched


def text_at_hand(job: Job) -> Generator[Event, None, Job]:
    """Download the text of a job where it comes from the Hub and is not cached.

    Libraries that load models may not use the network, which is open until then.

    Returns:
        The job; a data set of the Hub is pinned to the commit that is read.

    Raises:
        CorpusNotCached: It could not be downloaded.
        InputError: The data set has no such part.
    """
    source = job.corpus.source
    if source == "wikitext2":
        fetched = to_be_fetched()
        if fetched is not None:
            yield Loading("corpus", fetched)
        if cached_wikitext2() is None:
            fetch_wikitext2()
    if (on_hub := hub_text(source)) is None:
        return job
    found = cached_split(on_hub)
    if found is None:
        yield Loading("corpus", f"{source} from the Hugging Face Hub, once")
        found = fetch_split(on_hub)
    return dataclasses.replace(job, corpus=CorpusSpec(found.text.source))
