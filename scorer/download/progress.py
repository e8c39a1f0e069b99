"""How far a download is, taken from the progress bars the Hub's library would draw."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """Where a download stands.

    Attributes:
        done: Bytes that are here, those of an earlier attempt included. Never falls.
        total: Bytes there will be, or None while that is unknown.
    """

    done: int
    total: int | None


class ProgressMeter:
    """Turns the bars of one download into calls of one function.

    The library draws one bar of bytes received and one of bytes written, from several threads;
    the furthest one counts.
    """

    def __init__(
        self,
        total: int | None,
        already: int,
        report: Callable[[DownloadProgress], None],
    ) -> None:
        """Start a meter.

        Args:
            total: Bytes there will be.
            already: Bytes that are here and that no bar will count.
            report: Called with every advance, from any thread, one call at a time. What it
                raises ends the download.
        """
        self._total = total
        self._already = already
        self._report = report
        self._lock = threading.Lock()
        self._done = -1

    def advance(self, counted: float) -> None:
        """Note that a bar has counted so many bytes."""
        with self._lock:
            done = self._already + int(counted)
            if self._total is not None:
                done = min(done, self._total)
            if done > self._done:
                self._done = done
                self._report(DownloadProgress(done, self._total))

    def bar_class(self) -> type[Any]:
        """A class that takes the place of tqdm's and draws nothing."""
        return type("MeteredBar", (_Bar,), {"meter": self})


class _Bar:
    """What the Hub's library uses of a tqdm bar."""

    meter: ClassVar[ProgressMeter]
    _lock: ClassVar[Any] = threading.RLock()

    def __init__(self, iterable: Iterable[Any] | None = None, **options: Any) -> None:
        self.iterable = iterable
        self.n: float = options.get("initial") or 0
        self.total: float | None = options.get("total")
        self._bytes = options.get("unit") == "B"

    def update(self, n: float | None = 1) -> None:
        self.n += n or 0
        if self._bytes:
            self.meter.advance(self.n)

    def __iter__(self) -> Iterator[Any]:
        for item in self.iterable or ():
            yield item
            self.update(1)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def format_dict(self) -> dict[str, Any]:
        return {"n": self.n, "total": self.total, "rate": None}

    def close(self, *_: Any, **__: Any) -> None:
        """Nothing was drawn."""

    refresh = reset = clear = close
    set_description = set_description_str = close
    set_postfix = set_postfix_str = close

    @classmethod
    def get_lock(cls) -> Any:
        return cls._lock

    @classmethod
    def set_lock(cls, lock: Any) -> None:
        cls._lock = lock
