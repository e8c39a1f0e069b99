"""What is recorded of the arguments of mlx-lm's classes, and that nothing of it stays behind."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest
from config_alarms import built
from mlx_lm.models.base import BaseModelArgs
from tiny_configs import tiny_config

from scorer.lm.build_patches import arguments_recorded
from scorer.lm.model_arguments import Arguments


@dataclasses.dataclass
class Plain(BaseModelArgs):
    width: int
    depth: int = 2
    unread: int = 3
    rope_scaling: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.area = self.width * self.width


def recorded(config: dict[str, Any]) -> Arguments:
    with arguments_recorded() as found:
        Plain.from_dict(config)
    (made,) = found
    return made


def test_what_is_read_of_it() -> None:
    made = recorded({"width": 4, "depth": 5, "unknown": 6})
    assert made.values.area == 16 and made.values.depth == 5
    assert made.stated == {"width": 4, "depth": 5, "unknown": 6}
    assert made.fields == {"width", "depth", "unread", "rope_scaling"}
    assert {"width", "depth"} <= made.read and "unread" not in made.read
    assert (made.required, made.default("depth"), made.default("width")) == ({"width"}, 2, None)


def test_the_object_behaves_as_its_class() -> None:
    made = recorded({"width": 4})
    assert isinstance(made.values, Plain) and made.own is Plain
    assert dataclasses.asdict(made.values)["depth"] == 2
    assert dataclasses.replace(made.values, depth=7).depth == 7
    made.stop_recording()
    assert type(made.values) is Plain and made.values == Plain(4)
    before = set(made.read)
    assert made.values.unread == 3 and made.read == before


@pytest.mark.parametrize(
    ("read", "names"),
    [
        (lambda scaling: scaling["factor"], {"rope_scaling.factor"}),
        (lambda scaling: scaling.get("type"), {"rope_scaling.type"}),
        (dict, {"rope_scaling.factor", "rope_scaling.type"}),
        (lambda scaling: {**scaling}, {"rope_scaling.factor", "rope_scaling.type"}),
        (lambda scaling: [*scaling], {"rope_scaling.factor", "rope_scaling.type"}),
        (lambda scaling: scaling.copy(), {"rope_scaling.factor", "rope_scaling.type"}),
        (lambda scaling: scaling.items(), {"rope_scaling.factor", "rope_scaling.type"}),
        (lambda scaling: [*scaling.values()], {"rope_scaling.factor", "rope_scaling.type"}),
        (len, set()),
    ],
)
def test_what_is_read_of_an_object_in_it(read: Any, names: set[str]) -> None:
    made = recorded({"width": 4, "rope_scaling": {"type": "linear", "factor": 2.0}})
    read(made.values.rope_scaling)
    assert {name for name in made.read if "." in name} == names
    assert made.values.rope_scaling == {"type": "linear", "factor": 2.0}


def test_the_original_function_is_put_back() -> None:
    before = BaseModelArgs.__dict__["from_dict"]
    with pytest.raises(TypeError), arguments_recorded():
        Plain.from_dict({})
    assert BaseModelArgs.__dict__["from_dict"] is before
    assert type(Plain.from_dict({"width": 1})) is Plain


def test_two_threads_record_their_own() -> None:
    found: list[list[int]] = []

    def build(width: int) -> None:
        with arguments_recorded() as made:
            for _ in range(50):
                Plain.from_dict({"width": width})
        found.append([each.values.width for each in made])

    threads = [threading.Thread(target=build, args=(width,)) for width in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [[1] * 50, [2] * 50]


def test_a_part_of_a_wrapper_is_recorded_too() -> None:
    _, made = built(tiny_config("gemma3"))
    assert [each.own.__module__ for each in made] == [
        "mlx_lm.models.gemma3",
        "mlx_lm.models.gemma3_text",
    ]
