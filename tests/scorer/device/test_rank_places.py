"""Ports, GPUs, threads and variables of ranks."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from scorer.common.errors import InputError
from scorer.common.process_limits import core_count
from scorer.device import rank_places
from scorer.device.rank_places import before_mlx, free_port, meeting, visible_gpus
from scorer.spec.ranks import Host, Ranks, local_ranks

TWO = Ranks((Host(), Host()))
FAR = Ranks((Host("127.0.0.1", ("10.0.0.1",)), Host("mac2", ("10.0.0.2",))), envs=("A=b=c",))


def test_ranks_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_places, "core_count", lambda: 9)
    four = local_ranks(4)
    assert four is not None
    cpu = {"QFID_DEVICE": "cpu"}
    assert before_mlx(four, 3, cpu) == {"QFID_THREADS": "2", "OMP_NUM_THREADS": "2"}
    # The user's own choice stands.
    assert before_mlx(four, 3, cpu | {"QFID_THREADS": "5"}) == {}
    monkeypatch.setattr(rank_places, "core_count", lambda: 1)
    assert before_mlx(four, 0, cpu)["QFID_THREADS"] == "1"
    assert core_count() >= 1


def test_each_rank_has_a_gpu_of_its_own() -> None:
    chosen = {"CUDA_VISIBLE_DEVICES": "2,5", "OMP_NUM_THREADS": "1"}
    assert [before_mlx(TWO, rank, chosen) for rank in (0, 1)] == [
        {"CUDA_VISIBLE_DEVICES": "2"},
        {"CUDA_VISIBLE_DEVICES": "5"},
    ]
    three = local_ranks(3)
    assert three is not None
    with pytest.raises(InputError, match="3 ranks on one machine need a GPU each, and 2") as error:
        before_mlx(three, 0, chosen)
    assert "--ranks 2" in error.value.hint
    assert before_mlx(three, 2, chosen | {"QFID_DEVICE": "cpu"}) == {}


def test_the_gpus_of_a_machine_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_places, "_DEVICES", tmp_path)
    assert visible_gpus({}) == []
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    # CUDA numbers them from 0, whatever their files are called.
    assert visible_gpus({}) == ["0", "1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "GPU-a, GPU-b"}) == ["GPU-a", "GPU-b"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []


def test_a_rank_elsewhere_gets_the_variables_of_the_host_file_alone() -> None:
    assert before_mlx(FAR, 1, {"CUDA_VISIBLE_DEVICES": "0"}) == {"A": "b=c"}
    assert before_mlx(FAR, 0, {"CUDA_VISIBLE_DEVICES": "0"}) == {
        "A": "b=c",
        "CUDA_VISIBLE_DEVICES": "0",
    }


def test_ranks_of_another_machine_have_a_gpu_each() -> None:
    hosts = (Host(), Host("node2", ("10.0.0.2",)), Host("node2", ("10.0.0.2",)))
    found = [before_mlx(Ranks(hosts), rank, {"QFID_DEVICE": "cpu"}) for rank in range(3)]
    assert found == [{}, {"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]


def test_how_a_ring_meets() -> None:
    variables, files = meeting(FAR, "ring", [1000, 2000])
    assert variables == [{"MLX_RANK": "0"}, {"MLX_RANK": "1"}]
    assert json.loads(files["MLX_HOSTFILE"]) == [["10.0.0.1:1000"], ["10.0.0.2:2000"]]
    _, files = meeting(TWO, "ring", [1000, 2000])
    assert json.loads(files["MLX_HOSTFILE"]) == [["127.0.0.1:1000"], ["127.0.0.1:2000"]]


def test_how_gpus_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NCCL_NVLS_ENABLE", "NCCL_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    variables, files = meeting(TWO, "nccl", [1000, 2000])
    assert not files
    assert variables[1] == {
        "MLX_RANK": "1",
        "MLX_WORLD_SIZE": "2",
        "NCCL_HOST_IP": "127.0.0.1",
        "NCCL_PORT": "1000",
        "NCCL_NVLS_ENABLE": "0",
        "NCCL_SOCKET_IFNAME": "lo",
    }
    assert {**variables[1], "MLX_RANK": "0"} == variables[0]
    # Over machines NCCL finds the interface itself; what the user chose stands.
    monkeypatch.setenv("NCCL_NVLS_ENABLE", "1")
    (first, _), _ = meeting(FAR, "nccl", [1000, 2000])
    assert first["NCCL_HOST_IP"] == "10.0.0.1" and first["NCCL_NVLS_ENABLE"] == "1"
    assert "NCCL_SOCKET_IFNAME" not in first


def test_how_macs_meet_over_thunderbolt() -> None:
    hosts = (
        Host("127.0.0.1", ("10.0.0.1",), (None, "rdma_en2")),
        Host("mac2", ("10.0.0.2",), ("rdma_en3", None)),
    )
    variables, files = meeting(Ranks(hosts), "jaccl-ring", [1000, 2000])
    assert json.loads(files["MLX_IBV_DEVICES"]) == [[None, "rdma_en2"], ["rdma_en3", None]]
    assert variables[0]["MLX_JACCL_COORDINATOR"] == "10.0.0.1:1000"
    assert variables[1]["MLX_JACCL_RING"] == "1"
    assert "MLX_JACCL_RING" not in meeting(Ranks(hosts), "jaccl", [1, 2])[0][0]


def test_a_free_port_can_be_listened_on() -> None:
    for _ in range(20):
        with socket.socket() as listener:
            listener.bind(("", free_port()))
            listener.listen()
