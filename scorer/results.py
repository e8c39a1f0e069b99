"""What a saved run measured, for programs: its report, and arrays of every scored position.

Neither MLX nor the app is imported, NumPy and pyarrow only when arrays are read or a report has to
be made. Nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from scorer.runs.listing import find_run
from scorer.runs.run import Run

if TYPE_CHECKING:
    from os import PathLike

    from scorer.report.gate import Gate, Tier
    from scorer.report.run_diff_part import RunDiff
    from scorer.report.tree import Report
    from scorer.runs.stored_chunks import StoredChunks
    from scorer.spec.job import Job
    from scorer.stats.positions import Positions

__all__ = ["RunResults", "SettingArrays", "diff_runs", "open_run", "read_positions"]


def open_run(run: str | PathLike[str]) -> RunResults:
    """Open a saved run to read it, finished or not, also while it is scored.

    Args:
        run: Id of the run or its unique beginning, among the runs saved here; or the path of a
            run's folder, wherever that lies.

    Raises:
        InputError: There is no such run, or its ``job.json`` is damaged or of another version; the
            message is one line.
    """
    text = os.fspath(run)
    if os.sep in text or "/" in text or not isinstance(run, str):
        folder = _folder(text)
        if folder is not None:
            return RunResults(folder)
    return RunResults(find_run(text))


def _folder(text: str) -> Run | None:
    """The run in a folder; None where the path names no folder with a ``job.json``."""
    from pathlib import Path

    try:
        path = Path(text).expanduser().resolve()
        found = (path / "job.json").is_file()
    except (OSError, ValueError, RuntimeError):
        return None
    return Run(path) if found else None


def diff_runs(
    run_a: str | PathLike[str],
    run_b: str | PathLike[str],
    *,
    within: str | float | None = None,
    settings: Sequence[str] | str | None = None,
) -> RunDiff:
    """Pair two saved runs that scored the same on another device, or with other versions.

    Args:
        run_a: The first run, as of :func:`open_run`.
        run_b: The second run.
        within: How far their KL means may lie apart: ``"10%"`` of the first one's, which is also
            the default, or nats.
        settings: Settings in notation; None for all that both have.

    Returns:
        ``.settings`` has the paired difference of each setting with its interval, ``.how`` what
        differs between the runs, ``.exit_code`` 0 where every interval lies within the bound, 4
        where one lies beyond, else 5.

    Raises:
        InputError: The runs did not score the same: model, text, protocol, length, setting and
            chunks must be equal; the message is one line and says what differs.
        QfidError: Positions cannot be read.
    """
    from scorer.report.run_diff import run_diff
    from scorer.report.run_diff_part import Within
    from scorer.spec.settings.registry import parse_setting, parse_settings

    bound = None if within is None else Within.parse(str(within))
    if settings is None:
        names = []
    elif isinstance(settings, str):
        names = [setting.key for setting in parse_settings(settings)]
    else:
        names = [parse_setting(name).key for name in settings]
    return run_diff(open_run(run_a)._run, open_run(run_b)._run, names, bound)


class RunResults:
    """The results of one saved run.

    Attributes:
        id: Name of the run's folder.
        job: What was asked.
        settings: The settings in notation, in the order of the report.
    """

    id: str
    job: Job
    settings: tuple[str, ...]

    def __init__(self, run: Run) -> None:
        """Take a saved run; :func:`open_run` finds one."""
        self._run = run
        self._report: Report | None = None
        self._stored: dict[str, StoredChunks] | None = None
        self.id = run.id
        self.job = run.job
        self.settings = tuple(setting.key for setting in run.job.settings)

    def __repr__(self) -> str:
        return f"<run {self.id}: {', '.join(self.settings)}>"

    @property
    def finished(self) -> bool:
        """Whether a report covers every setting."""
        return self._run.finished

    @property
    def report(self) -> Report:
        """The report: the stored one, or one made of the positions where that says more.

        ``report.settings`` holds a row for each setting; ``report.to_json()`` is what
        ``qfid report --format json`` prints, and :func:`scorer.report.schema.report_schema` its
        JSON Schema. It is read once.

        Raises:
            QfidError: Nothing is scored yet, or what is stored is damaged; the message is one line.
        """
        if self._report is None:
            from scorer.report.saved_report import saved_report

            self._report = saved_report(self._run, self._stored)
        return self._report

    def gate(self, tier: Tier = "good") -> Gate:
        """Judge all settings by intervals that hold together, as ``--fail-under --confident`` does.

        Args:
            tier: The tier that is to be reached: ``good`` or ``marginal``.

        Returns:
            ``.exit_code`` is 4 if a setting is beyond a bound, 5 if one is not settled, else 0;
            ``.beyond``, ``.open`` and ``.within`` say which.

        Raises:
            InputError: There is no such tier.
            QfidError: As of ``report``.
        """
        from scorer.report.gate import check_tier, gate, lacks_intervals

        check_tier(tier)
        report = self.report
        if lacks_intervals(report):
            from scorer.report.from_run import finished_report

            report = finished_report(self._run, self._stored)
        return gate(report, tier)

    @property
    def arrays(self) -> Mapping[str, SettingArrays]:
        """The scored positions of each setting that has some, in the order of ``settings``.

        Looking at them checks the whole file once and reads no position into memory.

        Raises:
            InputError: Another version of qfid wrote the positions.
            QfidError: The file cannot be read. Chunks behind damage are left out, as they are when
                a run goes on; ``missing`` names them.
        """
        if self._stored is None:
            self._stored = self._run.read()
        names = {name: self._stored.get(self._run.stored_as(name)) for name in self.settings}
        return {name: SettingArrays(name, chunks) for name, chunks in names.items() if chunks}

    @property
    def missing(self) -> dict[str, list[int]]:
        """Planned chunks that ``arrays`` lacks, by setting, in scoring order; empty for none.

        They are not scored yet, not scored because the setting failed or was dropped, or stored
        and damaged.

        Raises:
            QfidError: As of ``arrays``.
        """
        planned, found = self._run.readable_facts.chunks or (), {}
        arrays = self.arrays
        for name in self.settings:
            stored = set(arrays[name].chunks) if name in arrays else set()
            if lacking := [chunk for chunk in planned if chunk not in stored]:
                found[name] = lacking
        return found


class SettingArrays:
    """The scored positions of one setting; read from the file whenever they are asked for.

    :meth:`read` and :meth:`by_chunk` give a :class:`~scorer.stats.positions.Positions`, arrays of
    one row per scored position, sorted by chunk and position:

    - ``chunk``, int32: index of the chunk in the text;
    - ``position``, int32: position t in the chunk, from 0; it predicts token t + 1;
    - ``token``, int32: id of the target, token t + 1;
    - ``kl``, float64: KL(reference ‖ quantized) over the whole vocabulary, nats; may be +inf, and
      slightly negative from rounding;
    - ``nll_ref``, ``nll_quant``, float64: −log p(target) of the reference and of the quantized
      model, nats;
    - ``top_ref``, ``top_quant``, int32: id of the most likely token of each;
    - ``top_ref_logprob``, ``top_quant_logprob``, float64: its log-probability under its own model,
      nats;
    - ``flips``, bool: whether the most likely token changed.

    Attributes:
        setting: The setting in notation.
    """

    def __init__(self, setting: str, chunks: StoredChunks) -> None:
        """Take the stored chunks of a setting."""
        self.setting = setting
        self._chunks = chunks

    def __len__(self) -> int:
        """The number N of positions."""
        return sum(self._chunks.sizes)

    def __repr__(self) -> str:
        return f"<{self.setting}: {len(self)} positions of {len(self.chunks)} chunks>"

    @property
    def chunks(self) -> list[int]:
        """Indices of the chunks, ascending."""
        return self._chunks.chunks

    @property
    def sizes(self) -> list[int]:
        """Number of positions of each chunk."""
        return self._chunks.sizes

    def read(self) -> Positions:
        """All positions at once: arrays of shape (N,).

        Raises:
            QfidError: The file has changed since it was opened, or cannot be read.
        """
        from scorer.stats.positions import Positions
        from scorer.stats.summary import in_order

        return in_order(Positions.concatenate(list(self._chunks.positions())))

    def roles(self) -> Iterator[list[str]]:
        """Of a chat text, the role of each position, chunk by chunk as :meth:`by_chunk`.

        It is ``assistant``, ``user`` and the like, that of the target; "" where it is not known, as
        in a text without roles. Where the run's job names roles, only their positions are here.
        """
        return self._chunks.roles()

    def by_chunk(self) -> Iterator[Positions]:
        """The positions of one chunk after the other: arrays of shape (positions of the chunk,).

        No more than one chunk is in memory at a time.

        Raises:
            QfidError: As of :meth:`read`.
        """
        return self._chunks.positions()


def read_positions(run: str | PathLike[str]) -> dict[str, Positions]:
    """Read the scored positions of a saved run, by setting.

    ``positions.arrow`` of a run is an Arrow IPC stream with a record batch for each chunk and
    setting, in the order in which they were scored. Read as one table it mixes the settings.

    Args:
        run: Id of the run, its unique beginning, or the path of its folder.

    Returns:
        Setting in notation to its :class:`~scorer.stats.positions.Positions`: float64 and int32
        arrays of shape (positions,), sorted by chunk and position. Two settings that one
        computation served have the same positions.

    Raises:
        InputError: There is no such run, or another version of qfid wrote its positions.
        QfidError: The positions cannot be read or are damaged.
    """
    return {name: arrays.read() for name, arrays in open_run(run).arrays.items()}
