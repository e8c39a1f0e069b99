"""KL per chunk: is the drift the same all over the text?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from qfid_tui.app.widgets.chart import Chart
from qfid_tui.pictures.bars import Bar, draw_bars, range_of, value_text
from qfid_tui.pictures.canvas import Picture


class _Readings(Sequence[str]):
    """Chunks in words, each written when it is read: a run has thousands and changes often."""

    def __init__(self, chunks: Sequence[tuple[int, float]]) -> None:
        self._chunks = chunks

    def __len__(self) -> int:
        return len(self._chunks)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        if isinstance(at, slice):
            return _Readings(self._chunks[at])
        index, kl = self._chunks[at]
        return f"chunk {index}: {value_text(kl, 3)} nats"


class ChunkChart(Chart):
    """KL mean of each chunk, as bars from 0; over decades where they lie far apart."""

    EMPTY = "bars appear with the first chunk"

    _setting = ""
    _chunks: Sequence[tuple[int, float]] = ()

    def show(self, name: str, chunks: Sequence[tuple[int, float]]) -> None:
        """Show a setting.

        Args:
            name: The setting.
            chunks: Index of the chunk in the text and its KL mean in nats, in order.
        """
        if (name, tuple(chunks)) != (self._setting, self._chunks):
            if (picked := self.chunk) is not None:
                # A run that goes on may have scored chunks before it.
                order = [index for index, _ in chunks]
                self._cursor = order.index(picked) if picked in order else None
            self._setting, self._chunks = name, tuple(chunks)
            self.changed()

    @property
    def chunk(self) -> int | None:
        """Index of the chunk under the cursor, None where there is none."""
        return None if self.cursor is None else self._chunks[self.cursor][0]

    def heading(self) -> str:
        """See :meth:`Chart.heading`."""
        return f"KL per chunk, nats · setting {self._setting}" if self._chunks else "KL per chunk"

    def summary(self) -> str:
        """See :meth:`Chart.summary`."""
        return range_of([kl for _, kl in self._chunks])

    def readings(self) -> Sequence[str]:
        """See :meth:`Chart.readings`."""
        return _Readings(self._chunks)

    def draw(self, width: int, height: int, cursor: int | None) -> Picture:
        """See :meth:`Chart.draw`."""
        # More bars than columns have no room for text.
        has_text = len(self._chunks) <= width
        bars = [
            Bar(kl, str(index), value_text(kl) if has_text else "") for index, kl in self._chunks
        ]
        return draw_bars(bars, width, height, apart=True, cursor=cursor)
