"""Progress of a download, taken from the progress bars of huggingface_hub."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """Progress of a download.

    Attributes:
        done: Bytes received, including those of an earlier attempt; never decreases.
        total: Bytes in all, or None if unknown.
    """

    done: int
    total: int | None


class ProgressMeter:
    """Turns the progress bars of one download into calls of one function.

    huggingface_hub updates one bar for bytes received and one for bytes written, from several
    threads. The bar that is furthest counts.
    """

    def __init__(
        self,
        total: int | None,
        already: int,
        report: Callable[[DownloadProgress], None],
        check: Callable[[int], None] | None = None,
    ) -> None:
        """Start a meter.

        Args:
            total: Bytes in all, or None if unknown.
            already: Bytes that are already cached, which no bar counts.
            report: Called for every advance, from any thread, one call at a time. An exception
                ends the download.
            check: Called with the bytes that a bar has counted, before that; it may raise too.
        """
        self._check = check
        self._total = total
        self._already = already
        self._report = report
        self._lock = threading.Lock()
        self._done = -1

    def advance(self, counted: float) -> None:
        """Record the number of bytes that a bar has counted."""
        if self._check is not None:
            self._check(int(counted))
        with self._lock:
            done = self._already + int(counted)
            if self._total is not None:
                done = min(done, self._total)
            if done > self._done:
                self._done = done
                self._report(DownloadProgress(done, self._total))

    def bar_class(self) -> type[Any]:
        """Return a class that replaces tqdm's and draws nothing."""
        return type("MeteredBar", (_Bar,), {"meter": self})


class _Bar:
    """The part of tqdm's interface that huggingface_hub uses."""

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
        """Do nothing: no bar is drawn."""

    refresh = reset = clear = close
    set_description = set_description_str = close
    set_postfix = set_postfix_str = close

    @classmethod
    def get_lock(cls) -> Any:
        return cls._lock

    @classmethod
    def set_lock(cls, lock: Any) -> None:
        cls._lock = lock
