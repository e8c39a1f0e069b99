"""Who shares a run, as options and host files say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scorer.common.errors import InputError
from scorer.spec.ranks import (
    Host,
    Ranks,
    is_this_machine,
    launched_backend,
    launched_rank,
    local_ranks,
    read_hostfile,
)

OWN = ("10.7.0.9", "fd00::9")


class Probe:
    """A socket of a machine that has the addresses :data:`OWN`."""

    def __init__(self, family: int, kind: int) -> None: ...

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None: ...

    def bind(self, address: tuple[str, int]) -> None:
        if address[0] not in OWN:
            raise OSError("Cannot assign requested address")


@pytest.fixture(autouse=True)
def _own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scorer.spec.ranks.socket.socket", Probe)
    monkeypatch.setattr("scorer.spec.ranks.socket.gethostname", lambda: "Studio7.local")


HERE = {"ssh": "127.0.0.1", "ips": ["10.0.0.1"]}
THERE = {"ssh": "mac2", "ips": ["10.0.0.2", "10.0.1.2"], "rdma": ["rdma_en2", None]}


def test_ranks_of_one_machine() -> None:
    assert local_ranks(1) is None
    found = local_ranks(3)
    assert found is not None and found.hosts == (Host(), Host(), Host())
    assert all(host.is_here for host in found.hosts)
    assert Ranks.from_json(json.loads(json.dumps(found.to_json()))) == found
    for count in (0, -1, 5000):
        with pytest.raises(InputError, match="cannot share a run"):
            local_ranks(count)


@pytest.mark.parametrize(
    ("ssh", "ips", "here"),
    [
        ("studio7", [], True),
        ("anna@STUDIO7.local", ["10.0.0.2"], True),
        ("mac2", ["10.0.0.2", "10.7.0.9"], True),
        ("studio", ["fd00::9"], True),
        ("10.7.0.9", [], True),
        ("studio70", ["10.0.0.2"], False),
        # Where `ssh` leads to is its own matter.
        ("box", ["127.0.0.1"], False),
        ("box", ["0.0.0.0", "::1", "224.0.0.1", "studio7", "10.7.0.9.1"], False),
    ],
)
def test_this_machine_is_known_by_name_and_address(ssh: str, ips: list[str], here: bool) -> None:
    """A host file that `mlx.launch` takes need not be changed."""
    assert is_this_machine(ssh, ips) is here


def test_a_host_file_that_names_this_machine_as_others_do(tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps([{"ssh": "studio7", "ips": ["10.7.0.9"]}, THERE]))
    assert [host.is_here for host in read_hostfile(path).hosts] == [True, False]
    path.write_text(json.dumps([THERE, {"ssh": "studio7", "ips": ["10.7.0.9"]}]))
    with pytest.raises(InputError, match="rank 0 is on `mac2`"):
        read_hostfile(path)


@pytest.mark.parametrize("whole", [False, True])
def test_a_host_file_of_mlx_launch(tmp_path: Path, whole: bool) -> None:
    path = tmp_path / "hosts.json"
    data: Any = [HERE, THERE]
    if whole:
        data = {"backend": "jaccl", "envs": ["MLX_METAL_FAST_SYNCH=1"], "hosts": data}
    path.write_text(json.dumps(data))
    found = read_hostfile(path)
    assert found.hosts == (
        Host("127.0.0.1", ("10.0.0.1",)),
        Host("mac2", ("10.0.0.2", "10.0.1.2"), ("rdma_en2", None)),
    )
    assert (found.backend, found.envs) == (
        ("jaccl", ("MLX_METAL_FAST_SYNCH=1",)) if whole else ("", ())
    )
    assert Ranks.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("3", "is no list of hosts"),
        ('[{"ips": []}]', "is no list of hosts"),
        ('{"hosts": {"ssh": "a"}}', "is no list of hosts"),
        ('[{"ssh": "mac1", "ips": ["10.0.0.1"]}]', "rank 0 is on `mac1`"),
        ('[{"ssh": "127.0.0.1"}, {"ssh": "mac2"}]', "no address of rank 1, `mac2`"),
        ('{"backend": "smoke", "hosts": [{"ssh": "127.0.0.1"}]}', "`smoke` is no backend"),
    ],
)
def test_what_is_no_host_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "hosts.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_hostfile(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_hostfile(tmp_path / "none.json")


def test_the_rank_that_a_launcher_gave() -> None:
    ring = {"MLX_RANK": "1", "MLX_HOSTFILE": "/tmp/hosts"}
    nccl = {"MLX_RANK": "0", "MLX_WORLD_SIZE": "2", "NCCL_HOST_IP": "10.0.0.1", "NCCL_PORT": "1"}
    jaccl = {"MLX_RANK": "3", "MLX_IBV_DEVICES": "/tmp/d", "MLX_JACCL_COORDINATOR": "10.0.0.1:1"}
    each = (ring, nccl, jaccl)
    assert [launched_rank(found) for found in each] == [1, 0, 3]
    assert [launched_backend(found) for found in each] == ["ring", "nccl", "jaccl"]
    # `mlx.launch` with one host names no file.
    for alone in ({}, {"MLX_RANK": "0"}, {"MLX_RANK": "0", "MLX_HOSTFILE": ""}, {"MLX_RANK": "x"}):
        assert launched_rank(alone) is None
