"""Which ports, GPUs, threads and variables the ranks of a run get. Imports no mlx."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from scorer.common.errors import InputError
from scorer.common.process_limits import THREADS_VARIABLE, core_count
from scorer.spec.ranks import JACCL, JACCL_RING, NCCL, RING, Host, Ranks

LOOPBACK = "127.0.0.1"
_DEVICES = Path("/dev")
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_THREADS = (THREADS_VARIABLE, "OMP_NUM_THREADS")
_TRIES = 64
_FIRST_PORT = 20000


def before_mlx(ranks: Ranks, rank: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that a rank needs before it imports MLX.

    Ranks of one machine share its cores evenly, unless the user has said how many threads a process
    takes, and have an NVIDIA GPU each.

    Args:
        ranks: All of them.
        rank: Which one.
        environment: What it has.

    Raises:
        InputError: There are fewer GPUs than ranks.
    """
    found = dict(entry.partition("=")[::2] for entry in ranks.envs)
    beside = [n for n, host in enumerate(ranks.hosts) if host.ssh == ranks.hosts[rank].ssh]
    if not ranks.hosts[rank].is_here:
        # How many GPUs there are is not known here; one for each rank, as `mlx.launch` does.
        several = {_VISIBLE: str(beside.index(rank))} if len(beside) > 1 else {}
        return several | found
    if len(beside) > 1 and not any(name in environment for name in (*_THREADS, "MKL_NUM_THREADS")):
        share = str(max(1, core_count() // len(beside)))
        found = dict.fromkeys(_THREADS, share) | found
    gpus = visible_gpus(environment)
    if gpus and environment.get("QFID_DEVICE") != "cpu":
        if len(gpus) < len(beside):
            raise InputError(
                f"{len(beside)} ranks on one machine need a GPU each, and {len(gpus)} can be used",
                f"--ranks {len(gpus)}, or QFID_DEVICE=cpu",
            )
        found = {_VISIBLE: gpus[beside.index(rank)]} | found
    return found


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """NVIDIA GPUs that a process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    if _VISIBLE in environment:
        return [name.strip() for name in environment[_VISIBLE].split(",") if name.strip()]
    found = [path.name.removeprefix("nvidia") for path in _DEVICES.glob("nvidia[0-9]*")]
    return [str(number) for number, name in enumerate(found) if name.isdecimal()]


def meeting(
    ranks: Ranks, backend: str, ports: Sequence[int]
) -> tuple[list[dict[str, str]], dict[str, str]]:
    """How the ranks meet.

    Args:
        ranks: All of them, started by this program.
        backend: MLX's backend.
        ports: A free port of each rank's machine.

    Returns:
        Variables of each rank, and files that all get: the variable that names the file to its
        content.
    """
    size = len(ranks.hosts)
    each = [{"MLX_RANK": str(rank)} for rank in range(size)]
    here = address(ranks.hosts[0])
    alone = all(host.is_here for host in ranks.hosts)
    files: dict[str, str] = {}
    common: dict[str, str] = {}
    if backend == RING:
        pairs = zip(ranks.hosts, ports, strict=True)
        files["MLX_HOSTFILE"] = json.dumps([[f"{address(host)}:{port}"] for host, port in pairs])
    elif backend == NCCL:
        common = {
            "MLX_WORLD_SIZE": str(size),
            "NCCL_HOST_IP": here,
            "NCCL_PORT": str(ports[0]),
            # Multicast over NVLink is not to be had in every container.
            "NCCL_NVLS_ENABLE": os.environ.get("NCCL_NVLS_ENABLE", "0"),
        }
        if alone:
            common["NCCL_SOCKET_IFNAME"] = os.environ.get("NCCL_SOCKET_IFNAME", "lo")
    elif backend in (JACCL, JACCL_RING):
        files["MLX_IBV_DEVICES"] = json.dumps([list(host.rdma) for host in ranks.hosts])
        common["MLX_JACCL_COORDINATOR"] = f"{here}:{ports[0]}"
        if backend == JACCL_RING:
            common["MLX_JACCL_RING"] = "1"
    return [variables | common for variables in each], files


def address(host: Host) -> str:
    """The address at which the other ranks reach a host."""
    return host.ips[0] if host.ips else LOOPBACK


def free_port() -> int:
    """A port that nothing listens on.

    Where the system says which ones it gives to connections that go out, another: the next
    connection would take it.
    """
    for _ in range(_TRIES):
        with socket.socket() as probe:
            port = _outside_ephemeral()
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _outside_ephemeral() -> int:
    """A random port below those that outgoing connections get; 0 where they are not known."""
    try:
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    # Not the generator of the program around us, which it may have seeded.
    return random.SystemRandom().randrange(_FIRST_PORT, low) if low > _FIRST_PORT else 0
