"""The sets of weights of a run, loaded; those that are made of the reference, several at once.

MLX quantizes on one core of a CPU, so weights that are made of a reference in memory are made by a
thread each. A GPU makes one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scorer.device.backend import Backend
from scorer.device.stream_threads import each_in_threads
from scorer.device.threads import worker_count
from scorer.engine.candidates import CandidateWeights
from scorer.lm.load import LoadedModel
from scorer.lm.made_weights import holds_stored_values
from scorer.models.custom_code import Consent
from scorer.spec.events import Loading
from scorer.spec.settings.weights import MadeWeights


def load_candidates(
    candidates: Sequence[CandidateWeights],
    backend: Backend,
    arithmetic: str,
    allow_custom_code: Consent,
    reference: LoadedModel,
) -> Iterator[Loading]:
    """Load all of them; they fit together.

    Args:
        candidates: The weights.
        backend: The device.
        arithmetic: What computes attention and linear layers.
        allow_custom_code: Which Python files of the models' own may run.
        reference: The reference, loaded whole.

    Raises:
        InputError: Some do not load, or mlx-lm cannot make them.
    """
    in_memory = holds_stored_values(reference, backend)
    made = [
        candidate
        for candidate in candidates
        if in_memory and isinstance(candidate.source, MadeWeights) and not candidate.info.code
    ]
    residents = {candidate.name: reference for candidate in made}
    threads = min(worker_count(backend.kind), len(made))
    models: dict[str, LoadedModel] = {}
    if threads > 1:
        yield Loading("model", ", ".join(candidate.name for candidate in made))

        def make(candidate: CandidateWeights) -> None:
            models[candidate.name] = candidate.read(backend, False, reference)

        each_in_threads(make, made, threads)
    for candidate in candidates:
        model = models.get(candidate.name)
        if model is None:
            yield Loading("model", candidate.name)
            model = candidate.read(backend, allow_custom_code, residents.get(candidate.name))
        candidate.open(model, arithmetic)
