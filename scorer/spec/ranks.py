"""How many processes share a run, and where they are.

A rank is one process of a run, numbered from 0. Rank 0 holds the saved run; the others score what
it deals them. Ranks are no part of a job: no number depends on them. Pure standard library.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.json_reader import JsonReader
from scorer.common.json_values import json_values

RING = "ring"
NCCL = "nccl"
JACCL = "jaccl"
JACCL_RING = "jaccl-ring"
BACKENDS = (RING, NCCL, JACCL, JACCL_RING)
TENSOR = "tensor"
PIPELINE = "pipeline"
SHARDS = (TENSOR, PIPELINE)
MOST_RANKS = 1024
LINK_LOST = 74
"""Exit code of a rank that ends because another one is gone."""

_HERE = ("127.0.0.1", "localhost", "::1")
_FORMAT = '[{"ssh": "mac1", "ips": ["10.0.0.1"]}, {"ssh": "mac2", "ips": ["10.0.0.2"]}]'


@dataclass(frozen=True, slots=True)
class Host:
    """Where one rank runs, as an entry of a host file of ``mlx.launch`` says it.

    Attributes:
        ssh: What ``ssh`` is given to get there; ``127.0.0.1`` for this machine.
        ips: Addresses of the machine that the other ranks reach.
        rdma: For JACCL, the device to each other rank; None for itself.
    """

    ssh: str = _HERE[0]
    ips: tuple[str, ...] = ()
    rdma: tuple[Any, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether the rank is a process of this machine."""
        return self.ssh in _HERE


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks of a run.

    Attributes:
        hosts: Where each is, rank 0 first; empty where another program started them.
        backend: Of MLX's: ``ring``, ``nccl``, ``jaccl`` or ``jaccl-ring``; "" for the ring, or
            for NCCL where NVIDIA GPUs hold one model together.
        envs: Variables for every rank, ``NAME=VALUE``.
        launched: Whether another program, such as ``mlx.launch``, has started the ranks: the
            environment says which one this is.
        shard: ``tensor`` or ``pipeline`` for one model split over the ranks; "" for a model on
            each.
    """

    hosts: tuple[Host, ...] = ()
    backend: str = ""
    envs: tuple[str, ...] = ()
    launched: bool = False
    shard: str = ""

    def __post_init__(self) -> None:
        if self.backend not in ("", *BACKENDS):
            raise InputError(
                f"`{self.backend}` is no backend for ranks", f"one of: {', '.join(BACKENDS)}"
            )
        if self.shard not in ("", *SHARDS):
            raise InputError(
                f"a model cannot be split by `{self.shard}`", f"one of: {', '.join(SHARDS)}"
            )
        if self.launched == bool(self.hosts):
            raise InputError("ranks need hosts, or a program that has started them")
        if self.hosts and not self.hosts[0].is_here:
            raise InputError(
                f"rank 0 is on `{self.hosts[0].ssh}`, and the run is saved on this machine",
                'name this machine first, by its host name, its address or "ssh": "127.0.0.1"',
            )

    def to_json(self) -> dict[str, Any]:
        """The ranks as JSON values."""
        values: dict[str, Any] = json_values(self)
        return values

    @classmethod
    def from_json(cls, data: Any) -> Ranks:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: It is not that.
        """
        return _READER.read(data)


_READER = JsonReader(Ranks, "ranks")


def local_ranks(count: int) -> Ranks | None:
    """So many ranks on this machine; None for one, which needs no other.

    Raises:
        InputError: There cannot be so many.
    """
    if not 1 <= count <= MOST_RANKS:
        raise InputError(f"`{count}` ranks cannot share a run", "--ranks takes 1, 2, 3 and so on")
    return None if count == 1 else Ranks((Host(),) * count)


def read_hostfile(path: Path) -> Ranks:
    """Read a host file of ``mlx.launch``.

    Raises:
        InputError: It cannot be read, or is none; what and where.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError):
        raise InputError(f"`{path}` is no JSON", f"a host file holds {_FORMAT}") from None
    values = data if isinstance(data, dict) else {"hosts": data}
    try:
        hosts = tuple(
            _placed(Host(str(each["ssh"]), tuple(each.get("ips", ())), tuple(each.get("rdma", ()))))
            for each in values["hosts"]
        )
        ranks = Ranks(
            hosts, str(values.get("backend") or ""), tuple(map(str, values.get("envs", ())))
        )
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"`{path}` is no list of hosts", f"it holds {_FORMAT}") from None
    for number, host in enumerate(hosts):
        if not host.ips and not host.is_here:
            raise InputError(
                f"`{path}` names no address of rank {number}, `{host.ssh}`",
                'give each host its "ips": ["10.0.0.1"]',
            )
    return ranks


def _placed(host: Host) -> Host:
    """A host of a file, said to be here where it is this machine by another name."""
    return replace(host, ssh=_HERE[0]) if is_this_machine(host.ssh, host.ips) else host


def is_this_machine(ssh: str, ips: Sequence[str]) -> bool:
    """Whether a host is this machine, by its name or by one of its addresses.

    A loopback address says nothing: ``ssh`` may lead from there into a container or elsewhere.

    Args:
        ssh: What ``ssh`` is given to get there.
        ips: Addresses of the host; others than numbers are not looked up.
    """
    name = ssh.rpartition("@")[2].lower()
    own = socket.gethostname().lower()
    if name in (own, f"{own}.local") or f"{name}.local" == own:
        return True
    return any(map(_is_own_address, (*ips, name)))


def _is_own_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # The system refuses an address that none of its interfaces has. Nothing is sent.
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def launched_rank(environment: Mapping[str, str]) -> int | None:
    """The rank that the program which started this process gave it; None without one."""
    rank = environment.get("MLX_RANK", "")
    return int(rank) if rank.isdecimal() and launched_backend(environment) else None


def launched_backend(environment: Mapping[str, str]) -> str:
    """The backend whose variables that program has set; "" for none."""
    if environment.get("MLX_WORLD_SIZE") and environment.get("NCCL_HOST_IP"):
        return NCCL
    if environment.get("MLX_IBV_DEVICES") and environment.get("MLX_JACCL_COORDINATOR"):
        return JACCL
    return RING if environment.get("MLX_HOSTFILE") else ""
