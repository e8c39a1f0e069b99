"""Tasks through lm-evaluation-harness itself, in child processes; slow, and skipped without it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from task_folders import ITEMS, task_folder

from scorer import measure_tasks
from scorer.common.errors import InputError
from scorer.spec.events import Event, RequestsScored, TasksPlanned
from scorer.tasks.report import TasksReport

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("lm_eval") is None,
        reason="lm-evaluation-harness is not installed: pip install 'qfid[tasks]'",
    ),
]


@pytest.fixture(autouse=True)
def _own_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path / "data"))


ORACLE = """
import json, sys
import mlx.core as mx, numpy as np
import lm_eval.evaluator
from lm_eval.api.model import TemplateLM
from lm_eval.tasks import TaskManager
from mlx_lm import load

mx.set_default_device(mx.cpu)
folder, model_path, name = sys.argv[1:]
model, tokenizer = load(model_path)


class Plain(TemplateLM):
    eot_token_id = 0
    prefix_token_id = 0

    def tok_encode(self, string, add_special_tokens=None, **_):
        return tokenizer.encode(string, add_special_tokens=False)

    def _loglikelihood_tokens(self, requests, **_):
        found = []
        for _, context, continuation in requests:
            ids = context + continuation
            logits = np.array(model(mx.array([ids[:-1]])).astype(mx.float32))[0].astype(float)
            logits = logits[-len(continuation):]
            top = logits.max(-1, keepdims=True)
            logs = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
            total = sum(row[token] for row, token in zip(logs, continuation))
            greedy = all(row.argmax() == token for row, token in zip(logs, continuation))
            found.append((float(total), bool(greedy)))
        return found

    def loglikelihood_rolling(self, requests, **_):
        raise NotImplementedError

    def generate_until(self, requests, **_):
        raise NotImplementedError


