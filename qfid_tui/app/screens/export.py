"""Writing a run's report or a picture of the screen to a file, and the report to the clipboard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from qfid_tui.app import clipboard, exported_file
from qfid_tui.app.exported_file import FORMATS, MARKDOWN, SCREENSHOT, ExportFormat
from qfid_tui.app.screen_svg import self_contained
from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.app.screens.panel import PanelScreen
from qfid_tui.app.shown_text import TONES, shown
from qfid_tui.app.widgets.field import Field
from qfid_tui.app.widgets.key_bar import KeyBar
from scorer.common.errors import QfidError
from scorer.report.formats.inline import bytes_of
from scorer.runs.listing import find_run
from scorer.spec.deployment import DeploymentSpec


class FormatList(OptionList, inherit_bindings=False):
    """The formats; a click chooses one, only enter or a button writes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Down", show=False, id="export.down"),
        Binding("up,k", "cursor_up", "Up", show=False, id="export.up"),
        Binding("home", "first", "First", show=False, id="export.first"),
        Binding("end", "last", "Last", show=False, id="export.last"),
    ]


class ExportScreen(PanelScreen[None]):
    """Writes one run in any format; stays open so that several can be written."""

    DEFAULT_CSS = """
    ExportScreen .panel {
        width: 100;
    }
    ExportScreen FormatList {
        height: 8;
        border: none;
        padding: 0;
        background: $surface;
        &:focus {
            border: none;
        }
        & > .option-list--option {
            padding: 0 1;
        }
    }
    ExportScreen .line {
        height: auto;
    }
    ExportScreen .-first {
        margin-top: 1;
    }
    ExportScreen .name {
        width: 9;
        padding-left: 1;
        color: $text-muted;
    }
    ExportScreen Field {
        width: 1fr;
    }
    ExportScreen #file {
        width: 1fr;
        height: auto;
        max-height: 3;
    }
    ExportScreen #messages {
        display: none;
        height: auto;
        max-height: 7;
        margin-top: 1;
        padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "write", "Write", id="export.write", tooltip="Write the file"),
        Binding(
            "c", "copy", "Copy report", id="export.copy", tooltip="Copy the Markdown and write it"
        ),
        Binding("f", "folder", "Folder", id="export.folder", tooltip="Type another folder"),
        Binding("n", "name", "Name", id="export.name", tooltip="Type another file name"),
        Binding("escape", "close", "Close", id="export.close", tooltip="Back to the screen behind"),
    ]

    def __init__(
        self,
        run: str,
        title: str,
        screenshot: Callable[[], str],
        deployment: DeploymentSpec | None = None,
    ) -> None:
        """Offer a run for export.

        Args:
            run: Id of the saved run.
            title: What is exported, for the border: model and settings.
            screenshot: Gives an SVG of the screen as it is now. It is called here, while the
                screen to be pictured is still the one on top.
            deployment: Where the model is to run; None for what the run says.
        """
        super().__init__()
        self._run = run
        self._title = title
        self._deployment = deployment
        self._svg = self_contained(screenshot())
        self._model = ""
        self._settings: tuple[str, ...] = ()
        self.is_ready = False
        self._busy = False
        # What the fields held when they were left, by their ids.
        self._kept = {"folder": "", "file-name": ""}
        self._messages: list[Content] = []

    def compose(self) -> ComposeResult:
        """Formats, folder and file, what was done, buttons."""
        with VerticalScroll(classes="panel", can_focus=False) as panel:
            panel.border_title = Content.assemble("Export · ", shown(self._title, 200))
            yield FormatList(*(Option(_line(kind), id=kind.key) for kind in FORMATS))
            with Horizontal(classes="line -first"):
                yield Label("folder", classes="name")
                yield Field(placeholder="the current folder; f to type another", id="folder")
            with Horizontal(classes="line"):
                yield Label("name", classes="name")
                yield Field(placeholder="as below; n to type another name", id="file-name")
            with Horizontal(classes="line"):
                yield Label("file", classes="name")
                yield Static(id="file")
            yield Static(id="messages")
            with Horizontal(classes="buttons"):
                yield Button(
                    Content(" Write "), "primary", id="write", compact=True, action="screen.write"
                )
                yield Button(
                    Content(" Copy report "), id="copy", compact=True, action="screen.copy"
                )
                yield Button(Content(" Close "), id="close", compact=True, action="screen.close")
        yield KeyBar()

    def on_mount(self) -> None:
        """Choose Markdown, and read what the file's name is made of."""
        formats = self.query_one(FormatList)
        formats.highlighted = 0
        formats.focus()
        self.query_one("#file", Static).update(Content("reading …"))
        self.run_worker(self._read(), exit_on_error=False)

    async def _read(self) -> None:
        try:
            run = await asyncio.to_thread(find_run, self._run)
        except QfidError as error:
            self._show_error(error)
        else:
            self._model = run.job.model
            self._settings = tuple(setting.file_name for setting in run.job.settings)
        self.is_ready = True
        self._show_file()
        self.refresh_bindings()

    @property
    def format(self) -> ExportFormat:
        """The format that is chosen."""
        return FORMATS[self.query_one(FormatList).highlighted or 0]

    def on_option_list_option_highlighted(self) -> None:
        """Name the file of the format chosen now."""
        self._changed()

    def on_input_changed(self) -> None:
        """Name the file by the folder and the name typed so far."""
        self._changed()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep what was typed."""
        self._kept[event.input.id or ""] = event.value
        self.query_one(FormatList).focus()

    def _changed(self) -> None:
        """Name the file, and drop what was said of another one."""
        if not self._busy:
            self._messages = []
            self.query_one("#messages").display = False
        self._show_file()

    def _file_name(self, kind: ExportFormat, typed: str) -> str:
        if typed.strip():
            return exported_file.own_name(typed, kind.suffix)
        return exported_file.export_name(self._run, self._model, self._settings, kind.suffix)

    def _show_file(self) -> None:
        if not self.is_ready:
            return
        folder = self.query_one("#folder", Input).value.strip()
        typed = self.query_one("#file-name", Input).value
        try:
            shown_path = str(Path(folder or ".") / self._file_name(self.format, typed))
        except QfidError as error:
            shown_path = f"✗ {error.message}: {error.hint}"
        self.query_one("#file", Static).update(shown(shown_path, 1000))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is written while the run is still read or another file is written."""
        if action in ("write", "copy"):
            return True if self.is_ready and not self._busy else None
        return True

    def action_folder(self) -> None:
        """Let the folder be typed."""
        self.query_one("#folder").focus()

    def action_name(self) -> None:
        """Let the name of the file be typed."""
        self.query_one("#file-name").focus()

    def action_close(self) -> None:
        """Leave a field with what it held before, or the screen."""
        if isinstance(field := self.focused, Input):
            field.value = self._kept[field.id or ""]
            self.query_one(FormatList).focus()
        else:
            self.dismiss(None)

    def action_write(self) -> None:
        """Write the file of the format chosen."""
        self._begin(self._write(self.format))

    def action_copy(self) -> None:
        """Copy the Markdown, and write it too: no terminal says whether a copy has arrived."""
        self._begin(self._copy())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        for name in self._kept:
            self._kept[name] = self.query_one(f"#{name}", Input).value
        self._busy = True
        self.refresh_bindings()
        # The worker belongs to the app: it goes on when this screen is left.
        self.app.run_worker(self._with_errors_shown(work), group="export", exit_on_error=False)

    async def _with_errors_shown(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except QfidError as error:
            self._show_error(error)
        except Exception as error:  # a report that was edited by hand may lack anything
            self.show_message("✗", f"the export failed: {type(error).__name__}: {error}")
        finally:
            self._busy = False
            self.refresh_bindings()

    async def _write(self, kind: ExportFormat) -> None:
        path = await self._path(kind)
        if path is not None and await self._may_write(path):
            self.show_message("…", f"writing {path.name}")
            size = await asyncio.to_thread(self._write_parts, kind, path)
            self.show_message("✓", f"written, {bytes_of(size)}", path)

    def _write_parts(self, kind: ExportFormat, path: Path) -> int:
        parts = [self._svg] if kind is SCREENSHOT else self._parts(kind)
        return exported_file.write_export(path, parts)

    async def _copy(self) -> None:
        text = await asyncio.to_thread(self._markdown)
        self.show_message("✓", f"report {await clipboard.copy(self.app, text)}")
        path = await self._path(MARKDOWN)
        if path is None:
            return
        if await asyncio.to_thread(exported_file.holds, path, text):
            self.show_message("✓", "it is in a file too", path)
        elif await self._may_write(path):
            size = await asyncio.to_thread(exported_file.write_export, path, [text])
            self.show_message("✓", f"also written, {bytes_of(size)}", path)

    def _parts(self, kind: ExportFormat) -> Iterable[str]:
        return exported_file.report_parts(kind.key, self._run, self._deployment)

    def _markdown(self) -> str:
        return "".join(self._parts(MARKDOWN))

    async def _path(self, kind: ExportFormat) -> Path | None:
        """Where the file goes; a folder that is not there is made if the user says so, else None.

        Raises:
            QfidError: There can be no such file.
        """
        folder, name = self._kept["folder"], self._file_name(kind, self._kept["file-name"])
        missing = await asyncio.to_thread(exported_file.missing_folder, folder)
        if missing is not None:
            question = ConfirmScreen(f"There is no folder {missing}. Make it?", "make it", "do not")
            if not await self.app.push_screen_wait(question):
                self.show_message("·", "nothing is written, the folder is not there", missing)
                return None
            await asyncio.to_thread(exported_file.make_folder, missing)
        return await asyncio.to_thread(exported_file.export_path, folder, name)

    async def _may_write(self, path: Path) -> bool:
        """Ask before a file is replaced."""
        if not await asyncio.to_thread(exported_file.in_the_way, path):
            return True
        question = ConfirmScreen(f"{path} is there already. Replace it?", "replace", "keep")
        if await self.app.push_screen_wait(question):
            return True
        self.show_message("·", "kept as it was", path)
        return False

    def _show_error(self, error: QfidError) -> None:
        self.show_message("✗", error.message)
        if error.hint:
            self.show_message("→", error.hint)

    def show_message(self, sign: str, sentence: str, path: Path | None = None) -> None:
        """Show what has been done; as a notification once the screen is left.

        Args:
            sign: ``✓``, ``✗``, ``→``, ``·``, or ``…`` for a message that the next one replaces.
            sentence: The message.
            path: The file that it is about.
        """
        line = Content.assemble(f"{sign} ", shown(sentence, 500))
        if path is not None:
            line = Content.assemble(line, "\n  ", shown(str(path), 1000))
        if not self.is_attached:
            if sign != "…":
                self.app.notify(line.plain, markup=False)
            return
        kept = (message for message in self._messages if not message.plain.startswith("…"))
        self._messages = [*kept, line][-2:]
        messages = self.query_one("#messages", Static)
        messages.update(Content("\n").join(self._messages))
        messages.display = True


def _line(kind: ExportFormat) -> Content:
    return Content.assemble(f"{kind.title:<15}", (kind.what, TONES["muted"]))
