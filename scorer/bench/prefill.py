"""``python -m scorer.bench.prefill``: the predicted memory of a prompt against the measured peak.

A prompt of random tokens goes through mlx-lm's own ``generate_step``, whose prefill runs it in
blocks. The peak is that of MLX's counter. On CUDA a quantized cache is this package's own class:
mlx-lm's quantized attention does not run there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from scorer.bench.options import SHAPES
from scorer.bench.shapes import config_of, random_model
from scorer.common.errors import QfidError
from scorer.device.backend import Backend, running_backend
from scorer.fit.cache_bytes import cache_kinds
from scorer.fit.prefill_peak import Moment, PrefillShape, prefill_moment
from scorer.fit.total_bytes import TotalBytes, total_bytes
from scorer.lanes.kv.caches import CodesKVCache
from scorer.lanes.kv.sides import CachePlace, sides_of
from scorer.lm.patches import pass_options
from scorer.spec.amounts import parse_tokens
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting


@dataclass(frozen=True, slots=True)
class Prompted:
    """A model whose prompts are measured.

    Attributes:
        model: The module of mlx-lm.
        geometry: Its caches.
        shape: Its sizes, with the element of what it computes.
        weights: Bytes of its parameters.
    """

    model: nn.Module
    geometry: KVGeometry
    shape: PrefillShape
    weights: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One prompt, predicted and measured.

    Attributes:
        tokens: Tokens of the prompt.
        step: The prefill step.
        kv: How the cache was stored; None for 16 bit.
        predicted: The prediction.
        moment: The moment of its peak.
        peak: The peak that was measured, bytes, those of the weights included.
    """

    tokens: int
    step: int
    kv: KVSetting | None
    predicted: TotalBytes
    moment: Moment
    peak: int

    @property
    def above(self) -> int:
        """Bytes of the measured peak above the weights."""
        return self.peak - self.predicted.weights

    @property
    def in_flight(self) -> float:
        """Layers in flight that would give the measured peak."""
        if not self.moment.mean:
            return 1
        rest = self.above - self.moment.buffers - self.moment.largest
        return 1 + rest / self.moment.mean


class _StatedCodes(CodesKVCache):
    """Our own cache as mlx-lm's generation takes it: with a state that it evaluates.

    It waits for the attention of each layer. CUDA frees what a layer wrote when all that was
    dispatched with it is done, so that otherwise the scores and the copied caches of as many layers
    are held as the host is ahead by: the same prompt took 1.1 and 2.1 GB.

    The checks of what was quantized are dropped. Nobody evaluates them here, and until then each
    keeps the keys or values of its block, and their codes, in memory.
    """

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> Any:
        """See :meth:`CodesKVCache.update_and_fetch`."""
        held = super().update_and_fetch(keys, values)
        for side in self.sides:
            side.checks.clear()
        return held

    def attend(
        self, queries: mx.array, keys: Any, values: Any, scale: float, mask: Any, sinks: Any
    ) -> mx.array:
        """See :meth:`CodesKVCache.attend`."""
        out = super().attend(queries, keys, values, scale, mask, sinks)
        mx.eval(out)
        mx.synchronize()
        return out

    @property
    def state(self) -> list[Any]:
        """Arrays that hold what is stored."""
        return [held for held in self.stored if held is not None]