manager = TaskManager(include_path=folder, include_defaults=False)
results = lm_eval.evaluator.simple_evaluate(
    Plain(), tasks=[name], task_manager=manager, bootstrap_iters=0, log_samples=True
)
samples = [[each["acc"], each["acc_norm"]] for each in results["samples"][name]]
print("RESULT" + json.dumps([results["results"][name]["acc,none"], samples]))
"""


def test_the_reference_is_what_the_harness_itself_finds(tmp_path: Path) -> None:
    """Its own entry point, with a model of its own over mlx-lm, from tokens to accuracy."""
    from scorer.demo import demo_model_path
    from scorer.tasks.results import read_items
    from scorer.tasks.task_files import OWN_TASKS

    items = [json.loads(line) for line in (OWN_TASKS / "everyday.jsonl").read_text().splitlines()]
    folder = task_folder(tmp_path / "tasks", items=items[::4])
    yaml = folder / "task.yaml"
    yaml.write_text(yaml.read_text().replace("items.jsonl", str(folder / "items.jsonl")))
    done = subprocess.run(
        [sys.executable, "-c", ORACLE, str(folder), str(demo_model_path()), "words"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "cache")},
    )
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("RESULT")]
    accuracy, samples = json.loads(line.removeprefix("RESULT"))
    report = measure_tasks("demo", settings="8", tasks=folder)
    assert report.tasks[0].choices[0].reference.share == pytest.approx(accuracy)
    assert report.tasks[0].metrics["reference"]["acc"] == pytest.approx(accuracy)
    rows = [row.split(",") for row in read_items(report.results).splitlines()[1:]]
    for place, metric in enumerate(("acc", "acc_norm")):
        right = [row[5] == "true" for row in rows if row[1] == metric and row[3] == "reference"]
        assert right == [bool(each[place]) for each in samples]


def test_every_kind_of_likelihood_is_scored(tmp_path: Path) -> None:
    task_folder(tmp_path / "t" / "a", name="choices")
    texts = [{**item, "answer": f" {item['choices'][item['answer']]}"} for item in ITEMS]
    task_folder(tmp_path / "t" / "b", name="texts", kind="loglikelihood", items=texts)
    rolling = [{**item, "answer": f"{item['question']} and more of it. " * 9} for item in ITEMS]
    folder = task_folder(
        tmp_path / "t" / "c", name="rolling", kind="loglikelihood_rolling", items=rolling
    )
    yaml = (folder / "task.yaml").read_text().replace("{{question}}", "")
    for old, new in (("doc_to_target: answer", 'doc_to_target: "{{answer}}"'),):
        yaml = yaml.replace(old, new)
    yaml = yaml.replace("{metric: acc}, {metric: acc_norm}", "{metric: word_perplexity}")
    (folder / "task.yaml").write_text(yaml)
    texts_yaml = tmp_path / "t" / "b" / "task.yaml"
    target = texts_yaml.read_text().replace("doc_to_target: answer", 'doc_to_target: "{{answer}}"')
    texts_yaml.write_text(target.replace(", {metric: acc_norm}", ", {metric: perplexity}"))
    report = measure_tasks("demo", settings="8,2", tasks=tmp_path / "t")
    by_name = {task.task: task for task in report.tasks}
    assert set(by_name) == {"choices", "texts", "rolling"}
    assert [part.metric for part in by_name["choices"].choices] == ["acc", "acc_norm"]
    assert [part.metric for part in by_name["texts"].choices] == ["acc"]
    assert by_name["rolling"].choices == () and by_name["texts"].chance is None
    perplexities = {k: v["word_perplexity"] for k, v in by_name["rolling"].metrics.items()}
    assert set(perplexities) == {"reference", "8", "2"}
    assert perplexities["2"] > perplexities["reference"] > 1


def test_a_killed_process_leaves_what_it_has_scored(tmp_path: Path) -> None:
    job = {"model": "demo", "settings": ["8", "4"], "tasks": ["continuations"], "limit": 40}
    command = [sys.executable, "-m", "scorer", "--tasks"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(json.dumps({**job, "batch": 1}).encode() + b"\n")
    child.stdin.flush()
    scored = 0
    for line in child.stdout:
        scored += line.startswith(b'{"event":"requests"')
        if scored == 30:
            child.send_signal(signal.SIGKILL)
            break
    child.wait()
    child.stdin.close()
    child.stdout.close()
    seen: list[Event] = []
    report = measure_tasks(
        "demo", settings="8,4", tasks="continuations", limit=40, on_event=seen.append
    )
    (planned,) = [each for each in seen if isinstance(each, TasksPlanned)]
    assert 30 <= planned.done < planned.total
    assert sum(isinstance(each, RequestsScored) for each in seen) > 0
    (file,) = (tmp_path / "data" / "tasks").glob("*/scores.jsonl")
    file.unlink()
    again = measure_tasks("demo", settings="8,4", tasks="continuations", limit=40)
    assert again == report


def test_an_interrupt_ends_it_in_time_and_says_what_is_saved() -> None:
    command = [sys.executable, "-m", "scorer", "--tasks"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    job = {"model": "demo", "settings": ["8"], "tasks": ["continuations"], "batch": 1}
    child.stdin.write(json.dumps(job).encode() + b"\n")
    child.stdin.flush()
    last, sent = b"", 0.0
    for line in child.stdout:
        last = line
        if line.startswith(b'{"event":"requests"') and not sent:
            child.send_signal(signal.SIGINT)
            sent = time.monotonic()
    assert child.wait() == 130 and time.monotonic() - sent < 5
    child.stdin.close()
    child.stdout.close()
    event = json.loads(last)
    assert event["event"] == "failed" and event["exit_code"] == 130
    assert "requests are saved" in event["message"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("{{question}}", "{{nothing}}"), "'nothing' is undefined"),
        (("{{question}}", "{{ ''.__class__.__mro__ }}"), "is unsafe"),
        (("test_split: test", "test_split: dev"), "cannot be read"),
    ],
)
def test_what_the_harness_cannot_read_is_a_line(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    folder = task_folder(tmp_path)
    yaml = folder / "task.yaml"
    yaml.write_text(yaml.read_text().replace(*change))
    with pytest.raises(InputError, match=message) as caught:
        measure_tasks("demo", tasks=folder)
    assert "\n" not in caught.value.message


def test_python_of_a_task_runs_with_consent(tmp_path: Path) -> None:
    folder = task_folder(tmp_path, more="process_docs: !function utils.first\n")
    (folder / "utils.py").write_text("def first(docs):\n    return docs.select([0, 2])\n")
    with pytest.warns(UserWarning, match=r"task `words` runs code of its own"):
        report: TasksReport = measure_tasks(
            "demo", settings="8", tasks=folder, allow_custom_code=True
        )
    assert report.tasks[0].items == 2


def test_the_harness_does_not_bring_pytorch() -> None:
    code = "import sys, lm_eval.evaluator, lm_eval.tasks; print('torch' in sys.modules)"
    if importlib.util.find_spec("torch") is not None:
        pytest.skip("PyTorch is installed, and transformers imports it")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
