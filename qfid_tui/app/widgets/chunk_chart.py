"""KL per chunk: is the drift the same all over the text?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from qfid_tui.app.widgets.chart import Chart
from qfid_tui.app.widgets.compared import mean_difference, means_of, named, reading, values_of
from qfid_tui.pictures.bars import Bar, Mean, draw_bars, range_of, value_text
from qfid_tui.pictures.canvas import Picture
from qfid_tui.state.overlay import Overlay


class _Readings(Sequence[str]):
    """Chunks in words, each written when it is read: a run has thousands and changes often."""

    def __init__(self, chunks: Sequence[tuple[int, float]], other: Overlay | None = None) -> None:
        self._chunks, self._other = chunks, other

    def __len__(self) -> int:
        return len(self._chunks)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        index, kl = self._chunks[at]
        return reading(f"chunk {index}", kl, self._other, at)


class ChunkChart(Chart):
    """KL mean of each chunk, as bars from 0; over decades where they lie far apart."""

    EMPTY = "bars appear with the first chunk"

    _setting = ""
    _chunks: Sequence[tuple[int, float]] = ()
    _mean: Mean | None = None
    _other: Overlay | None = None

    def show(
        self,
        name: str,
        chunks: Sequence[tuple[int, float]],
        *,
        mean: Mean | None = None,
        other: Overlay | None = None,
    ) -> None:
        """Show a setting.

        Args:
            name: The setting.
            chunks: Index of the chunk in the text and its KL mean in nats, in order.
            mean: Their mean with its interval, nats.
            other: A setting to compare with.
        """
        data = name, tuple(chunks), mean, other
        if data != (self._setting, self._chunks, self._mean, self._other):
            if (picked := self.chunk) is not None:
                # A run that goes on may have scored chunks before it.
                order = [index for index, _ in chunks]
                self._cursor = order.index(picked) if picked in order else None
            self._setting, self._chunks, self._mean, self._other = data
            self.changed()

    @property
    def chunk(self) -> int | None:
        """Index of the chunk under the cursor, None where there is none."""
        return None if self.cursor is None else self._chunks[self.cursor][0]

    def heading(self) -> str:
        """See :meth:`Chart.heading`."""
        if not self._chunks:
            return "KL per chunk"
        return f"KL per chunk, nats · {named(self._setting, self._other)}"

    def summary(self) -> str:
        """See :meth:`Chart.summary`."""
        values = [kl for _, kl in self._chunks]
        return mean_difference(values, self._other) or range_of(values)

    def readings(self) -> Sequence[str]:
        """See :meth:`Chart.readings`."""
        return _Readings(self._chunks, self._other)

    def draw(self, width: int, height: int, cursor: int | None) -> Picture:
        """See :meth:`Chart.draw`."""
        # More bars than columns have no room for text.
        has_text = len(self._chunks) <= width
        bars = [
            Bar(kl, str(index), value_text(kl) if has_text else "", other)
            for (index, kl), other in zip(self._chunks, values_of(self._other), strict=False)
        ]
        means = means_of(self._mean, self._other)
        return draw_bars(bars, width, height, apart=True, cursor=cursor, means=means)