def random_prompted(name: str, backend: Backend) -> Prompted:
    """A model with random weights in the shape of a real one."""
    config = config_of(name)
    model = random_model(name, backend)
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    layer = KVLayer(config["num_key_value_heads"], hidden // heads, hidden // heads)
    layers = config["num_hidden_layers"]
    shape = PrefillShape(
        hidden,
        config["intermediate_size"],
        heads,
        config["vocab_size"],
        4 if backend.kind == "cpu" else 2,
    )
    return Prompted(model, KVGeometry((layer,) * layers, layers), shape, _bytes(model))


def cached_prompted(name: str) -> Prompted:
    """A cached model as mlx-lm loads it, in its own dtype.

    Raises:
        InputError: It is not cached, or cannot be built.
    """
    from mlx_lm.utils import load_model

    from scorer.lm.measured_geometry import measure_folder
    from scorer.models.info import with_geometry
    from scorer.models.resolve import resolve_model
    from scorer.models.sizes import model_sizes

    info = resolve_model(name)
    _, outcome = measure_folder(info.path)
    info = with_geometry(info, outcome)
    sizes = model_sizes(info)
    model, _ = load_model(info.path)
    mx.eval(model.parameters())
    return Prompted(
        model, info.geometry, PrefillShape.of(sizes, sizes.element_bytes), _bytes(model)
    )


def _bytes(model: nn.Module) -> int:
    return sum(array.nbytes for _, array in tree_flatten(model.parameters()))


def measure(
    prompted: Prompted, backend: Backend, tokens: int, step: int, kv: KVSetting | None
) -> Measured:
    """Run one prompt and compare its peak with the prediction.

    Args:
        prompted: The model; it is in memory already.
        backend: The device.
        tokens: Tokens of the prompt.
        step: The prefill step.
        kv: How the cache is stored; None for 16 bit.
    """
    from mlx_lm.generate import generate_step

    geometry, shape = prompted.geometry, prompted.shape
    prompt = mx.random.randint(0, shape.vocab, (tokens,), key=mx.random.key(0))
    options: dict[str, Any] = {"max_tokens": 1, "prefill_step_size": step}
    own = kv is not None and backend.kind == "cuda"
    if kv is not None and not own:
        options |= {
            "kv_bits": kv.k_bits,
            "kv_group_size": kv.group_size,
            "quantized_kv_start": kv.start,
        }
    mx.eval(prompt)
    mx.synchronize()
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    if own:
        assert kv is not None
        options["prompt_cache"] = _own_caches(geometry, kv, backend)
        with pass_options(arithmetic=backend.arithmetic, query_blocks=True):
            _run(generate_step(prompt, prompted.model, **options))
    else:
        _run(generate_step(prompt, prompted.model, **options))
    peak = mx.get_peak_memory() - before + prompted.weights
    start = None if kv is None else kv.start
    kinds = cache_kinds(geometry, kv, shape.element_bytes)
    return Measured(
        tokens,
        step,
        kv,
        total_bytes(prompted.weights, geometry, kv, shape, tokens, 1, step, backend.kind),
        prefill_moment(kinds, start, shape, tokens, step, backend.kind),
        peak,
    )


def _own_caches(geometry: KVGeometry, kv: KVSetting, backend: Backend) -> list[Any]:
    return [
        _StatedCodes(
            sides_of(sides, CachePlace(index, str(index)), backend.arithmetic), converting=True
        )
        for index, sides in enumerate(kv.sides(geometry))
    ]


def _run(steps: Iterator[Any]) -> None:
    for _ in steps:
        pass
    mx.synchronize()


def row(found: Measured) -> str:
    """One line of the table, in MB."""
    total, above = found.predicted.total, found.predicted.total - found.predicted.weights
    cells = (
        f"{found.tokens:7}",
        f"{found.step:5}",
        f"{'16' if found.kv is None else found.kv.key:>6}",
        f"{found.predicted.weights / 1e6:8.0f}",
        f"{above / 1e6:9.1f}",
        f"{found.above / 1e6:9.1f}",
        f"{100 * (above / found.above - 1):+7.1f}%",
        f"{100 * (total / found.peak - 1):+7.1f}%",
        f"{found.moment.in_flight:6.1f}",
        f"{found.in_flight:6.1f}",
    )
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "|  tokens |  step |   KV  |  weights | predicted | measured  | above    | total    | layers |"
    " seen   |\n"
    "|--------:|------:|------:|---------:|----------:|----------:|---------:|---------:|-------:|"
    "-------:|"
)


def _prompt(text: str) -> tuple[int, int]:
    tokens, _, step = text.partition(":")
    return parse_tokens(tokens, "--prompts"), parse_tokens(step, "--prompts")


def main(arguments: list[str] | None = None) -> int:
    """Measure prompts and print a table; the columns in MB, predicted and measured above weights.

    ``above`` and ``total`` are what the prediction is off by, ``layers`` the layers in flight that
    it counts on, ``seen`` those that would give the measured peak.
    """
    parser = argparse.ArgumentParser(prog="python -m scorer.bench.prefill", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("model", nargs="?", help="repo id or folder of a cached model")
    which.add_argument("--shape", choices=SHAPES, help="a model with random weights")
    parser.add_argument(
        "--prompts",
        default="1025:512,2049:2048",
        help="tokens:step of each prompt, comma-separated (default: %(default)s)",
    )
    parser.add_argument("--kv", default="16,8", help="settings of the KV cache (default: 16,8)")
    parser.add_argument("--repeats", type=int, default=2, help="prompts of each kind")
    options = parser.parse_args(arguments)
    try:
        settings = [None if key == "16" else KVSetting.parse(key) for key in options.kv.split(",")]
        prompts = [_prompt(text) for text in options.prompts.split(",")]
        with running_backend() as backend:
            if options.shape:
                prompted = random_prompted(options.shape, backend)
            else:
                prompted = cached_prompted(options.model)
            print(f"{options.shape or options.model} on {backend.name}", flush=True)
            print(HEAD, flush=True)
            for tokens, step in prompts:
                for kv in settings:
                    for _ in range(options.repeats):
                        print(row(measure(prompted, backend, tokens, step, kv)), flush=True)
    except QfidError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
