"""How the side screens look at both sizes, dark and light."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_up_run_list import made_up_list
from side_screen_app import Below, until
from textual.pilot import Pilot
from textual.screen import Screen

import qfid_tui
from qfid_tui.app.actions import HelpKey
from qfid_tui.app.screens.compared_runs import ComparedRunsScreen
from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.app.screens.fault import Fault, FaultScreen
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.screens.history import HistoryScreen
from qfid_tui.app.screens.page import PageScreen
from qfid_tui.state.compared_runs import ComparedGroup, ComparedRow, ComparedRun, ComparedRuns
from qfid_tui.state.run_results import RunOutcome, RunResult
from qfid_tui.state.setting_results import Figures
from scorer.runs.comparability import ComparabilityKey
from scorer.runs.run_info import RunInfo
from scorer.spec.settings.registry import parse_settings
from scorer.stats.intervals import Interval
from scorer.stats.summary_values import ChunkSums

MODEL = "local-test/SmolLM2-135M-Instruct-4bit"
RUN = "20261124-201425-SmolLM2-135M-Instruct-4bit-eaba"
FAULT = Fault(
    "the scorer ended without a report",
    "the scoring process was killed by signal 9 (SIGKILL) while it scored chunk 12 of 32",
    "other programs may have taken the memory: close them, or take fewer settings at once",
    tuple(f"line {i} of what the scorer said before it ended" for i in range(1, 31)),
    36,
    36,
    RUN,
)
KEYS = [
    HelpKey("?", "Keys, and every number explained", "workbench.help"),
    HelpKey("r", "Score the ticked settings", "workbench.run"),
    HelpKey("x", "Stop; what is scored is kept", "workbench.stop"),
    HelpKey("space", "Tick a setting", "settings.tick"),
    HelpKey("i", "Look at the text, token by token", "workbench.inspect"),
    HelpKey("e", "Write the report to a file", "workbench.export"),
    HelpKey("^p", "Every action, by name", "app.palette"),
]


def info(
    day: int, state: Any, settings: str, done: int, model: str = MODEL, **more: Any
) -> RunInfo:
    run = f"202611{day}-201425-{model.rpartition('/')[2][:40]}-eaba"
    return RunInfo(
        **{
            "id": run,
            "folder": f"/home/me/.local/share/qfid/runs/{run}",
            "state": state,
            "model": model,
            "settings": tuple(settings.split(",")),
            "corpus": "wikitext2",
            "created": f"2026-11-{day}T20:14:25+00:00",
            "chunks_done": done,
            "chunks_planned": 32 * len(settings.split(",")),
            **more,
        }
    )


RUNS = [
    info(24, "running", "8,6,4", 41),
    info(23, "finished", "8,6,4,4:32,k8v4", 160),
    info(22, "unfinished", "8,4", 36, "mlx-community/Meta-Llama-3.1-8B-Instruct-4bit"),
    info(21, "finished", "8,3", 32, failed=("3",)),
    info(20, "finished", "4@512~dequantized", 32, "demo", corpus="/home/me/notes on birds.md"),
    RunInfo(
        "20261119-101112-old-1a2b",
        "/home/me/.local/share/qfid/runs/20261119-101112-old-1a2b",
        "broken",
        "run `20261119-101112-old-1a2b` was written by another version of qfid (schema `0`)",
    ),
]


def outcome(run: RunInfo) -> RunOutcome:
    """Made-up results; a run that is unfinished or unusable has none yet."""
    if run.state in ("broken", "running"):
        return RunOutcome()
    verdicts = {"8": "good", "6": "good?", "k8v4": "marginal?"}
    results = tuple(
        RunResult(name, 0.000123 * 5**i, 0.0041 * 3**i, verdicts.get(name, "bad"))
        for i, name in enumerate(run.settings)
        if name not in run.failed
    )
    return RunOutcome(results, results[0])


def compared_row(run: int, name: str, kl: float, verdict: Any, *, is_open: bool) -> ComparedRow:
    figures = Figures(
        *(32, kl, Interval(0.8 * kl, 1.3 * kl), 9 * kl, 3 * kl**0.5 / 10, 20.0, 0.1, verdict),
        *(is_open, None, (), True),
    )
    key = ComparabilityKey(str(run), None, 0, "deployed", frozenset(range(32)))
    return ComparedRow(run, name, figures, 0.53, key, ChunkSums((), (), (), (), ()), {})


def compared_group(run: int, *differs: str) -> ComparedGroup:
    rows = (
        compared_row(run, "8", 0.000561 * (run + 1), "good", is_open=True),
        compared_row(run, "k8v4", 0.0258 * (run + 1), "marginal", is_open=True),
        compared_row(run, "4@512~dequantized", 0.149 * (run + 1), "bad", is_open=False),
    )
    return ComparedGroup(rows, (1, 1, 3), 32, differs)


COMPARED = ComparedRuns(
    (
        ComparedRun(RUN, MODEL, "WikiText-2, chunks of 512"),
        ComparedRun(RUN, MODEL.replace("4bit", "8bit"), "WikiText-2, chunks of 512"),
        ComparedRun(RUN, "demo", "built-in text, chunks of 512", "nothing is scored yet"),
    ),
    (
        compared_group(0),
        compared_group(1, "files of the model", "content of the model's files", "batch 4, not 8"),
    ),
)
JOB = SimpleNamespace(job=SimpleNamespace(model=MODEL, settings=parse_settings("8,6,4")))

Steps = Callable[[Any, Pilot[Any]], Any]


async def nothing(app: Below, pilot: Pilot[Any]) -> None:
    await pilot.pause()


async def listed(app: Below, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: app.screen.query_one("RunTable").display)
    await pilot.press("space")
    await pilot.press("down")
    await until(pilot, lambda: app.screen.query_one("RunTable").cursor == 1)  # type: ignore[attr-defined]


async def compared(app: Below, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: app.screen.is_read)  # type: ignore[attr-defined]


async def unusable(app: Below, pilot: Pilot[Any]) -> None:
    await listed(app, pilot)
    await pilot.press("end")
    await until(pilot, lambda: app.screen.query_one("RunTable").cursor == 5)  # type: ignore[attr-defined]


async def exported(app: Below, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: app.screen.is_ready)  # type: ignore[attr-defined]
    app.screen.show_message("✓", "report sent to the terminal's clipboard")  # type: ignore[attr-defined]
    app.screen.show_message("✓", "also written, 7.954 KiB", Path("/home/me/report.md"))  # type: ignore[attr-defined]
    await pilot.pause()


async def logged(app: Below, pilot: Pilot[Any]) -> None:
    box = app.screen.query_one("#log-box")
    await until(pilot, lambda: box.scroll_offset.y == box.max_scroll_y > 0)


SCREENS: dict[str, tuple[Callable[[], Screen[Any]], Steps]] = {
    "history": (lambda: HistoryScreen(None), listed),
    "history_unusable": (lambda: HistoryScreen(None), unusable),
    "compared_runs": (lambda: ComparedRunsScreen([RUN] * 3), compared),
    "export": (lambda: ExportScreen(RUN, f"{MODEL} · 8, 6, 4", lambda: ""), exported),
    "help": (lambda: HelpScreen(KEYS), nothing),
    "fault": (lambda: FaultScreen(FAULT), logged),
    "confirm": (
        lambda: ConfirmScreen("Delete the run? Its 96 chunks are gone then.", "delete", "keep"),
        nothing,
    ),
}


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Made-up runs and the time of no place in particular."""
    made_up_list(monkeypatch, RUNS, outcome)
    monkeypatch.setattr("qfid_tui.app.screens.compared_runs.read_compared", lambda _: COMPARED)
    monkeypatch.setattr("qfid_tui.app.screens.export.find_run", lambda _: JOB)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "theme", ["textual-dark", pytest.param("textual-light", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("size", [(80, 24), (140, 45)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
def test_looks(name: str, size: tuple[int, int], theme: str, snap_compare: Any) -> None:
    make, steps = SCREENS[name]

    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, Below)
        await until(pilot, lambda: len(app.screen_stack) > 1)
        await steps(app, pilot)

    assert snap_compare(Below(lambda _: make(), theme), terminal_size=size, run_before=before)


def test_the_workbench_stylesheet_leaves_the_side_screens_alone() -> None:
    """Its ids hold in the whole app: one of the same name here would be restyled."""
    own = re.compile(r"[^\w]#([\w-]+)")
    folder = Path(qfid_tui.__file__).parent
    taken = set(own.findall((folder / "app" / "qfid.tcss").read_text("utf-8")))
    assert "settings" in taken
    for make, _ in SCREENS.values():
        screen = make()
        ids = set(re.findall(r'\bid="([\w-]+)"', inspect.getsource(inspect.getmodule(screen))))  # type: ignore[arg-type]
        if isinstance(screen, PageScreen):
            ids |= {screen.PAGE, f"{screen.PAGE}-title"}
        assert ids and not ids & taken
