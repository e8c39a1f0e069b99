"""Which files an export can write, under which names, and how one is written."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qfid_tui.cli.output import ReportFile
from qfid_tui.cli.rendered_report import rendered_text
from scorer.common.atomic_files import storage_error
from scorer.common.errors import InputError
from scorer.report.saved_report import deployed_report, saved_report
from scorer.runs.listing import find_run
from scorer.spec.deployment import DeploymentSpec

_MODEL_LENGTH = 40
_SETTINGS_LENGTH = 60
_ID_LENGTH = 80
_RUN_ID = re.compile(r"(\d{8}-\d{6})-.*?-([0-9a-f]{4})")
_UNSAFE = re.compile(r"[^A-Za-z0-9._]+")


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One kind of file.

    Attributes:
        key: A format of :data:`qfid_tui.cli.report_formats.FORMATS`, or ``svg``.
        title: What it is called.
        suffix: How its file's name ends.
        what: What it holds, a few words.
    """

    key: str
    title: str
    suffix: str
    what: str


MARKDOWN = ExportFormat("md", "Markdown", ".md", "the report, as `qfid report` prints it")
SCREENSHOT = ExportFormat("svg", "Screenshot", ".svg", "the screen behind this one")
FORMATS = (
    MARKDOWN,
    ExportFormat("html", "Page", ".html", "charts and the worst passages, for a browser"),
    ExportFormat("json", "JSON", ".json", "the report for programs, every number"),
    ExportFormat("csv", "CSV", ".csv", "one line per setting"),
    ExportFormat(
        "positions", "Positions CSV", "-positions.csv", "one line per scored token: large"
    ),
    ExportFormat("card", "Model card", "-card.md", "a block for a model card on Hugging Face"),
    ExportFormat("badge", "Badges", "-badge.md", "an image line per setting, for a README"),
    SCREENSHOT,
)


def export_name(run_id: str, model: str, settings: Sequence[str], suffix: str) -> str:
    """A file name that says what is in it and that no folder can be left by.

    Args:
        run_id: Id of the run.
        model: The model as the job names it; "" where it is not known.
        settings: The settings as file names; as many stand in the name as fit.
        suffix: How it ends.
    """
    dated = _RUN_ID.fullmatch(run_id)
    stamp = "-".join(dated.groups()) if dated else _safe(run_id)[:_ID_LENGTH]
    parts = ["qfid", _safe(re.split(r"[/\\]", model.rstrip("/\\"))[-1])[:_MODEL_LENGTH]]
    parts += [_settings_part(settings), stamp]
    return "-".join(part.strip("-.") for part in parts if part.strip("-.")) + suffix


def own_name(typed: str, suffix: str) -> str:
    """A file name that the user has typed, with the format's ending where it has not its suffix.

    Args:
        typed: The name, not empty.
        suffix: How files of the format end: ``-card.md``. A name that ends in ``.md`` is kept.

    Raises:
        InputError: It is no name of a file in a folder.
    """
    name = typed.strip()
    if "/" in name or "\\" in name or name.strip(".") == "" or not name.isprintable():
        raise InputError(f"`{name[:80]}` is no file name", "folders stand in the line above it")
    ending = suffix[suffix.rindex(".") :]
    return name if name.casefold().endswith(ending) else name + suffix


def _settings_part(settings: Sequence[str]) -> str:
    named = ""
    for i, setting in enumerate(settings):
        longer = "-".join(filter(None, (named, _safe(setting))))
        if len(longer) > _SETTINGS_LENGTH:
            return f"{named}-and-{len(settings) - i}-more"
        named = longer
    return named


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.")


def export_path(folder: str, name: str) -> Path:
    """Where the file goes.

    Args:
        folder: A folder as it was typed: ``~`` is the user's home, empty the current folder.
        name: What :func:`export_name` gave.

    Raises:
        InputError: There is no such folder.
        QfidError: The disk refuses.
    """
    try:
        found = Path(folder.strip() or ".").expanduser()
        if not stat.S_ISDIR(found.stat().st_mode):
            raise InputError(f"`{found}` is not a folder", "name another one")
        return found.absolute() / name
    except FileNotFoundError as error:
        raise InputError(f"there is no folder `{folder}`", "create it, or name another") from error
    except RuntimeError as error:
        raise InputError(f"`{folder}` names nobody's home", "name a folder in full") from error
    except (OSError, ValueError) as error:
        raise storage_error(error, Path(folder)) from error


def missing_folder(folder: str) -> Path | None:
    """The folder that would have to be made; None where it is there, or something else is.

    Args:
        folder: As for :func:`export_path`.

    Raises:
        QfidError: The disk refuses.
    """
    try:
        found = Path(folder.strip() or ".").expanduser()
        return None if os.path.lexists(found) else found.absolute()
    except RuntimeError:
        return None
    except (OSError, ValueError) as error:
        raise storage_error(error, Path(folder)) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        QfidError: The disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error


def in_the_way(path: Path) -> bool:
    """Whether a file would be replaced.

    Raises:
        InputError: Something that is no plain file has the name: a link would lead the bytes out
            of the folder, a pipe would wait for its reader for ever.
        QfidError: The disk refuses.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise storage_error(error, path) from error
    if not stat.S_ISREG(mode):
        raise InputError(f"`{path}` is there and is no plain file", "move it, or name a folder")
    return True


def holds(path: Path, text: str) -> bool:
    """Whether the file there holds exactly this text already."""
    try:
        wanted = text.encode("utf-8", "replace")
        return path.stat().st_size == len(wanted) and path.read_bytes() == wanted
    except OSError:
        return False


def report_parts(key: str, run_id: str, deployment: DeploymentSpec | None = None) -> Iterable[str]:
    """The report of a saved run in a format, the same text as ``qfid report --format`` prints.

    Args:
        key: The format.
        run_id: Id of the run.
        deployment: Where the model is to run; None for what the run says.

    Raises:
        QfidError: There is no such run, it is damaged, or it holds nothing yet.
    """
    run = find_run(run_id)
    if deployment is None or deployment == (run.job.deployment or DeploymentSpec()):
        return rendered_text(key, saved_report(run), run.id)
    return rendered_text(key, deployed_report(run, deployment), run.id)


def write_export(path: Path, parts: Iterable[str]) -> int:
    """Write the file aside, then rename it into place.

    Returns:
        Its size in bytes.

    Raises:
        QfidError: It cannot be written; a file that was there is untouched.
    """
    in_the_way(path)
    ReportFile(str(path)).write(parts)
    try:
        return path.stat().st_size
    except OSError as error:
        raise storage_error(error, path) from error
