"""When the garbage collector runs while the app is used."""

from __future__ import annotations


def spare_collections() -> None:
    """Let the garbage collector pass over what is there by now.

    Each of its full passes over the widgets and styles of a filled screen holds up keys and paints
    for 40 to 60 ms, and the events of a run bring some on.
    """
    import gc

    gc.collect()
    gc.freeze()
