"""``rope_parameters`` of transformers 5 under the names that classes of mlx-lm take."""

from __future__ import annotations

from typing import Any

import pytest

from scorer.models.rope_parameters import plain_rope_parameters, scaling_of

LLAMA = frozenset({"rope_theta", "rope_scaling", "max_position_embeddings"})
GEMMA3 = LLAMA | {"rope_local_base_freq"}
PHI = frozenset({"rope_theta", "partial_rotary_factor"})
NEOX = frozenset({"rotary_emb_base", "rotary_pct"})
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
BY_TYPE = {
    "full_attention": {"rope_type": "default", "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}


@pytest.mark.parametrize(
    ("stated", "fields", "given"),
    [
        ({"rope_theta": 5e5, "rope_type": "default"}, LLAMA, {"rope_theta": 5e5}),
        ({"rope_theta": 5e5}, LLAMA | {"rope_parameters"}, {}),
        ({"rope_theta": 5e5}, frozenset({"hidden_size"}), {}),
        ({"rope_theta": 5e5} | YARN, LLAMA,
         {"rope_theta": 5e5, "rope_scaling": {"type": "yarn"} | YARN}),
        # A scaling that the class has no name for leaves the base, which it has one for.
        ({"rope_theta": 5e5} | YARN, PHI, {"rope_theta": 5e5}),
        ({"rope_theta": 5e5, "partial_rotary_factor": 0.5}, PHI,
         {"rope_theta": 5e5, "partial_rotary_factor": 0.5}),
        ({"rope_theta": 5e5, "partial_rotary_factor": 0.25}, NEOX,
         {"rotary_emb_base": 5e5, "rotary_pct": 0.25}),
        (BY_TYPE, GEMMA3, {"rope_theta": 1e6, "rope_local_base_freq": 1e4}),
        # One name cannot hold the bases of two kinds of layers.
        (BY_TYPE, LLAMA, {}),
        ({"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e6}}, LLAMA,
         {"rope_theta": 1e6}),
        ({"full_attention": {"rope_theta": 1e6}, "some_attention": {"rope_theta": 1e6}}, LLAMA, {}),
        (None, LLAMA, {}),
        ([1], LLAMA, {}),
        ({}, LLAMA, {}),
        ({"full_attention": {}}, LLAMA, {}),
    ],
)  # fmt: skip
def test_what_a_class_is_given(stated: Any, fields: frozenset[str], given: dict[str, Any]) -> None:
    assert plain_rope_parameters({"rope_parameters": stated}, fields) == given


def test_what_the_config_states_by_its_plain_name_stays() -> None:
    config = {"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5} | YARN}
    assert "rope_theta" not in plain_rope_parameters(config, LLAMA)
    config["rope_scaling"] = {"type": "linear", "factor": 2.0}
    assert plain_rope_parameters(config, LLAMA) == {}


def test_a_stretch_counts_from_the_stated_context_where_it_names_none() -> None:
    scaling = {"rope_type": "yarn", "factor": 4.0}
    config = {"max_position_embeddings": 2048, "rope_parameters": scaling}
    given = plain_rope_parameters(config, LLAMA)["rope_scaling"]
    assert given == scaling | {"type": "yarn", "original_max_position_embeddings": 2048}


def test_a_class_that_must_be_told_of_no_scaling_is() -> None:
    config = {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}
    given = plain_rope_parameters(config, LLAMA, ("rope_theta", "rope_scaling"))
    # None is left out of a config, and here it has to stand there.
    assert given == {"rope_theta": 5e5, "rope_scaling": None}


def test_scaling_has_its_type_under_both_names() -> None:
    assert scaling_of({"rope_theta": 1e4, "type": "linear", "factor": 2.0}) == {
        "rope_type": "linear",
        "type": "linear",
        "factor": 2.0,
    }
    assert scaling_of({"rope_type": "default"}) is None
    assert scaling_of({"rope_theta": 1e4}) is None
