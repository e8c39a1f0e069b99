"""What a forward pass on the CPU takes, beside the matrix products in it.

Passes run on all cores at once, a worker each, as in a run. The floor is what as many threads take
for as many floating-point operations of nothing but products.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from scorer.bench.passes import bare_tail, batches_of
from scorer.device.streams import lent_cpu_stream
from scorer.device.threads import Busy, single_threaded_numpy_blas
from scorer.lanes.base import ReferenceLane, completed
from scorer.lm.model_handle import ModelHandle

if TYPE_CHECKING:
    from scorer.bench.subject import Subject

# Rows, inner elements and columns of a product that stays in the caches as those of layers do.
_SHAPE = (512, 1024, 4096)
_PRODUCTS = 4


def beside_products(subject: Subject, workers: int, repeats: int) -> dict[str, Any] | None:
    """Time passes of the reference on all cores, and products alone.

    Args:
        subject: What is run.
        workers: Threads.
        repeats: The fastest of so many counts.

    Returns:
        JSON values: ``workers``; ``pass_s``, seconds a pass where all cores run one; ``pass_flop``,
        the floating-point operations of its products; ``flop_per_s`` of all cores; ``ratio``, the
        pass ÷ its products. None where the products of the model cannot be counted.
    """
    batch = next(batches_of(subject))
    size, length = batch.ids.shape
    flop = product_flop(subject, size * (length - 1))
    if not flop:
        return None
    splits = [subject.model.split.copied() for _ in range(workers)]
    subjects = [replace(subject, reference=ReferenceLane(ModelHandle(split))) for split in splits]

    def passes(own: Subject) -> None:
        states, _ = completed(own.reference.begin(mx.array(batch.ids[:, :-1])))
        bare_tail(own, states)

    pass_s = min(_at_once([_bound(passes, own) for own in subjects]) for _ in range(repeats + 1))
    products = [_products() for _ in range(workers)]
    with single_threaded_numpy_blas:
        product_s = min(_at_once(products) for _ in range(repeats + 1))
    rows, inner, columns = _SHAPE
    rate = workers * _PRODUCTS * 2 * rows * inner * columns / product_s
    return {
        "workers": workers,
        "pass_s": pass_s / workers,
        "pass_flop": flop,
        "flop_per_s": rate,
        "ratio": pass_s / workers / (flop / rate),
    }


def product_flop(subject: Subject, tokens: int) -> int:
    """Floating-point operations of the products of a pass over so many tokens; 0 if not known.

    Two for each weight of a linear layer and token, the output layer included; attention's products
    are left out.
    """
    module = subject.model.split.model
    found, heads = 0, False
    for _, child in module.named_modules():
        if isinstance(child, nn.Linear):
            found += child.weight.size
            heads |= child.weight.shape[0] == subject.vocab
        elif not isinstance(child, nn.Embedding) and any(
            isinstance(value, mx.array) and value.ndim > 1 for value in child.values()
        ):
            return 0
    if not heads:
        # The output layer is the table of the embeddings.
        found += max(
            (c.weight.size for _, c in module.named_modules() if isinstance(c, nn.Embedding)),
            default=0,
        )
    return 2 * found * tokens


def _bound(work: Callable[[Subject], None], subject: Subject) -> Callable[[], None]:
    return lambda: work(subject)


def _at_once(work: list[Callable[[], None]]) -> float:
    """Call functions at the same time, a thread each; return the seconds until all are done."""
    start = threading.Barrier(len(work) + 1)
    failures: list[BaseException] = []

    def run(one: Callable[[], None]) -> None:
        busy = Busy()
        try:
            with lent_cpu_stream():
                busy.set(True)
                start.wait()
                one()
        except BaseException as error:
            failures.append(error)
            start.abort()
        finally:
            busy.set(False)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    if failures:
        raise failures[0]
    return took


def _products() -> Callable[[], None]:
    rows, inner, columns = _SHAPE
    rng = np.random.default_rng(0)
    a = rng.standard_normal((rows, inner), np.float32)
    b = rng.standard_normal((columns, inner), np.float32)
    out = np.empty((rows, columns), np.float32)

    def multiply() -> None:
        for _ in range(_PRODUCTS):
            np.matmul(a, b.T, out=out)

    return multiply
