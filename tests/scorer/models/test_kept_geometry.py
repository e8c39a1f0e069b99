"""What is kept of a measurement: under what, for whom, and what is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_hub_cache import model_files, write_folder

from scorer.common.errors import InputError
from scorer.common.folders import cache_folder
from scorer.models import kept_geometry
from scorer.models.info import with_geometry
from scorer.models.kept_geometry import (
    Measured,
    NotBuilt,
    Outcome,
    config_key,
    folder_key,
    outcome_from_json,
    outcome_to_json,
    recall,
    remember,
)
from scorer.models.resolve import resolve_model
from scorer.spec.geometry import KVGeometry, KVLayer

GEOMETRY = KVGeometry((KVLayer(1, 64, 64), KVLayer(1, 64, 64, 16, "sliding")), 3)
OUTCOMES: list[Outcome] = [
    Measured(GEOMETRY, 320, 128, 4),
    Measured(KVGeometry((), 4)),
    NotBuilt("mlx-lm cannot build it"),
]


def forget() -> None:
    """What a process started later would know."""
    kept_geometry._known.clear()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_is_kept_is_found_by_another_process(outcome: Outcome) -> None:
    key = config_key(b"{}")
    assert recall(key) is None
    remember(key, outcome)
    assert recall(key) == outcome
    forget()
    assert recall(key) == outcome
    assert recall(config_key(b"{ }")) is None
    assert outcome_from_json(json.loads(json.dumps(outcome_to_json(outcome)))) == outcome


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        "[" * 100_000,
        '{"geometry": 3}',
        '{"geometry": {}}',
        '{"not_built": 3}',
        json.dumps(outcome_to_json(OUTCOMES[0]) | {"vocab": -1}),
        json.dumps(outcome_to_json(OUTCOMES[0]) | {"heads": "4"}),
    ],
)
def test_what_is_damaged_is_as_if_it_were_not_there(content: str) -> None:
    key = config_key(b"{}")
    remember(key, OUTCOMES[0])
    (path,) = (cache_folder() / "geometry").iterdir()
    path.write_text(content)
    forget()
    assert recall(key) is None
    remember(key, OUTCOMES[1])
    forget()
    assert recall(key) == OUTCOMES[1]


def test_where_nothing_can_be_written_this_process_knows_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path))
    cache_folder().write_text("a file where the folder belongs")
    remember(config_key(b"{}"), OUTCOMES[0])
    assert recall(config_key(b"{}")) == OUTCOMES[0]
    forget()
    assert recall(config_key(b"{}")) is None


def test_it_depends_on_config_code_and_mlx_lm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, model_files() | {"own.py": b"x = 1"})
    keys = {folder_key(tmp_path), folder_key(tmp_path, "own.py")}
    (tmp_path / "own.py").write_text("x = 2")
    keys.add(folder_key(tmp_path, "own.py"))
    assert folder_key(tmp_path) in keys
    (tmp_path / "config.json").write_bytes(b"{}")
    keys.add(folder_key(tmp_path))
    monkeypatch.setattr(kept_geometry, "_mlx_lm_version", lambda: b"99")
    keys.add(folder_key(tmp_path))
    assert len(keys) == 5


def test_a_model_is_described_by_what_is_kept(tmp_path: Path) -> None:
    files = model_files(num_attention_heads=None, hidden_size=None, vocab_size=None)
    folder = write_folder(tmp_path / "model", files)
    guessed = resolve_model(str(folder))
    assert not guessed.geometry.exact and (guessed.kv_heads, guessed.head_dim) == (None, None)
    assert guessed.to_json()["kv_bytes_per_token_16bit"] == 0
    remember(folder_key(folder), Measured(GEOMETRY, 320, 128, 4))
    info = resolve_model(str(folder))
    assert info.geometry == GEOMETRY and info.layers == 3
    assert (info.vocab_size, info.hidden_size, info.query_heads) == (320, 128, 4)
    assert (info.kv_heads, info.head_dim) == (1, 64)


def test_what_the_config_states_is_left(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", model_files())
    info = with_geometry(resolve_model(str(folder)), Measured(GEOMETRY, 1, 2, 3))
    assert (info.vocab_size, info.hidden_size, info.query_heads) == (49152, 576, 9)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (NotBuilt("mlx-lm cannot build it"), "mlx-lm cannot build it"),
        (Measured(KVGeometry((), 4)), "`llama` keeps no keys and values"),
        (
            Measured(KVGeometry((KVLayer(2, 80, 80),), 1)),
            "no group size of MLX divides heads of 80",
        ),
    ],
)
def test_a_model_is_refused_by_what_is_kept(tmp_path: Path, outcome: Outcome, reason: str) -> None:
    folder = write_folder(tmp_path / "model", model_files())
    remember(folder_key(folder), outcome)
    with pytest.raises(InputError, match=reason) as caught:
        resolve_model(str(folder))
    assert caught.value.hint
