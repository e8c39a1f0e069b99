"""Which tasks are found, and which are refused before anything of them runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from task_folders import task_folder

from scorer.common.errors import CustomCodeRefused, InputError
from scorer.tasks import own_tasks
from scorer.tasks.task_files import OWN_TASKS, check_task, default_tasks, find_tasks


def test_a_folder_a_file_and_a_name_are_tasks(tmp_path: Path) -> None:
    folder = task_folder(tmp_path / "a" / "b")
    for named in (tmp_path, folder, folder / "task.yaml"):
        (task,) = find_tasks([str(named)])
        assert (task.name, task.kind) == ("words", "multiple_choice")
        check_task(task, False)
        assert task.data_files() == {"data_files": {"test": str(folder / "items.jsonl")}}
    assert [task.name for task in find_tasks([])] == ["continuations", "everyday"]
    assert [task.name for task in find_tasks(["everyday"])] == ["everyday"]
    assert default_tasks("demo") == ("continuations",)


def test_paths_of_items_do_not_depend_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_folder(tmp_path / "tasks")
    monkeypatch.chdir(tmp_path)
    (task,) = find_tasks(["tasks"])
    assert task.data_files() == {"data_files": {"test": str(tmp_path / "tasks" / "items.jsonl")}}


def test_what_a_file_includes_counts(tmp_path: Path) -> None:
    folder = task_folder(tmp_path)
    (folder / "task.yaml").rename(folder / "common")
    (folder / "own.yaml").write_text("include: common\ntask: mine\noutput_type: generate_until\n")
    (task,) = find_tasks([str(folder)])
    assert task.name == "mine"
    with pytest.raises(InputError, match="task `mine` generates text"):
        check_task(task, False)
    (folder / "common").write_text("include: own.yaml\n")
    with pytest.raises(InputError, match="includes itself"):
        find_tasks([str(folder)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "allenai/ai2_arc"}, "reads the data set `allenai/ai2_arc` of the Hub"),
        ({"kind": "generate_until"}, "task `words` generates text"),
        ({"kind": "multimodal"}, "is of the kind `multimodal`"),
        ({"more": "dataset_kwargs: {}\n"}, "names no file with items"),
        (
            {"more": "dataset_kwargs: {data_files: {test: 'https://x.y/z.jsonl'}}\n"},
            "reads `https://x.y/z.jsonl`",
        ),
        ({"more": "dataset_kwargs: {data_files: none.jsonl}\n"}, "there is no file `none.jsonl`"),
    ],
)
def test_a_task_that_cannot_be_asked_is_refused_in_a_line(
    tmp_path: Path, options: dict[str, str], message: str
) -> None:
    task_folder(tmp_path, **options)  # type: ignore[arg-type]
    (task,) = find_tasks([str(tmp_path)])
    with pytest.raises(InputError, match=message) as caught:
        check_task(task, True)
    assert "\n" not in caught.value.message + caught.value.hint and caught.value.hint is not None


def test_python_of_a_task_does_not_run_without_consent(tmp_path: Path) -> None:
    more = "process_docs: !function utils.choose\nfilter_list: [{name: !function utils.other}]\n"
    task_folder(tmp_path, more=more)
    (tmp_path / "utils.py").write_text("raise AssertionError('it ran')\n")
    (task,) = find_tasks([str(tmp_path)])
    assert task.code() == (tmp_path / "utils.py",)
    with pytest.raises(CustomCodeRefused, match="task `words` runs Python of its own") as caught:
        check_task(task, False)
    assert caught.value.hint.startswith("--allow-custom-code")
    assert list(caught.value.files) == [str(tmp_path / "utils.py")]
    check_task(task, True)


def test_a_class_of_a_task_is_code_too(tmp_path: Path) -> None:
    task_folder(tmp_path, more="class: !function somewhere.Task\n")
    (task,) = find_tasks([str(tmp_path)])
    with pytest.raises(CustomCodeRefused, match=r"somewhere\.Task"):
        check_task(task, False)


def test_yaml_makes_no_python_objects(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("task: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(InputError, match="is no YAML"):
        find_tasks([str(tmp_path)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: [", "is no YAML"),
        ("- 1\n", "describes no task"),
        ("task: 5\n", "`task` is not a name"),
        ("group: all\ntask: [a, b]\n", "holds no task"),
        ("", "describes no task"),
    ],
)
def test_a_file_that_is_no_task_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        find_tasks([str(tmp_path)])
    assert str(tmp_path) in caught.value.message and "\n" not in caught.value.message


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        task_folder(tmp_path / name)
    with pytest.raises(InputError, match="both hold a task `words`"):
        find_tasks([str(tmp_path)])


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(InputError, match="no folder, YAML file or task `hellaswag`") as caught:
        find_tasks(["hellaswag"])
    assert "continuations, everyday" in caught.value.hint


def test_the_tasks_of_the_package_are_those_that_its_script_makes() -> None:
    for make in (own_tasks.continuations, own_tasks.everyday):
        lines = (OWN_TASKS / f"{make.__name__}.jsonl").read_text("utf-8").splitlines()
        items = [json.loads(line) for line in lines]
        assert items == make()
        for item in items:
            assert len(set(item["choices"])) == 4 and 0 <= item["answer"] < 4
    assert sum(path.stat().st_size for path in OWN_TASKS.iterdir()) < 100_000
