"""A loaded model that several lanes share, counted so that its memory comes back after the last."""

from __future__ import annotations

import threading

from scorer.common.errors import QfidError
from scorer.device.buffer_cache import free_buffers
from scorer.lm.split_model import SplitModel


class ModelHandle:
    """A model and how many use it.

    Who makes the handle is its first user. Lanes over the same weights share one handle.

    Args:
        split: The loaded model, which nobody may use past the handle once it is closed.
    """

    def __init__(self, split: SplitModel) -> None:
        self._split: SplitModel | None = split
        self._users = 1
        self._lock = threading.Lock()

    @property
    def split(self) -> SplitModel:
        """The model.

        Raises:
            QfidError: The handle is closed.
        """
        split = self._split
        if split is None:
            raise QfidError("the model is closed already", "this is a fault of qfid; report it")
        return split

    @property
    def closed(self) -> bool:
        """Whether the last user has released the model."""
        return self._split is None

    def acquire(self) -> SplitModel:
        """Use the model until :meth:`release`.

        Raises:
            QfidError: The handle is closed.
        """
        with self._lock:
            split = self.split
            self._users += 1
            return split

    def release(self) -> None:
        """Stop using the model; the last user frees its arrays.

        Raises:
            QfidError: It was released more often than acquired.
        """
        with self._lock:
            split = self.split
            self._users -= 1
            if self._users:
                return
            self._split = None
        # Emptied, for whoever still holds the module by another name.
        for module in split.model.modules():
            module.clear()
        free_buffers()
