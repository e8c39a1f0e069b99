"""Which thread ends the child process."""

from __future__ import annotations

import threading

from scorer.child.ending import Ending


def test_only_the_main_thread_takes_the_end_upon_itself() -> None:
    ending = Ending(lambda event: None)
    assert not ending.asked()
    ending._stopping.set()
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(ending.asked()))
    thread.start()
    thread.join()
    # A worker stops; until the main thread knows, another may end the process in time.
    assert found == [True]
    assert ending._claim.acquire(blocking=False)
    ending._claim.release()
    assert ending.asked()
    assert not ending._claim.acquire(blocking=False)
