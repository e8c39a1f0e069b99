"""What cannot be scored: one or two lines on standard error, exit code 2, nothing half-written.

Every case goes through the child's code and through the command line, both in this process; one
of each kind goes through processes, from the command to its exit code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from child_in_process import answered
from cli_saved_runs import play, request_of, script
from job_requests import Asked
from scorer_child import scored_by_child
from tiny_runs import Small, failed

from qfid_tui.cli.command_line import main
from scorer.common.folders import runs_folder
from scorer.spec.job import Job

Case = Callable[[Asked], None]


def not_cached(asked: Asked) -> None:
    asked.model("nobody/nothing")


def no_such_folder(asked: Asked) -> None:
    asked.model(str(asked.small.model) + "-elsewhere")


def a_folder_that_is_no_model(asked: Asked) -> None:
    (asked.small.model / "config.json").unlink()


def a_config_that_is_no_json(asked: Asked) -> None:
    (asked.small.model / "config.json").write_text("{model_type: llama}")


def a_config_without_weights(asked: Asked) -> None:
    (asked.small.model / "model.safetensors").unlink()


def truncated_weights(asked: Asked) -> None:
    path = asked.small.model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def weights_of_another_shape(asked: Asked) -> None:
    asked.config(intermediate_size=96)


def weights_with_a_layer_missing(asked: Asked) -> None:
    asked.config(num_hidden_layers=5)


def pickled_weights(asked: Asked) -> None:
    path = asked.small.model / "model.safetensors"
    path.rename(path.with_name("pytorch_model.bin"))


def an_unknown_architecture(asked: Asked) -> None:
    asked.config(model_type="abacus")


def no_tokenizer(asked: Asked) -> None:
    (asked.small.model / "tokenizer.json").unlink()


def a_broken_tokenizer(asked: Asked) -> None:
    (asked.small.model / "tokenizer.json").write_text('{"model": 3}')


def a_tokenizer_of_another_model(asked: Asked) -> None:
    path = asked.small.model / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocab = tokenizer["model"]["vocab"]
    vocab["e"] = 9999
    path.write_text(json.dumps(tokenizer))


def seven_bits(asked: Asked) -> None:
    asked.set("--kv-bits", "7", "settings", ["7"])


def nothing_quantized(asked: Asked) -> None:
    del asked.arguments["--kv-bits"]
    asked.set("--settings", "k16v16", "settings", ["k16v16"])


def group_of_128(asked: Asked) -> None:
    asked.set("--kv-group-size", "128", "settings", ["8:128"])


def group_of_48(asked: Asked) -> None:
    asked.set("--kv-group-size", "48", "settings", ["8:48"])


def empty_text(asked: Asked) -> None:
    asked.text(b"")


def blank_text(asked: Asked) -> None:
    asked.text(b" \n\n \t\n")


def binary_text(asked: Asked) -> None:
    asked.text(b"text and then\0\1\2\3" * 100)


def latin1_text(asked: Asked) -> None:
    asked.text("Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ".encode("latin1"))


def short_text(asked: Asked) -> None:
    asked.text(b"Too short.")


def no_such_text(asked: Asked) -> None:
    asked.set("--corpus", "/nowhere/text.txt", "corpus", "/nowhere/text.txt")


def a_row_that_is_no_json(asked: Asked) -> None:
    asked.text(b'{"text": "one"}\n{"text": \n', ".jsonl")


def a_table_that_is_none(asked: Asked) -> None:
    asked.text(b"PAR1 and nothing else", ".parquet")


def one_token_chunks(asked: Asked) -> None:
    asked.length(1)


def no_chunks(asked: Asked) -> None:
    asked.set("--max-chunks", "0", "max_chunks", 0)


def a_start_at_the_end(asked: Asked) -> None:
    asked.set("--quantize-start", "31", "settings", ["8@31"])


def a_start_beyond_the_end(asked: Asked) -> None:
    asked.set("--quantize-start", "512", "settings", ["8@512"])


def code_of_its_own(asked: Asked) -> None:
    (asked.small.model / "modeling.py").write_text("raise SystemExit('it ran')")
    asked.config(model_file="modeling.py")


def a_tokenizer_that_is_code(asked: Asked) -> None:
    folder = asked.small.model
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["tokenization_own.Own", None]}})
    )


def a_revision_of_a_folder(asked: Asked) -> None:
    asked.set("--revision", "v1", "revision", "v1")


CASES: list[tuple[Case, str, str]] = [
    (not_cached, "`nobody/nothing` is not in the local cache", "qfid pull nobody/nothing"),
    (no_such_folder, "there is no folder `", "or `demo`"),
    (a_folder_that_is_no_model, "there is no config.json", "config.json, weights and a tokenizer"),
    (a_config_that_is_no_json, "config.json is not valid JSON (line 1)", "download"),
    (a_config_without_weights, "it has config.json but no weights", "download the folder again"),
    (truncated_weights, "`model.safetensors` is cut off", "download the folder again"),
    (weights_of_another_shape, "does not load: ", "check config.json against the weights"),
    (weights_with_a_layer_missing, "does not load: its weights lack `", "download the model again"),
    (pickled_weights, "`pytorch_model.bin`, a format that can run code", "safetensors"),
    (an_unknown_architecture, "`abacus`", "mlx-lm"),
    (no_tokenizer, "it has no tokenizer", "download the folder again"),
    (a_broken_tokenizer, "the tokenizer in `", "tokenizer.json"),
    (a_tokenizer_of_another_model, "token id `9999` of the tokenizer", "do not belong together"),
    (seven_bits, "`7` bits", "widths: 2, 3, 4, 5, 6, 8"),
    (nothing_quantized, "`k16v16` quantizes nothing", "fewer than 16 bits"),
    (group_of_128, "group size 128 does not divide the head dimension 64", "fit: `8:32`, `8`"),
    (group_of_48, "`48` is not a group size", "32, 64, 128"),
    (empty_text, "`corpus.txt` holds no text", ""),
    (blank_text, "`corpus.txt` holds no text", ""),
    (binary_text, "`corpus.txt` is binary: byte 13 is zero", "UTF-8"),
    (latin1_text, "`corpus.txt` is not UTF-8: byte 2", "UTF-8"),
    (short_text, "holds 10 tokens, fewer than the 32 of a chunk", "--chunk-length 10 would fit"),
    (no_such_text, "there is no file `/nowhere/text.txt`", "text, JSON lines or Parquet"),
    (a_row_that_is_no_json, "line 2 of `corpus.jsonl` is not JSON", '{"text": '),
    (a_table_that_is_none, "`corpus.parquet` is not a Parquet file", ""),
    (one_token_chunks, "chunk length `1` leaves no token to predict", "at least 2"),
    (no_chunks, "`0` chunks score nothing", "at least 1"),
    (a_start_at_the_end, "start 31 leaves no position", "--quantize-start must be below 31"),
    (a_start_beyond_the_end, "start 512 leaves no position", "must be below 31"),
    (code_of_its_own, "it runs code of its own: `modeling.py`", "--allow-custom-code"),
    (a_tokenizer_that_is_code, "its tokenizer is code of its own", "--allow-custom-code"),
    (a_revision_of_a_folder, "a local folder has no revision `v1`", "leave out --revision"),
]

cases = pytest.mark.parametrize(
    ("case", "message", "hint"), CASES, ids=[case.__name__ for case, _, _ in CASES]
)


@pytest.fixture
def asked(small: Small, tmp_path: Path) -> Asked:
    model = shutil.copytree(small.model, tmp_path / "input" / "tiny-llama")
    return Asked(Small(model, Path(shutil.copy(small.text, tmp_path / "input" / "text.txt"))))


def check_nothing_saved() -> None:
    folder = runs_folder()
    assert not folder.exists() or list(folder.iterdir()) == []


@cases
def test_the_child_says_what_is_wrong(
    asked: Asked, case: Case, message: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    case(asked)
    events, code = answered(asked.request)
    failure = failed(events)
    assert message in failure.message and hint in failure.hint
    assert (code, failure.exit_code, failure.run, failure.saved) == (2, 2, None, 0)
    assert "\n" not in failure.message + failure.hint and capfd.readouterr() == ("", "")
    assert not failure.message.endswith(".")
    check_nothing_saved()


def on_the_command_line(
    asked: Asked, folder: Path, **environ: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        asked.command_line(),
        cwd=folder,
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "" and "Traceback" not in done.stderr
    return done


def error_lines(stderr: str) -> list[str]:
    """Standard error from the error on: what stands before it says what was being done."""
    lines = stderr.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("error: "))
    return lines[first:]


@cases
def test_the_command_line_says_it_in_two_lines(
    asked: Asked,
    tmp_path: Path,
    case: Case,
    message: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    case(asked)
    output = tmp_path / "reports"
    output.mkdir()
    asked.arguments["--output"] = str(output / "report.md")
    path = script(tmp_path / "child", answered(asked.request)[0], "!exit 2")
    play(monkeypatch, path)
    code = main(asked.words())
    written = capfd.readouterr()
    lines = error_lines(written.err)
    assert code == 2 and written.out == "" and message in lines[0]
    assert len(lines) <= 2 and hint in "".join(lines[1:])
    assert list(output.iterdir()) == []
    check_nothing_saved()
    if path.with_suffix(".request").exists():
        # What the child has answered is what it was asked.
        assert Job.from_json(request_of(path)) == Job.from_json(asked.request)


SLOW = pytest.mark.slow
PLAIN = (seven_bits, no_tokenizer, a_broken_tokenizer, truncated_weights)


@pytest.mark.parametrize(
    ("case", "message", "hint"),
    [
        pytest.param(*known, id=known[0].__name__, marks=[] if known[0] in PLAIN else SLOW)
        for known in CASES
    ],
)
def test_the_command_says_it_in_two_lines(
    asked: Asked, tmp_path: Path, case: Case, message: str, hint: str
) -> None:
    """Refused by the command itself, by its child at once, and once the child loads."""
    case(asked)
    done = on_the_command_line(asked, tmp_path)
    lines = error_lines(done.stderr)
    assert done.returncode == 2 and message in lines[0]
    assert len(lines) <= 2 and hint in "".join(lines[1:])
    check_nothing_saved()


def a_missing_folder(tmp_path: Path) -> Path:
    return tmp_path / "missing" / "report.md"


def a_folder_itself(tmp_path: Path) -> Path:
    return tmp_path


def below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("kept")
    return tmp_path / "file" / "report.md"


def in_a_read_only_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    return folder / "report.md"


def in_the_kernels_folder(tmp_path: Path) -> Path:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc, where nobody can make a file")
    return Path("/proc/report.md")


@pytest.mark.parametrize(
    "where",
    [
        a_missing_folder,
        a_folder_itself,
        below_a_file,
        in_a_read_only_folder,
        in_the_kernels_folder,
    ],
)
def test_an_output_that_cannot_be_written_is_said_before_anything_is_scored(
    asked: Asked, tmp_path: Path, where: Callable[[Path], Path]
) -> None:
    output = where(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    asked.arguments["--output"] = str(output)
    done = on_the_command_line(asked, tmp_path)
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and len(lines) <= 2 and lines[0].startswith("error: ")
    assert str(output) in lines[0] or f"`{output.parent}`" in lines[0]
    assert sorted(tmp_path.rglob("*")) == before
    check_nothing_saved()


def test_no_folder_of_runs(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("kept")
    data = str(tmp_path / "file")
    monkeypatch.setenv("QFID_DATA_DIR", data)
    events, code = answered(asked.request)
    assert code == (failure := failed(events)).exit_code == 2
    assert "the folder of runs" in failure.message and "QFID_DATA_DIR" in failure.hint
    done = on_the_command_line(asked, tmp_path, QFID_DATA_DIR=data)
    assert done.returncode == 2 and "the folder of runs" in error_lines(done.stderr)[0]
    assert (tmp_path / "file").read_text() == "kept"


def test_weights_that_hold_nan_are_refused(asked: Asked) -> None:
    import mlx.core as mx
    from tiny_runs import edit_weights

    def poison(weights: dict[str, Any]) -> None:
        for name, value in weights.items():
            if "embed_tokens" in name:
                weights[name] = mx.full(value.shape, float("nan"))

    edit_weights(asked.small.model, poison)
    events, code = answered(asked.request)
    assert code == 2 and "gives no finite logits" in failed(events).message
    check_nothing_saved()


def test_code_that_was_not_allowed_did_not_run(asked: Asked, tmp_path: Path) -> None:
    witness = tmp_path / "it-ran"
    code_of_its_own(asked)
    (asked.small.model / "modeling.py").write_text(
        f"open({str(witness)!r}, 'w').close()\nfrom mlx_lm.models.llama import Model, ModelArgs\n"
    )
    assert answered(asked.request)[1] == 2 and not witness.exists()
    # Allowed, it does: the witness can testify.
    events, code, _ = scored_by_child(asked.request | {"allow_custom_code": True})
    assert code == 0, events[-1]
    assert witness.exists()
