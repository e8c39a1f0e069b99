"""Finds the largest forward pass that fits in memory, or refuses the run with figures."""

from __future__ import annotations

import dataclasses

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import WillNotFit
from scorer.device.host_memory import HostMemory
from scorer.fit.memory_need import Need, need
from scorer.fit.pass_size import PassSize
from scorer.models.sizes import ModelSizes
from scorer.spec.job import Job


def budget(memory: HostMemory, device: DeviceKind) -> int:
    """Return the bytes that a run may take; on the CPU a reserve is left for the system."""
    return memory.available - memory.low if device == "cpu" else memory.available


def fitting(
    model: ModelSizes,
    job: Job,
    device: DeviceKind,
    memory: HostMemory,
    *,
    name: str,
    wanted: PassSize,
    in_use: int = 0,
    shorten: bool = True,
    beside: int = 0,
) -> PassSize:
    """Return the largest size that fits, ``wanted`` at most.

    Args:
        model: Sizes of the model.
        job: The job; with ``force`` there is always a result.
        device: The device that scores.
        memory: Total and free memory of the device.
        name: The model's name, for the message.
        wanted: The size to try first.
        in_use: Bytes that this process holds; they are not free, and not needed again.
        shorten: Whether the message may suggest shorter chunks; not for a saved run.
        beside: Bytes of the weights that are in memory beside the reference's.

    Raises:
        WillNotFit: No size fits; with the figures and the longest chunk that would fit.
    """
    free = budget(memory, device)
    for size in wanted.sizes():
        # Bytes held by the process are not part of the free memory, so they are subtracted.
        if need(model, job, device, size, in_use=in_use, beside=beside).total - in_use <= free:
            return size
    smallest = [*wanted.sizes()][-1]
    if job.force:
        return smallest if job.batch is None else dataclasses.replace(smallest, batch=job.batch)
    least = need(model, job, device, smallest, in_use=in_use, beside=beside)
    raise WillNotFit(
        f"`{name}` needs {_bytes(least.total - in_use)} with chunks of {job.chunk_length} tokens "
        f"and {_bytes(max(free, 0))} can be used: {_weights(least, device)}, "
        f"{_bytes(least.caches)} caches, {_bytes(least.attention)} attention, "
        f"{_bytes(least.kept + least.tile)} logits",
        _remedy(
            longest_chunk(model, job, device, free + in_use - beside, in_use=in_use),
            device,
            shorten,
        ),
    )


def longest_chunk(
    model: ModelSizes, job: Job, device: DeviceKind, free: int, *, in_use: int = 0
) -> int | None:
    """Return the tokens of the longest chunk that fits at the smallest size.

    Args:
        model: Sizes of the model.
        job: The job; its chunk length is the upper limit.
        device: The device that scores.
        free: Bytes that can be used, including those in use.
        in_use: Bytes that this process holds.

    Returns:
        The length, rounded down to a multiple of 64 if at least 64; None if not even two tokens
        fit.
    """
    smallest = [*PassSize(1).sizes()][-1]
    low, high = 1, job.chunk_length
    while low < high:
        middle = (low + high + 1) // 2
        if need(model, job, device, smallest, length=middle, in_use=in_use).total <= free:
            low = middle
        else:
            high = middle - 1
    if low < 2:
        return None
    return low - low % 64 if low >= 64 else low


def _remedy(longest: int | None, device: DeviceKind, shorten: bool) -> str:
    if not shorten:
        return "free memory and resume again; --force tries all the same"
    if longest is not None and longest >= 64:
        return f"--chunk-length {longest} would fit; --force scores it as it is"
    closer = "a smaller model" if device == "cpu" else "a smaller model or fewer bits per weight"
    return f"no chunk is short enough: take {closer}, or free memory; --force tries all the same"


def _weights(least: Need, device: DeviceKind) -> str:
    return f"{_bytes(least.weights)} weights" + (" as float32" if device == "cpu" else "")


def _bytes(size: int) -> str:
    """Format bytes with enough digits to show the difference between needed and free memory."""
    return f"{size / (1 << 30):.2f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"
