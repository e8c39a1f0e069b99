"""``qfid models``: what is cached, as text, Markdown and JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_hub_cache import COMMIT, model_files, safetensors, write_repo
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_cells import unlike_plain

from qfid_tui.cli import main
from qfid_tui.words.model_list import shortened, to_markdown, to_text
from scorer.models.hub_cache import hub_folder
from scorer.models.listing import Listing, Unscorable, list_models
from scorer.report.formats.inline import columns

WEIGHTS = "model.safetensors"


@pytest.fixture
def hub() -> Path:
    """Two models and two that cannot be scored."""
    hub = hub_folder()
    for age, (repo, changes) in enumerate(
        {"org/first": {}, "org/second-4bit": {"quantization": {"bits": 4}}}.items()
    ):
        files = model_files(**changes) | {WEIGHTS: safetensors(elements=1000 + age)}
        path = write_repo(hub, repo, files) / WEIGHTS
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    write_repo(hub, "org/half", {"config.json": model_files()["config.json"]})
    write_repo(hub, "evil/code", model_files(model_file="own.py"))
    return hub


def printed(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["models", *words]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out


def test_a_line_a_model_and_the_others_apart(hub: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = printed(capfd).splitlines()
    assert lines[0].split() == [
        "model", "rev", "arch", "bits", "size", "layers", "KV×dim", "KV", "B/token", "used"
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:3]] == ["org/first", "org/second-4bit"]
    figures = lines[1].split(" ")
    figures = [figure for figure in figures if figure]
    assert figures[1:4] == [COMMIT[:7], "llama", "16"]
    assert figures[-4:-2] == ["30", "3×64"]
    assert "23\u202f040" in lines[1] and lines[1].endswith(("2023-11-14", "2023-11-15"))
    assert lines[2].split()[3] == "4"
    apart = lines.index("cannot be scored")
    assert lines[apart + 1].startswith("evil/code (")
    assert lines[apart + 2] == "  it runs code of its own: `own.py` (needs --allow-custom-code)"
    assert lines[apart + 4] == "  it has config.json but no weights"


def test_json(hub: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = json.loads(printed(capfd, "--format", "json"))
    assert data["cache"] == str(hub)
    first = data["models"][0]
    assert (first["name"], first["revision"], first["layers"]) == ("org/first", COMMIT, 30)
    assert (first["kv_heads"], first["head_dim"], first["weight_bits"]) == (3, 64, 16)
    assert first["kv_bytes_per_token_16bit"] == 23_040 and first["last_used"] == 1_700_000_000
    assert {repo["name"] for repo in data["unscorable"]} == {"org/half", "evil/code"}
    assert all(repo["size_bytes"] > 0 and repo["reason"] for repo in data["unscorable"])


def test_what_was_not_measured_is_a_guess_and_says_so(
    hub: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_repo(hub, "org/unknown", model_files({"model_type": "dbrx", "n_layers": 3}))
    monkeypatch.setattr("scorer.models.measuring.COMMAND", ("/no/such/program",))
    text = printed(capfd)
    assert "≈23\u202f040" in text and "≈" in printed(capfd, "--format", "md")
    (unknown,) = (line.split() for line in text.splitlines() if line.startswith("org/unknown"))
    assert unknown[-4:-1] == ["3", "—", "—"]
    models = json.loads(printed(capfd, "--format", "json"))["models"]
    assert [model["geometry"]["exact"] for model in models] == [False] * 3
    assert {model["kv_heads"] for model in models} == {3, None}


def test_markdown(hub: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = printed(capfd, "--format", "md").splitlines()
    assert unlike_plain("\n".join(lines)) == []
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0][:4] == ["model", "revision", "architecture", "weight bits"]
    assert rows[2][0] == "`org/first`" and rows[2][1] == f"`{COMMIT[:12]}`"
    assert rows[2][5:9] == ["30", "3", "64", "23040"]
    assert "Cannot be scored:" in lines
    assert rows[-1][0] == "`org/half`" and rows[-1][2] == "it has config.json but no weights"


def test_an_empty_cache_says_what_to_do_next(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "qfid pull" in err and "`demo`" in err and str(hub_folder()) in err
    assert main(["models", "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["models"] == []
    assert main(["models", "--format", "md"]) == 0
    assert capfd.readouterr().out == "No model can be scored.\n"


@pytest.mark.parametrize("width", [40, 64, 80, 100, 140])
def test_it_fits_the_terminal(hub: Path, width: int) -> None:
    write_repo(hub, "a-long-organisation-name/A-Long-Model-Name-With-135M-Instruct-6bit-mlx-gs32",
               model_files(model_type="granite", hidden_size=9 * 128))  # fmt: skip
    config = {"model_type": "longcat_flash_ngram"}
    write_repo(hub, "org/" + "x" * 90, model_files(config))
    lines = to_text(list_models(hub), width)
    if width >= 76:
        assert max(map(columns, lines)) <= width
    whole = "\n".join(lines)
    if width >= 64:
        assert "A-Long-Model-Name-With-135M-Instruct-6bit-mlx-gs32" in whole


def test_a_wide_terminal_has_a_line_a_model_and_a_narrow_one_two(hub: Path) -> None:
    listing = Listing(list_models(hub).scorable, [])
    assert len(to_text(listing, 120)) == 1 + 2 + 2
    assert len(to_text(listing, 80)) == 2 + 2 * 2 + 2
    assert len(to_text(listing, None)) == 3


def test_names_of_folders_act_on_no_terminal_and_no_table() -> None:
    repo = Unscorable("evil/[red]|x\x1b[31m\n\u202e`", "why `a|b` \x1b]0;title\x07", 3)
    listing = Listing([], [repo])
    for lines in (to_text(listing, 80), to_text(listing, None), to_markdown(listing)):
        assert not any(set("\x1b\n\x07\u202e") & set(line) for line in lines)
    *_, row = to_markdown(listing)
    assert row.count("|") == 4
    assert any("[red]" in line for line in to_text(listing, 80))


@pytest.mark.parametrize(
    ("name", "width", "expected"),
    [
        ("org/model-4bit", None, "org/model-4bit"),
        ("org/model-4bit", 14, "org/model-4bit"),
        ("mlx-community/model-4bit", 20, "mlx-comm…/model-4bit"),
        ("mlx-community/model-4bit", 12, "…/model-4bit"),
        ("mlx-community/model-4bit", 11, "model-4bit"),
        ("mlx-community/model-4bit", 9, "mode…4bit"),
        ("a-folder-of-mine", 9, "a-fo…mine"),
    ],
)
def test_the_owner_is_cut_before_the_name(name: str, width: int | None, expected: str) -> None:
    assert shortened(name, width) == expected


@given(st.text(min_size=1, max_size=60), st.integers(8, 80))
@example("a/" + "字" * 20, 9)
@example("字" * 30 + "/b", 8)
def test_a_shortened_name_fits(name: str, width: int) -> None:
    shown = shortened(name, width)
    assert columns(shown) <= width
    assert "\x1b" not in shown and "\n" not in shown


def test_neither_mlx_nor_numpy_is_imported(hub: Path) -> None:
    code = (
        "import sys\nfrom qfid_tui.cli import main\nmain(['models'])\n"
        "heavy = {'mlx', 'mlx_lm', 'numpy', 'pyarrow', 'textual', 'huggingface_hub'}\n"
        "sys.exit(str(heavy & {name.split('.')[0] for name in sys.modules} or ''))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "\n" and "org/first" in done.stdout
